"""Writes converted weights."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mmadm.checkpoints import file_sha256
from mmadm.checkpoints.structure import check_finite
from mmadm.utils.files import atomic_write


def check_target(target: str | Path) -> None:
    """Refuse names of other formats, before anything is converted.

    Raises:
        ValueError: ``target`` has another suffix than ``.safetensors``, or is a folder.
    """
    path = Path(target)
    if path.suffix != '.safetensors' or path.is_dir():
        raise ValueError(
            f'Weights are written as a .safetensors file, but the target is {target}'
            f'{", which is a folder" if path.is_dir() else ""}. Give a file name that '
            'ends in .safetensors.'
        )


def write_weights(
    weights: Mapping[str, Tensor],
    target: str | Path,
    source: str | Path,
    **metadata: object,
) -> None:
    """Write all of ``target`` or nothing; its metadata name the source.

    Args:
        weights: the tensors; floating-point numbers become float32.
        target: ``.safetensors`` file.
        source: the converted file; its name and SHA-256 go into the metadata.
        metadata: more facts about the weights.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    from safetensors.torch import save_file

    tensors = {key: _full(value).contiguous() for key, value in weights.items()}
    check_finite(tensors, source)
    source = Path(source)
    facts = dict(source=source.name, source_sha256=file_sha256(source), **metadata)
    facts = {key: str(value) for key, value in facts.items()}
    with atomic_write(target) as path:
        save_file(tensors, path, dict(format='pt', **facts))


def _full(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
