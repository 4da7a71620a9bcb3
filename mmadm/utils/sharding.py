"""Sharded tensors: the DTensors of FSDP, of which each process has a part."""

from typing import Any

from torch import Tensor, nn


def is_sharded(value: Any) -> bool:
    """Whether this process has only a part of the tensor."""
    return hasattr(value, 'full_tensor')


def local_part(tensor: Tensor) -> Tensor:
    """The part in this process, which shares its memory; it may be empty."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def shard_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Shard a whole tensor like ``other``. All processes must call this together."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, other.device_mesh, other.placements)


def accept_whole_weights(module: nn.Module) -> None:
    """Let a sharded module load state dicts of whole tensors."""
    for child in module.modules():
        child.register_load_state_dict_pre_hook(_shard_weights)


def _shard_weights(module: nn.Module, state_dict: dict, prefix: str, *_: Any) -> None:
    for name, weight in module.named_parameters(recurse=False):
        loaded = state_dict.get(prefix + name)
        if is_sharded(weight) and loaded is not None and not is_sharded(loaded):
            state_dict[prefix + name] = shard_like(loaded, weight)
