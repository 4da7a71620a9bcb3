"""Optimizer wrappers: bfloat16 autocast, and iteration over one or several."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmadm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """bfloat16 autocast for the forward pass; weights, loss and steps are float32.

    bfloat16 has the range of float32, so no loss scaling is needed. The paper reports
    worse images with float16 (Sec. V-A).

    Args:
        dtype: name of the autocast type.
        kwargs: see :class:`mmengine.optim.OptimWrapper`.
    """

    def __init__(self, dtype: str = 'bfloat16', **kwargs) -> None:
        super().__init__(**kwargs)
        self.dtype = getattr(torch, dtype)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast within the context of gradient accumulation."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=self.dtype):
            yield


def optim_wrappers(wrapper: OptimWrapper | OptimWrapperDict) -> Iterable[OptimWrapper]:
    """All optimizer wrappers of a run: one, or one for each part of the model."""
    return wrapper.values() if isinstance(wrapper, OptimWrapperDict) else (wrapper,)
