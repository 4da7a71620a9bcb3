"""Curves of logged numbers."""

import json
from collections.abc import Sequence
from pathlib import Path


def read_scalars(path: str | Path) -> list[dict]:
    """The lines of a ``scalars.json``, or of the newest one below a work directory.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(path.glob('**/vis_data/scalars.json'))
        path = found[-1] if found else path / '*' / 'vis_data' / 'scalars.json'
    if not path.is_file():
        raise FileNotFoundError(
            f'Log not found: {path}. Give a work directory that training has written '
            'to, or its vis_data/scalars.json.'
        )
    return [json.loads(line) for line in path.read_text().splitlines()]


def plot_curves(logs: dict[str, list[dict]], keys: Sequence[str], out: str) -> None:
    """One panel per key over the iterations, one line per log.

    Args:
        logs: lines of ``scalars.json`` by the name of the run.
        keys: which numbers.
        out: picture file.

    Raises:
        ValueError: no log has one of the keys.
    """
    from matplotlib.figure import Figure

    known = sorted({key for lines in logs.values() for line in lines for key in line})
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ValueError(f'No log has the keys {unknown}. Logged are: {known}.')

    figure = Figure(figsize=(5 * len(keys), 3.5), layout='constrained')
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys):
        for name, lines in logs.items():
            points = [(line['step'], line[key]) for line in lines if key in line]
            axes.plot(*zip(*points), label=name, marker='.' if len(points) < 20 else '')
        axes.set(xlabel='iteration', title=key)
        axes.grid(alpha=0.3)
        if len(logs) > 1:
            axes.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
