"""Training a model of which each process keeps a part."""

from collections.abc import Sequence

import torch
from mmengine.dist import broadcast, get_world_size
from mmengine.registry import MODEL_WRAPPERS
from mmengine.utils import digit_version
from torch import nn

from mmadm.utils.sharding import accept_whole_weights


@MODEL_WRAPPERS.register_module()
class ShardedDataParallel(nn.Module):
    """Spreads weights, gradients, moments and averages over all processes.

    PyTorch's FSDP2 for ``model_wrapper_cfg``, on GPUs and (through gloo) on CPUs. Each
    block is gathered when it computes and let go after that. What is frozen stays whole
    in each process; for an evaluation all is gathered once. Checkpoints are those of a
    single process.

    Works with ``ShardingHook``, ``AtomicCheckpointHook`` and ``TrainableEMA``, which
    are in the base config.

    Args:
        module: the model, the same class in each process.
        blocks: names of the classes that are gathered one at a time; None for all
            whose name ends in 'Block'. The rest of the weights is gathered together.

    Raises:
        RuntimeError: this PyTorch is too old.
        ValueError: a model without such blocks, or several optimizers.
    """

    def __init__(self, module: nn.Module, blocks: Sequence[str] | None = None) -> None:
        super().__init__()
        if digit_version(torch.__version__) < digit_version('2.7'):
            raise RuntimeError(
                'ShardedDataParallel needs PyTorch 2.7 or newer, but this is '
                f'{torch.__version__}. Upgrade it, or leave model_wrapper_cfg out.'
            )
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        parts = _find_blocks(module, blocks)
        _begin_alike(module)
        device = next(module.parameters()).device
        options = dict(
            mesh=init_device_mesh(device.type, (get_world_size(),)),
            reshard_after_forward=True,
            ignored_params={p for p in module.parameters() if not p.requires_grad},
        )
        self._parts = [fully_shard(part, **options) for part in (*parts, module)]
        for part in self._parts:
            # FSDP has renamed the class, but other settings go by its name.
            kind = type(part)
            kind.__name__ = kind.__bases__[-1].__name__
        _keep_from(type(module))
        accept_whole_weights(module)
        self.module = module

    def forward(self, *args, **kwargs):
        """As the model's."""
        return self.module(*args, **kwargs)

    def train_step(self, data: dict, optim_wrapper) -> dict:
        """As the model's."""
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: dict) -> list:
        """As the model's."""
        return self.module.val_step(data)

    def test_step(self, data: dict) -> list:
        """As the model's."""
        return self.module.test_step(data)

    def train(self, mode: bool = True) -> 'ShardedDataParallel':
        """Switch the mode, in all processes together.

        In evaluation the processes may have different numbers of batches, so nothing
        can be gathered along the way: all is at the start, and let go at the end.
        """
        if mode != self.training:
            for part in self._parts:
                part.set_reshard_after_forward(mode, recurse=False)
                if mode:
                    part.reshard()
                else:
                    part.unshard()
        return super().train(mode)


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


def _begin_alike(module: nn.Module) -> None:
    """What MMEngine does to a whole model when training begins."""
    module.init_weights()
    for tensor in module.state_dict().values():
        broadcast(tensor)


def _keep_from(kind: type) -> None:
    """Take back what a sharded model no longer can."""

    def refuse_copy(self, memo: dict) -> None:
        raise ValueError(
            'A sharded model cannot be copied as a whole, but something tries to. Use '
            'ema_type=TrainableEMA for averages, or leave model_wrapper_cfg out.'
        )

    def no_init(self) -> None:
        raise AttributeError('init_weights')

    kind.__deepcopy__ = refuse_copy
    # MMEngine looks for this, and would send parts around as if they were wholes.
    kind.init_weights = property(no_init)
