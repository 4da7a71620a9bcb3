"""A folder of edge maps against the ground truth, with files as the benchmark's."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmadm.evaluation.folders import Pair, in_threads, read_grey
from mmadm.utils.bsds import read_boundaries
from mmadm.utils.files import atomic_write

from .counts import thresholds
from .metric import EdgeMetric
from .scores import best_point, precision_recall, summarize

TRUTH_SUFFIXES = ('.mat', '.png')


@dataclass(frozen=True)
class Settings:
    """What decides the counts of a picture; see :class:`EdgeMetric`."""

    nms: bool = True
    thin: bool = True
    radius: int = 1
    smooth: bool = True
    max_dist: float = 0.0075
    num_thresholds: int = 99


def read_truth(path: Path) -> np.ndarray:
    """All annotators' maps, (A, H, W): a ``.mat`` of BSDS500, or a picture of one."""
    if path.suffix == '.mat':
        return read_boundaries(path)
    return (read_grey(path) > 127)[None]


def check_pair(pair: Pair) -> None:
    """Both files can be read and have one size.

    Raises:
        ValueError: they cannot, or have not.
    """
    pred, truth = read_grey(pair.pred), read_truth(pair.truth)
    if pred.shape != truth.shape[1:]:
        raise ValueError(
            f'{pair.pred} has the size {pred.shape}, its truth {pair.truth} '
            f'{truth.shape[1:]}. Matching is to the pixel: write maps of the original '
            'size.'
        )


def claim(
    out_dir: Path, settings: Settings, pred_dir: str | Path, gt_dir: str | Path
) -> None:
    """Make the folder; other counts must not be mixed with these.

    Raises:
        ValueError: the folder holds results of other settings, or of other folders.
    """
    path, mine = out_dir / 'settings.json', asdict(settings)
    mine |= dict(
        pred_dir=str(Path(pred_dir).resolve()), gt_dir=str(Path(gt_dir).resolve())
    )
    theirs = json.loads(path.read_text()) if path.is_file() else mine
    if theirs != mine:
        raise ValueError(
            f'{out_dir} holds results of other settings: {theirs}, not {mine}. Give '
            'another --out.'
        )
    with atomic_write(path) as part:
        part.write_text(json.dumps(mine, indent=2))


def count_folder(
    pairs: Sequence[Pair],
    out_dir: Path,
    settings: Settings,
    num_workers: int | None = None,
) -> Iterator[tuple[np.ndarray, float]]:
    """Counts (K, 4) and crispness of each pair, in order.

    Writes a ``NAME_ev1.txt`` per picture (threshold, and the four counts), and reads
    it instead of counting where it is newer than the two maps.
    """
    metric = EdgeMetric(**asdict(settings))

    def count(pair: Pair) -> tuple[np.ndarray, float]:
        path = out_dir / f'{pair.name}_ev1.txt'
        edges = read_grey(pair.pred) / 255
        if _is_newer(path, pair.pred, pair.truth):
            return np.loadtxt(path)[:, 1:].astype(np.int64), metric.crispness(edges)
        counts, sharp = metric.score(edges, read_truth(pair.truth))
        with atomic_write(path) as part:
            rows = np.column_stack([metric.levels, counts])
            np.savetxt(part, rows, fmt='%10g' + ' %10d' * 4)
        return counts, sharp

    yield from in_threads(count, pairs, num_workers)


def _is_newer(path: Path, *sources: Path) -> bool:
    if not path.is_file():
        return False
    # A file that was copied with its times is as new as its change of status.
    changed = (max(s.st_mtime, s.st_ctime) for s in map(Path.stat, sources))
    return all(path.stat().st_mtime > time for time in changed)


def write_report(
    out_dir: Path, counts: np.ndarray, sharp: Sequence[float], settings: Settings
) -> dict[str, float]:
    """Write the scores as the official code does, and as ``scores.json``.

    - ``eval_bdry.txt``: threshold, R, P, F (ODS), R, P, F (OIS), AP;
    - ``eval_bdry_thr.txt``: per threshold, threshold, R, P, F;
    - ``eval_bdry_img.txt``: per picture, number, best threshold, R, P, F.

    Args:
        out_dir: where they go.
        counts: (N, K, 4).
        sharp: crispness of each picture.
        settings: what it was made with.

    Returns:
        the scores, with the names of :class:`EdgeMetric`.
    """
    levels = thresholds(settings.num_thresholds)
    summary = summarize(counts, levels)
    keys = ('ods_threshold', 'ods_recall', 'ods_precision', 'ods')
    keys += ('ois_recall', 'ois_precision', 'ois', 'ap')
    best = [(i, *best_point(c, levels)) for i, c in enumerate(counts, start=1)]
    tables = {
        'eval_bdry.txt': [[summary[key] for key in keys]],
        'eval_bdry_thr.txt': np.column_stack(
            [levels, *precision_recall(counts.sum(axis=0))]
        ),
        'eval_bdry_img.txt': best,
    }
    for name, rows in tables.items():
        with atomic_write(out_dir / name) as part:
            np.savetxt(part, rows, fmt='%10g')
    metric = EdgeMetric(**asdict(settings))
    scores = metric.compute_metrics(list(zip(counts, sharp)))
    with atomic_write(out_dir / 'scores.json') as part:
        part.write_text(json.dumps(scores, indent=2))
    return scores
