"""Figure of precision over recall, as in papers on edge detection."""

from pathlib import Path

import numpy as np

_F_VALUES = np.arange(1, 10) / 10


def plot_precision_recall(
    curves: dict[str, tuple[np.ndarray, np.ndarray]], out: str | Path
) -> None:
    """Draws curves over lines of equal F.

    Args:
        curves: recall and precision, (K,) each, by their name in the legend.
        out: image file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout='constrained')
    axes = figure.subplots()
    for f in _F_VALUES:
        # F = 2 P R / (P + R), solved for P.
        recall = np.linspace(f / (2 - f), 1, 200)
        axes.plot(recall, f * recall / (2 * recall - f), color='0.85', linewidth=0.8)
        axes.text(1.005, f / (2 - f), f'{f:.1f}', color='0.5', fontsize=7, va='center')
    for name, (recall, precision) in curves.items():
        # Without detections there is no precision.
        drawn = (recall + precision) > 0
        axes.plot(recall[drawn], precision[drawn], label=name)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel='recall', ylabel='precision')
    axes.set_aspect('equal')
    axes.legend(loc='lower left')
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
