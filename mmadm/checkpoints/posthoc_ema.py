"""The average of any length from the snapshots of power-law averages (EDM2)."""

from pathlib import Path

from torch import Tensor

from mmadm.utils.power_average import combine

from .reading import read_checkpoint


def reconstruct_average(
    folder: str | Path, sigma_rel: float, iteration: int | None = None
) -> dict[str, Tensor]:
    """Weights averaged with another length than those that were kept.

    Args:
        folder: ``power_ema`` of a work folder, with the snapshots of
            :class:`mmadm.engine.PowerEMAHook`.
        sigma_rel: the wanted relative length; between those of the snapshots the
            reconstruction is most accurate.
        iteration: the wanted end of the average; None is that of the last snapshot.

    Returns:
        a state dict, in the precision of the snapshots.

    Raises:
        ValueError: there are no snapshots up to that iteration.
    """
    paths = sorted(Path(folder).glob('iter_*.pth'))
    kept = {}
    for path in paths:
        meta = read_checkpoint(path)['meta']
        if iteration is None or meta['iteration'] <= iteration:
            kept[path] = (meta['iteration'], meta['sigma_rel'])
    if not kept:
        raise ValueError(
            f'No average can be made: {folder} has no snapshots up to iteration='
            f'{iteration}. Train with default_hooks.power_ema=dict('
            'type=PowerEMAHook), and give the folder power_ema of the run.'
        )
    end = max(end for end, _ in kept.values()) if iteration is None else iteration
    factors = combine([*kept.values()], end, sigma_rel)

    newest = read_checkpoint(max(kept, key=lambda path: kept[path]))['state_dict']
    average = {name: tensor.clone() for name, tensor in newest.items()}
    for path, factor in zip(kept, factors / factors.sum()):
        for name, tensor in read_checkpoint(path)['state_dict'].items():
            # Differences, so that frozen weights and counters stay exactly as they are.
            if tensor.is_floating_point():
                average[name] += float(factor) * (tensor - newest[name])
    return average
