"""Training of a model whose weights are distributed over all processes (FSDP).

This is the only part of the engine that handles sharded tensors. Hooks call
:func:`gather_state`, :func:`gather` and :func:`any_nonfinite`, which also take whole
tensors.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import MODEL_WRAPPERS
from mmengine.utils import apply_to
from torch import Tensor, nn

from mmadm.registry import HOOKS
from mmadm.utils import require_torch
from mmadm.utils.sharding import (
    accept_whole_weights,
    is_sharded,
    local_part,
    shard_like,
)

from .private_api import forbid_copy_and_init, largest_absolute, restore_class_name


@MODEL_WRAPPERS.register_module()
class ShardedDataParallel(nn.Module):
    """Distributes weights, gradients, moments and averages over all processes.

    PyTorch's FSDP2 for ``model_wrapper_cfg``, on GPUs and (through gloo) on CPUs. Each
    block is gathered for its computation and freed after it. Frozen parts stay whole in
    each process; for an evaluation all weights are gathered once. Checkpoints are those
    of a single process.

    Works with ``ShardingHook``, ``AtomicCheckpointHook`` and ``TrainableEMA``, which
    are in the base config.

    Args:
        module: the model, the same class in each process.
        blocks: names of the classes that are gathered one at a time; None for all
            whose name ends in 'Block'. The other weights are gathered together.

    Raises:
        ImportError: PyTorch is too old.
        ValueError: the model has no such blocks.
    """

    def __init__(self, module: nn.Module, blocks: Sequence[str] | None = None) -> None:
        super().__init__()
        require_torch('2.10', 'model_wrapper_cfg=ShardedDataParallel')
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        parts = _find_blocks(module, blocks)
        _synchronise(module)
        device = next(module.parameters()).device
        options = dict(
            mesh=init_device_mesh(device.type, (get_world_size(),)),
            reshard_after_forward=True,
            ignored_params={p for p in module.parameters() if not p.requires_grad},
        )
        self._parts = [fully_shard(part, **options) for part in (*parts, module)]
        for part in self._parts:
            restore_class_name(part)
        forbid_copy_and_init(module)
        accept_whole_weights(module)
        self.module = module

    def forward(self, *args, **kwargs):
        """Call the model."""
        return self.module(*args, **kwargs)

    def train_step(self, data: dict, optim_wrapper) -> dict:
        """Call the model's ``train_step``."""
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: dict) -> list:
        """Call the model's ``val_step``."""
        return self.module.val_step(data)

    def test_step(self, data: dict) -> list:
        """Call the model's ``test_step``."""
        return self.module.test_step(data)

    def train(self, mode: bool = True) -> 'ShardedDataParallel':
        """Switch the mode, in all processes together.

        In an evaluation, processes may have different numbers of batches, so they
        cannot gather weights for each batch. All weights are gathered at its start and
        freed at its end.
        """
        if mode != self.training:
            for part in self._parts:
                part.set_reshard_after_forward(mode, recurse=False)
                if mode:
                    part.reshard()
                else:
                    part.unshard()
        return super().train(mode)


@HOOKS.register_module()
class ShardingHook(Hook):
    """Resumes and evaluates a ``ShardedDataParallel``; ignores other models."""

    # Before the averages are exchanged with the weights.
    priority = 'VERY_HIGH'

    def before_run(self, runner) -> None:
        """Let the optimizer resume from whole tensors.

        Raises:
            ValueError: a part of the config does not work with a sharded model.
        """
        if not isinstance(runner.model, ShardedDataParallel):
            return
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            raise ValueError(
                'A sharded model has one optimizer, but optim_wrapper has '
                f'{sorted(runner.optim_wrapper.keys())}. Leave model_wrapper_cfg out.'
            )
        if any(isinstance(hook, CheckpointHook) for hook in runner.hooks):
            raise ValueError(
                'A sharded model is saved by all processes together, but '
                "default_hooks.checkpoint is MMEngine's CheckpointHook. Use "
                'AtomicCheckpointHook.'
            )
        optimizer = runner.optim_wrapper.optimizer
        optimizer.register_load_state_dict_post_hook(_shard_state)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Free what was gathered for the evaluation."""
        if isinstance(runner.model, ShardedDataParallel):
            runner.model.train()

    after_test_epoch = after_val_epoch


def gather(tensor: Tensor) -> Tensor:
    """The whole tensor. If it is sharded, all processes must call this together."""
    if not is_sharded(tensor):
        return tensor
    # Parts of unequal sizes come in memory that is larger than the whole.
    return tensor.full_tensor().clone()


def gather_state(state: dict[str, Any]) -> dict[str, Any]:
    """A state with whole tensors on the CPU of the main process, None in the others.

    All processes must call this together.
    """

    def to_host(tensor: Tensor) -> Tensor | None:
        tensor = gather(tensor)
        return tensor.cpu() if is_main_process() else None

    return apply_to(state, lambda x: isinstance(x, Tensor), to_host)


def any_nonfinite(tensors: list[Tensor]) -> Tensor:
    """Whether a value is NaN or infinite, in any process; a bool, without a wait.

    Whole tensors are those of this process alone.
    """
    # A process may have no part of a tensor.
    bad = ~torch.isfinite(largest_absolute([local_part(x) for x in tensors]))
    if any(map(is_sharded, tensors)):
        bad = bad.float()
        all_reduce(bad, 'max')
    return bad.bool()


def _shard_state(optimizer: torch.optim.Optimizer) -> None:
    """Shard the state that the optimizer of sharded weights has loaded."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            # Moments have the shape of their weight; the count of steps does not.
            if is_sharded(weight) and getattr(value, 'shape', None) == weight.shape:
                state[name] = shard_like(value, weight)


def _find_blocks(module: nn.Module, names: Sequence[str] | None) -> list[nn.Module]:
    """The blocks, inner ones first."""

    def fits(name: str) -> bool:
        return name.endswith('Block') if names is None else name in names

    kinds = {type(child).__name__ for child in module.modules()}
    missing = sorted(set(names or ()) - kinds)
    if missing or not any(map(fits, kinds)):
        raise ValueError(
            f'There are no blocks to gather one at a time: {missing or "*Block"}. Give '
            f'blocks of model_wrapper_cfg some of {sorted(kinds)}.'
        )
    children = [child for child in module.modules() if child is not module]
    return [child for child in reversed(children) if fits(type(child).__name__)]


def _synchronise(module: nn.Module) -> None:
    """Initialise and broadcast all weights, as MMEngine does with whole models."""
    module.init_weights()
    for tensor in module.state_dict().values():
        broadcast(tensor)
