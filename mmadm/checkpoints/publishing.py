"""From a checkpoint of training to a file for others."""

from pathlib import Path

import torch

from mmadm.utils.files import atomic_write
from mmadm.version import __version__

from .reading import file_sha256, read_checkpoint


def publish_weights(source: str | Path, target: str | Path) -> Path:
    """Write the weights of a checkpoint, and nothing else that trains, for others.

    With EMA these are the averaged ones. The file is in the safetensors format, which
    cannot hold code; its name ends with the first eight digits of its SHA-256, which
    :func:`mmadm.checkpoints.read_checkpoint` compares.

    Args:
        source: checkpoint.
        target: file to write, ``.safetensors``; the digits are added to its name.

    Returns:
        the path of the file.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        ValueError: ``source`` is broken, or ``target`` has another suffix.
    """
    from safetensors.torch import save

    source, target = Path(source), Path(target)
    if target.suffix != '.safetensors':
        raise ValueError(
            f'Weights are published as .safetensors, but the file is to be {target}. '
            'Give a name that ends in .safetensors.'
        )
    checkpoint = read_checkpoint(source)
    weights = checkpoint.get('state_dict', checkpoint)
    others = [k for k, x in weights.items() if not isinstance(x, torch.Tensor)]
    if others:
        raise ValueError(
            f'No weights in {source}: {", ".join(map(str, others[:3]))} are no '
            'tensors. Give a checkpoint of a model.'
        )
    meta = checkpoint.get('meta', {})
    kept = {
        key: str(meta[key])
        for key in ('iter', 'cfg', 'seed', 'scaling')
        if meta.get(key) is not None
    }
    data = save(
        {key: tensor.clone().contiguous() for key, tensor in weights.items()},
        metadata=dict(kept, format='pt', mmadm_version=__version__),
    )
    with atomic_write(target, durable=True) as part:
        part.write_bytes(data)
    return target.rename(
        target.with_name(f'{target.stem}-{file_sha256(target)[:8]}.safetensors')
    )
