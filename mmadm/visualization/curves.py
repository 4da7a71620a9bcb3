"""Curves of logged values over the iterations."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Accepted suffixes: matplotlib appends .png to other names.
_SUFFIXES = ('.png', '.jpg', '.jpeg', '.pdf', '.svg')


def read_scalars(path: str | Path) -> list[dict]:
    """Lines of a ``scalars.json``, or of all those below a work directory.

    A run that was resumed has a file for each of its parts. They are joined: where a
    part begins, lines of earlier parts from that iteration on are dropped, since the
    resumed run repeated them.

    Args:
        path: a file or a work directory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not JSON.
    """
    path = Path(path)
    files = sorted(path.glob('**/vis_data/scalars.json')) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise FileNotFoundError(
            f'Log not found: {path}. Give a work directory that training has written '
            'to, or its vis_data/scalars.json.'
        )
    joined: list[dict] = []
    for file in files:
        lines = _read_lines(file)
        steps = [line['step'] for line in lines if 'step' in line]
        if steps:
            begin = min(steps)
            joined = [line for line in joined if line.get('step', begin) < begin]
        joined += lines
    return joined


def _read_lines(file: Path) -> list[dict]:
    try:
        return [json.loads(line) for line in file.read_text().splitlines()]
    except ValueError as error:
        raise ValueError(
            f'Corrupted log: {file} ({error}). Remove the line, or the file.'
        ) from error


def name_runs(paths: Sequence[str], legend: Sequence[str] | None = None) -> list[str]:
    """A different name for each log: from the legend, or from its path.

    The name is the last part of the path, preceded by as many folders as distinguish
    all logs.

    Raises:
        ValueError: the legend has another number of names than there are logs, a name
            occurs twice, or one log is given twice.
    """
    if legend is not None and (
        len(legend) != len(paths) or len(set(legend)) < len(legend)
    ):
        raise ValueError(
            f'Each log needs a name of its own in the legend, but there are '
            f'{len(paths)} logs and the names {list(legend)}. Give {len(paths)} '
            'different names.'
        )
    if legend is not None:
        return list(legend)
    parts = [Path(path).resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f'A log is given twice: {list(paths)}. Give each once.')


def plot_curves(logs: dict[str, list[dict]], keys: Sequence[str], out: str) -> None:
    """Draws one panel per key over the iterations, with one line per log.

    Args:
        logs: lines of ``scalars.json`` by the name of the run.
        keys: names of the logged values.
        out: image file.

    Raises:
        ValueError: a key is in no log, or ``out`` is no image file.
    """
    check_image_name(out)
    known = sorted({key for lines in logs.values() for line in lines for key in line})
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ValueError(f'No log has the keys {unknown}. Logged are: {known}.')

    panels = []
    for key in keys:
        points = {
            name: [(line['step'], line[key]) for line in lines if key in line]
            for name, lines in logs.items()
        }
        curves = {name: tuple(zip(*xy)) for name, xy in points.items() if xy}
        panels.append(Panel(key, 'iteration', curves))
    plot_panels(panels, out, legend=len(logs) > 1)


@dataclass(frozen=True)
class Panel:
    """One panel of a figure.

    Attributes:
        title: what is drawn.
        x: name of the horizontal axis.
        curves: (x, y) of each curve by its name.
        log: logarithmic vertical axis.
        points: mark each point.
    """

    title: str
    x: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    log: bool = False
    points: bool = False


def check_image_name(out: str) -> None:
    """Refuse a name that matplotlib would not write to.

    Raises:
        ValueError: it is a folder, or has another suffix than an image file.
    """
    if Path(out).suffix.lower() not in _SUFFIXES or Path(out).is_dir():
        raise ValueError(
            f'Curves are written to an image file, but out={out}. Give a file name '
            f'that ends in one of {", ".join(_SUFFIXES)}.'
        )


def plot_panels(panels: Sequence[Panel], out: str, legend: bool = True) -> None:
    """Draws panels side by side.

    Args:
        panels: the panels.
        out: image file.
        legend: name the curves.

    Raises:
        ValueError: ``out`` is no image file.
    """
    from matplotlib.figure import Figure

    check_image_name(out)
    figure = Figure(figsize=(5 * len(panels), 3.5), layout='constrained')
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        for name, (x, y) in panel.curves.items():
            marker = '.' if panel.points or len(x) < 20 else ''
            axes.plot(x, y, label=name, marker=marker)
        axes.set(xlabel=panel.x, title=panel.title)
        axes.set_yscale('log' if panel.log else 'linear')
        axes.grid(alpha=0.3)
        if legend and len(panel.curves) > 1:
            axes.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
