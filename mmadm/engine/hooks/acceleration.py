"""Switches for faster or smaller networks, with the same results but for rounding."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from mmengine.hooks import Hook
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmadm.registry import HOOKS
from mmadm.utils import unwrap_model

#: The parts of a model that do almost all of the work.
_NETWORKS = ('head', 'condition_encoder')


@HOOKS.register_module()
class AccelerationHook(Hook):
    """Prepares head and condition encoder for the machine they run on.

    Args:
        compile: translate the networks with :func:`torch.compile`: False, True, or its
            options (``dict(mode='max-autotune')``); 'auto' to do so where a model is
            trained on a GPU. Costs minutes at the start, and again for each new image
            size. Where there is no working compiler, one warning, and the networks run
            as they are.
        tf32: let GPUs round the inputs of float32 products to 10 bits of mantissa.
        channels_last: keep feature maps as (N, H, W, C) in memory. For GPUs, compile
            chooses the layout itself, and without it the normalisations return to
            (N, C, H, W), so it pays on CPUs at most.
        recompute: names of block classes (``'ResBlock'``) whose inner feature maps are
            computed again in the backward pass instead of being kept: less memory, a
            third more work, the same gradients to the last bit.
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
        self.recompute = (recompute,) if isinstance(recompute, str) else recompute

    def before_run(self, runner) -> None:
        """Set what training, validation and test have in common."""
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
        """Compile where it was asked for: a test may be over sooner than that."""
        self._compile(runner, self.compile != 'auto' and self.compile)

    def _recompute(self, runner) -> None:
        blocks = [
            module
            for network in _networks(runner)
            for module in network.modules()
            if type(module).__name__ in self.recompute
        ]
        there = {type(block).__name__ for block in blocks}
        missing = sorted(set(self.recompute) - there)
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
        reason = _why_not(_device(runner), options)
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


def _why_not(device: torch.device, options: dict) -> str | None:
    """What the compiler answers to the smallest of programs; None if it works."""
    try:
        torch.compile(torch.sin, **options)(torch.ones(2, device=device))
    except Exception as error:  # compilers fail in many ways
        cause = error.__cause__ or error
        # The first paragraph; others tell how to debug the compiler.
        said = ' '.join(str(cause).strip().partition('\n\n')[0].split())
        return f'{type(cause).__name__}: {said[:200]}'
    return None


def _networks(runner) -> Iterator[nn.Module]:
    model = unwrap_model(runner.model)
    for name in _NETWORKS:
        network = getattr(model, name, None)
        if network is not None:
            yield network


def _device(runner) -> torch.device:
    return next(runner.model.parameters()).device
