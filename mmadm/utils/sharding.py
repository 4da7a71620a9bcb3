"""Tensors of which each process keeps a part: the DTensors that FSDP makes."""

from typing import Any

import torch
from torch import Tensor, nn


def is_sharded(value: Any) -> bool:
    """Whether each process has a part of this tensor only."""
    return hasattr(value, 'full_tensor')


def whole(tensor: Tensor) -> Tensor:
    """The tensor with all of its parts. All processes must ask for it together."""
    if not is_sharded(tensor):
        return tensor
    # Parts of unequal sizes come in memory that is larger than the whole.
    return tensor.full_tensor().clone()


def part(tensor: Tensor) -> Tensor:
    """The part that this process keeps, sharing its memory; it may be empty."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def shard_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Cut a whole tensor as ``other`` is. All processes must do it together."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, other.device_mesh, other.placements)


def accept_whole_weights(module: nn.Module) -> None:
    """Let a sharded module load state dicts of whole tensors."""
    for child in module.modules():
        child.register_load_state_dict_pre_hook(_cut_weights)


def _cut_weights(module: nn.Module, state_dict: dict, prefix: str, *_: Any) -> None:
    for name, weight in module.named_parameters(recurse=False):
        loaded = state_dict.get(prefix + name)
        if is_sharded(weight) and loaded is not None and not is_sharded(loaded):
            state_dict[prefix + name] = shard_like(loaded, weight)


def accept_whole_state(optimizer: torch.optim.Optimizer) -> None:
    """Let the optimizer of sharded weights load a state of whole tensors."""
    optimizer.register_load_state_dict_post_hook(_cut_state)


def _cut_state(optimizer: torch.optim.Optimizer) -> None:
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            # Moments look like their weight; the count of steps does not.
            if is_sharded(weight) and getattr(value, 'shape', None) == weight.shape:
                state[name] = shard_like(value, weight)
