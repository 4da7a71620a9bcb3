"""Several optimizers with one backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from torch import nn

from mmadm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmadm.utils import unwrap_model


class JointOptimWrapper(OptimWrapperDict):
    """Steps several optimizers after one backward pass of the sum of their losses.

    For parts whose losses share the forward pass but no gradient, like an autoencoder
    and its discriminator. With MMEngine's own ``OptimWrapperDict`` the model would run
    the passes itself, which its wrapper for several processes does not support.

    Autocast and accumulation are those of the first optimizer. Each optimizer has its
    own learning rate, clipping and state.
    """

    @property
    def _first(self) -> OptimWrapper:
        return next(iter(self.values()))

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of the forward pass."""
        with self._first.optim_context(model):
            yield

    def initialize_count_status(
        self, model: nn.Module, cur_iter: int, max_iters: int
    ) -> None:
        """Set the counters of accumulation."""
        self._first.initialize_count_status(model, cur_iter, max_iters)

    def update_params(
        self,
        loss: torch.Tensor,
        step_kwargs: dict | None = None,
        zero_kwargs: dict | None = None,
    ) -> None:
        """Backward pass; then, once all gradients are accumulated, a step of each."""
        self._first.backward(self._first.scale_loss(loss))
        if self._first.should_update():
            for wrapper in self.values():
                wrapper.step(**(step_kwargs or {}))
                wrapper.zero_grad(**(zero_kwargs or {}))


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class JointOptimConstructor:
    """Builds an optimizer for each part of a model, as ``optim_wrapper.constructor``.

    Args:
        optim_wrapper_cfg: name of each part and config of its wrapper.
        paramwise_cfg: refused; it belongs into the config of a part.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        if paramwise_cfg is not None:
            raise ValueError(
                'paramwise_cfg belongs to one optimizer, but is given for several: '
                f'{sorted(optim_wrapper_cfg)}. Move it into one of them.'
            )
        counts = {
            cfg.get('accumulative_counts', 1) for cfg in optim_wrapper_cfg.values()
        }
        if len(counts) > 1:
            raise ValueError(
                'Optimizers that share a backward pass accumulate the same batches, '
                f'but accumulative_counts are {sorted(counts)}. Give the same to all.'
            )
        self.parts = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> JointOptimWrapper:
        """Build the optimizers of a model.

        Raises:
            ValueError: the model has no such part, or a weight has no optimizer.
        """
        model = unwrap_model(model)
        children = dict(model.named_children())
        unknown = sorted(self.parts.keys() - children.keys())
        forgotten = [
            name
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and name.split('.')[0] not in self.parts
        ]
        if unknown or forgotten:
            raise ValueError(
                f'optim_wrapper has parts {sorted(self.parts)}. Not in the model: '
                f'{unknown}; weights without an optimizer: {forgotten[:3]}. Give one '
                f'for each trained child of the model: {sorted(children)}.'
            )
        wrappers = {
            name: build_optim_wrapper(children[name], cfg)
            for name, cfg in self.parts.items()
        }
        for name, wrapper in wrappers.items():
            wrapper.grad_name = f'{name}_grad_norm'
        return JointOptimWrapper(**wrappers)
