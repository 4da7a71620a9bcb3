"""How converted weights are written."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mmadm.checkpoints import file_sha256
from mmadm.utils.files import atomic_write


def check_target(target: str | Path) -> None:
    """Refuse names of other formats, before any work.

    Raises:
        ValueError: ``target`` has another suffix than ``.safetensors``, or is a folder.
    """
    path = Path(target)
    if path.suffix != '.safetensors' or path.is_dir():
        raise ValueError(
            f'Weights are written as a .safetensors file, but it is to be {target}'
            f'{", which is a folder" if path.is_dir() else ""}. Give a file name that '
            'ends in .safetensors.'
        )


def write_weights(
    weights: Mapping[str, Tensor],
    target: str | Path,
    source: str | Path,
    **metadata: object,
) -> None:
    """Write all of ``target`` or nothing; it tells from which file it comes.

    Args:
        weights: what to write; floating point numbers become float32.
        target: ``.safetensors`` file.
        source: the file that was converted; its name and SHA-256 are written too.
        metadata: what else is to be known of the weights.

    Raises:
        ValueError: there are numbers that are not finite.
    """
    from safetensors.torch import save_file

    tensors = {key: _full(value).contiguous() for key, value in weights.items()}
    spoilt = [key for key, value in tensors.items() if not value.isfinite().all()]
    if spoilt:
        raise ValueError(
            f'{source} is of a training that failed: {len(spoilt)} of {len(tensors)} '
            f'weights are infinite or no numbers, for instance {spoilt[0]}. Give an '
            'earlier checkpoint.'
        )
    source = Path(source)
    facts = dict(source=source.name, source_sha256=file_sha256(source), **metadata)
    facts = {key: str(value) for key, value in facts.items()}
    with atomic_write(target) as path:
        save_file(tensors, path, dict(format='pt', **facts))


def _full(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
