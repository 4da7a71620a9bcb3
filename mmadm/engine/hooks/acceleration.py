"""Options that make networks faster or smaller and change results by rounding only."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from mmengine.hooks import Hook
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmadm.registry import HOOKS
from mmadm.utils import as_names, unwrap_model

#: Parts of a model that do almost all of the computation.
_NETWORKS = ('head', 'condition_encoder')


@HOOKS.register_module()
class AccelerationHook(Hook):
    """Prepares head and condition encoder for the hardware.

    Args:
        compile: compile the networks with :func:`torch.compile`: False, True, or its
            options (``dict(mode='max-autotune')``); 'auto' compiles in training on a
            GPU. Compilation takes minutes at the start, and again for each new image
            size. Without a working compiler there is one warning, and the networks run
            uncompiled.
        tf32: let GPUs round the inputs of float32 products to 10 bits of mantissa.
        channels_last: keep feature maps as (N, H, W, C) in memory, which is faster on
            some CPUs. On GPUs, compile chooses the layout itself.
        recompute: names of block classes (``'ResBlock'``) whose inner feature maps are
            computed again in the backward pass instead of being kept: less memory, a
            third more computation, the same gradients to the last bit.
    """

    # Before the average copies the weights and their layout.
    priority = 'VERY_HIGH'

    def __init__(
        self,
        compile: bool | dict | Literal['auto'] = 'auto',
        tf32: bool = True,
        channels_last: bool = False,
        recompute: str | Sequence[str] = (),
    ) -> None:
        if isinstance(compile, str) and compile != 'auto':
            raise ValueError(
                f'Unknown compile={compile!r} of AccelerationHook. Use True, False, '
                "'auto', or a dict of options of torch.compile."
            )
        self.compile = compile
        self.tf32 = tf32
        self.channels_last = channels_last
        self.recompute = as_names(recompute)

    def before_run(self, runner) -> None:
        """Set the options of training, validation and testing."""
        if torch.are_deterministic_algorithms_enabled():
            # cuBLAS reads this at its first product.
            os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
        if _device(runner).type == 'cuda':
            torch.set_float32_matmul_precision('high' if self.tf32 else 'highest')
            torch.backends.cudnn.allow_tf32 = self.tf32
        if self.channels_last:
            for network in _networks(runner):
                network.to(memory_format=torch.channels_last)

    def before_train(self, runner) -> None:
        """Wrap and compile the networks that are trained."""
        self._recompute(runner)
        if self.compile == 'auto':
            self._compile(runner, _device(runner).type == 'cuda')
        else:
            self._compile(runner, self.compile)

    def before_test(self, runner) -> None:
        """Compile only on request: 'auto' would take longer than a short test."""
        self._compile(runner, self.compile != 'auto' and self.compile)

    def _recompute(self, runner) -> None:
        blocks = [
            module
            for network in _networks(runner)
            for module in network.modules()
            if type(module).__name__ in self.recompute
        ]
        found = {type(block).__name__ for block in blocks}
        missing = sorted(set(self.recompute) - found)
        if missing:
            names = {type(m).__name__ for n in _networks(runner) for m in n.modules()}
            raise ValueError(
                f'There are no blocks to recompute of the class {missing}. Give '
                f'recompute of AccelerationHook some of {sorted(names)}.'
            )
        for block in blocks:
            block.forward = _recomputed(block.forward)

    def _compile(self, runner, wanted: bool | dict) -> None:
        if not wanted:
            return
        options = wanted if isinstance(wanted, dict) else {}
        reason = compiler_error(_device(runner), options)
        if reason is not None:
            runner.logger.warning(
                f'The networks run without torch.compile, which fails here ({reason}). '
                'Install its compiler, or set compile=False of AccelerationHook.'
            )
            return
        for network in _networks(runner):
            # In place: neither the names of the weights nor copies of them change.
            network.compile(**options)


def _recomputed(forward: Callable) -> Callable:
    @functools.wraps(forward)
    def wrapper(*args, **kwargs):
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return wrapper


def compiler_error(device: torch.device, options: dict) -> str | None:
    """Error of the compiler with the smallest program; None if it works."""
    try:
        torch.compile(torch.sin, **options)(torch.ones(2, device=device))
    except Exception as error:  # compilers fail in many ways
        cause = error.__cause__ or error
        # The first paragraph; the others are about debugging the compiler.
        text = ' '.join(str(cause).strip().partition('\n\n')[0].split())
        return f'{type(cause).__name__}: {text[:200]}'
    return None


def _networks(runner) -> Iterator[nn.Module]:
    model = unwrap_model(runner.model)
    for name in _NETWORKS:
        network = getattr(model, name, None)
        if network is not None:
            yield network


def _device(runner) -> torch.device:
    return next(runner.model.parameters()).device
