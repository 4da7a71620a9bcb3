"""Figure of distortion against perception, by sampler and number of steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

#: Number of steps, x, y.
Point = tuple[int, float, float]


def plot_tradeoff(
    runs: Mapping[str, Sequence[Point]], labels: tuple[str, str], out: str | Path
) -> None:
    """Draws a line through the scores of each sampler, with the NFE at each point.

    Args:
        runs: points by the name of the sampler.
        labels: of the axes.
        out: image file.

    Raises:
        ValueError: there is no point.
    """
    from matplotlib.figure import Figure

    if not any(runs.values()):
        raise ValueError(
            f'No run has both scores, {labels[0]} and {labels[1]}. Test with the '
            'metrics of both.'
        )
    figure = Figure(figsize=(5.5, 4), layout='constrained')
    axes = figure.subplots()
    for name, points in runs.items():
        if not points:
            continue
        points = sorted(points)
        counts, x, y = zip(*points)
        axes.plot(x, y, marker='o', markersize=4, linewidth=1, label=name)
        for count, *place in zip(counts, x, y):
            axes.annotate(
                str(count), place, (4, 4), textcoords='offset points', fontsize=8
            )
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.grid(alpha=0.3)
    axes.legend(title='sampler', fontsize=8)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)
