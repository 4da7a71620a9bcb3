"""How converted weights are written."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mmadm.engine.checkpoint import file_sha256
from mmadm.utils.files import whole_file


def check_target(target: str | Path) -> None:
    """Refuse names of other formats, before any work.

    Raises:
        ValueError: ``target`` has another suffix than ``.safetensors``.
    """
    if Path(target).suffix != '.safetensors':
        raise ValueError(
            f'Weights are written as .safetensors, but the file is to be {target}. '
            'Give a name that ends in .safetensors.'
        )


def write_weights(
    weights: Mapping[str, Tensor],
    target: str | Path,
    source: str | Path,
    **metadata: object,
) -> None:
    """Write all of ``target`` or nothing; it tells from which file it comes.

    Args:
        weights: what to write.
        target: ``.safetensors`` file.
        source: the file that was converted; its name and SHA-256 are written too.
        metadata: what else is to be known of the weights.
    """
    from safetensors.torch import save_file

    source = Path(source)
    facts = dict(source=source.name, source_sha256=file_sha256(source), **metadata)
    facts = {key: str(value) for key, value in facts.items()}
    with whole_file(target) as path:
        tensors = {key: value.contiguous() for key, value in weights.items()}
        save_file(tensors, path, dict(format='pt', **facts))
