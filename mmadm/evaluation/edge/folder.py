"""Scores of a folder of edge maps, in the files of the official benchmark."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmadm.evaluation.threaded import in_threads
from mmadm.utils.bsds import read_boundaries
from mmadm.utils.files import atomic_write
from mmadm.utils.images import read_grey, read_mask

from .counts import thresholds
from .metric import EdgeMetric
from .scores import best_point, precision_recall, summarize

GT_SUFFIXES = ('.mat', '.png')

#: Path of the prediction and of its ground truth.
Pair = tuple[Path, Path]


@dataclass(frozen=True)
class Settings:
    """Settings on which the counts depend; see :class:`EdgeMetric`."""

    nms: bool = True
    thin: bool = True
    radius: int = 1
    smooth: bool = True
    max_dist: float = 0.0075
    num_thresholds: int = 99


def read_gt(path: Path) -> np.ndarray:
    """Edges of all annotators, (A, H, W): a ``.mat`` of BSDS500, or a mask of one."""
    if path.suffix == '.mat':
        return read_boundaries(path)
    return read_mask(path)[None]


def check_pair(pair: Pair) -> None:
    """Check that both files can be read and have the same size.

    Raises:
        ValueError: a file is corrupted, or the sizes differ.
    """
    pred, gt = read_grey(pair[0]), read_gt(pair[1])
    if pred.shape != gt.shape[1:]:
        raise ValueError(
            f'{pair[0]} has the size {pred.shape}, its ground truth {pair[1]} '
            f'{gt.shape[1:]}. Pixels are matched by position: write maps of the '
            'original size.'
        )


def claim(
    out_dir: Path, settings: Settings, pred_dir: str | Path, gt_dir: str | Path
) -> None:
    """Reserve the folder of results for these settings and folders.

    Raises:
        ValueError: the folder holds results of other settings, or of other folders.
    """
    path, current = out_dir / 'settings.json', asdict(settings)
    current |= dict(
        pred_dir=str(Path(pred_dir).resolve()), gt_dir=str(Path(gt_dir).resolve())
    )
    previous = json.loads(path.read_text()) if path.is_file() else current
    if previous != current:
        raise ValueError(
            f'{out_dir} holds results of other settings: {previous}, not {current}. '
            'Give another --out.'
        )
    with atomic_write(path) as part:
        part.write_text(json.dumps(current, indent=2))


def count_folder(
    pairs: Mapping[str, Pair],
    out_dir: Path,
    settings: Settings,
    num_workers: int | None = None,
) -> Iterator[tuple[np.ndarray, float]]:
    """Counts (K, 4) and crispness of each pair, in order.

    Writes a ``NAME_ev1.txt`` per image (threshold, and the four counts), and reads it
    instead of counting where it is newer than both maps.
    """
    metric = EdgeMetric(**asdict(settings))

    def count(item: tuple[str, Pair]) -> tuple[np.ndarray, float]:
        name, (pred, gt) = item
        path = out_dir / f'{name}_ev1.txt'
        edges = read_grey(pred) / 255
        if _is_newer(path, pred, gt):
            return np.loadtxt(path)[:, 1:].astype(np.int64), metric.crispness(edges)
        counts, sharp = metric.score(edges, read_gt(gt))
        with atomic_write(path) as part:
            rows = np.column_stack([metric.levels, counts])
            np.savetxt(part, rows, fmt='%10g' + ' %10d' * 4)
        return counts, sharp

    yield from in_threads(count, pairs.items(), num_workers)


def _is_newer(path: Path, *sources: Path) -> bool:
    if not path.is_file():
        return False
    # A copied file may keep an old modification time, but not its change of status.
    changed = (max(s.st_mtime, s.st_ctime) for s in map(Path.stat, sources))
    return all(path.stat().st_mtime > time for time in changed)


def write_report(
    out_dir: Path, counts: np.ndarray, sharp: Sequence[float], settings: Settings
) -> dict[str, float]:
    """Writes the scores in the official files, and as ``scores.json``.

    - ``eval_bdry.txt``: threshold, R, P, F (ODS), R, P, F (OIS), AP;
    - ``eval_bdry_thr.txt``: per threshold, threshold, R, P, F;
    - ``eval_bdry_img.txt``: per image, number, best threshold, R, P, F.

    Args:
        out_dir: folder of the files.
        counts: (N, K, 4).
        sharp: crispness of each image.
        settings: of the counts.

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
