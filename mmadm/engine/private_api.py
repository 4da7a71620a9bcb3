"""All uses of private functions and attributes of MMEngine and PyTorch by the engine.

There is no public way to do any of this. Each function says why it is needed;
``LAST_SEEN`` names the versions in which all of them were last tested.
"""

from collections.abc import Callable

import torch
from mmengine.optim import OptimWrapper
from mmengine.visualization import BaseVisBackend, Visualizer
from torch import Tensor, nn
from torch.optim import Optimizer

#: Versions with which the tests of this module last passed.
LAST_SEEN = dict(mmengine='0.10', torch='2.15')


def accumulative_counts(wrapper: OptimWrapper) -> int:
    """Number of batches whose gradients are accumulated; MMEngine keeps it private."""
    return wrapper._accumulative_counts


def log_backends(visualizer: Visualizer) -> dict[str, BaseVisBackend]:
    """All logs of a visualizer; MMEngine returns them only by name, without a list."""
    return visualizer._vis_backends


def receive_gradient_norm(
    wrapper: OptimWrapper, keep: Callable[[Tensor], None]
) -> None:
    """Clip gradients as before, but pass their norm to ``keep``, not to the log.

    MMEngine would read the norm at each step and wait for the GPU. It reads what the
    function in ``clip_func`` returns.
    """
    clip = wrapper.clip_func

    def clip_without_reading(parameters: list[Tensor], **kwargs) -> None:
        norm = clip(parameters, **kwargs)
        if norm is not None:
            keep(norm.detach())

    wrapper.clip_func = clip_without_reading


def skip_step_on_device(optimizer: Optimizer, skip: Tensor) -> None:
    """Let a fused optimizer skip its next step where ``skip`` is true, without a wait.

    Fused optimizers read ``found_inf``, which only PyTorch's gradient scaler sets.
    """
    optimizer.found_inf = skip.float()


def skip_no_more_steps(optimizer: Optimizer) -> None:
    """Undo :func:`skip_step_on_device`."""
    vars(optimizer).pop('found_inf', None)


def restore_class_name(module: nn.Module) -> None:
    """Give a module that FSDP has wrapped the name of its own class again.

    ``fully_shard`` replaces the class by a subclass with a prefix, but some settings
    (``recompute``) go by the name.
    """
    kind = type(module)
    kind.__name__ = kind.__bases__[-1].__name__


def forbid_copy_and_init(module: nn.Module) -> None:
    """Take from a sharded model what would fail half-way.

    MMEngine calls ``init_weights`` of whatever has it and would broadcast parts as if
    they were whole. Averages other than ``TrainableEMA`` copy the whole model. Special
    methods belong to the class, which ``fully_shard`` has made for this module alone.
    """

    def refuse_copy(self, memo: dict) -> None:
        raise ValueError(
            'A sharded model cannot be copied as a whole, but something tries to. Use '
            'ema_type=TrainableEMA for averages, or leave model_wrapper_cfg out.'
        )

    def no_init(self) -> None:
        raise AttributeError('init_weights')

    type(module).__deepcopy__ = refuse_copy
    type(module).init_weights = property(no_init)


def largest_absolute(tensors: list[Tensor]) -> Tensor:
    """Largest absolute value in all tensors; NaN wins. In two kernels for any number.

    ``torch.nn.utils.get_total_norm`` would do, but needs PyTorch 2.6.
    """
    peaks = torch._foreach_norm([x for x in tensors if x.numel()], torch.inf)
    return torch.stack([*peaks, tensors[0].new_zeros(())]).max()
