"""Exponential moving average of the trained weights."""

import copy
from collections.abc import Iterator

import torch
from mmengine.model import BaseAveragedModel
from torch import Tensor, nn

from mmadm.registry import MODELS
from mmadm.utils.power_average import power_of
from mmadm.utils.sharding import accept_whole_weights, is_sharded, local_part


@MODELS.register_module()
class TrainableEMA(BaseAveragedModel):
    """Exponential moving average of the trained weights.

    ``average <- average + m (weight - average)``

    Frozen parts (a first stage, say) are shared with the model, not copied: they cost
    neither memory nor time. Each process averages its own part of a sharded model. For
    use as ``ema_type`` of MMEngine's ``EMAHook``.

    Args:
        model: the model to average.
        momentum: m = 1 - decay, so small: 1e-4 for a decay of 0.9999.
        interval: iterations between two updates.
        update_buffers: average the floating-point buffers of trained parts too, as the
            authors do: the statistics of a batch normalisation belong to its weights.
            False copies them.
        ramp: iteration k uses at least ``(k + 1)^(-ramp)`` as m, so that the average
            soon forgets the initial weights. The authors use 2/3.
    """

    def __init__(
        self,
        model: nn.Module,
        momentum: float = 1e-4,
        interval: int = 1,
        update_buffers: bool = True,
        ramp: float | None = None,
    ) -> None:
        if not 0 < momentum < 0.5:
            raise ValueError(
                'The EMA momentum is 1 - decay and lies between 0 and 0.5, but '
                f'momentum={momentum}. For a decay of 0.9999 give 1e-4.'
            )
        # The parent copies all of the model; its attributes are set here instead.
        nn.Module.__init__(self)
        shared = {id(tensor): tensor for tensor in _frozen_tensors(model)}
        if any(map(is_sharded, model.parameters())):
            self.module = _weights_only_copy(model, shared)
            accept_whole_weights(self.module)
        else:
            self.module = copy.deepcopy(model, shared)
        self.module.requires_grad_(False)
        self.register_buffer('steps', torch.tensor(0))
        self.interval = interval
        self.update_buffers = update_buffers
        self.momentum = momentum
        self.ramp = ramp
        # In a tuple, so that it does not become a submodule.
        self._paired_with: tuple[nn.Module | None] = (None,)

    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards the weights of ``model``."""
        if self._paired_with[0] is not model:
            self._pair_up(model)
        steps = int(self.steps)
        if steps == 0:
            torch._foreach_copy_(self._averages, self._weights)
        elif steps % self.interval == 0:
            torch._foreach_lerp_(self._averages, self._weights, self.momentum_at(steps))
        for average, buffer in self._copied:
            average.copy_(buffer)
        self.steps += 1

    def momentum_at(self, steps: int) -> float:
        """m of the update after ``steps`` updates."""
        early = 0.0 if self.ramp is None else (steps + 1) ** -self.ramp
        return max(self.momentum, early)

    def _pair_up(self, model: nn.Module) -> None:
        """List the tensors to average and to copy, once: it takes 600 look-ups."""
        averages, weights = list(self.module.parameters()), list(model.parameters())
        buffers = list(zip(self.module.buffers(), model.buffers()))
        self._copied = [(a, b) for a, b in buffers if a.data_ptr() != b.data_ptr()]
        if self.update_buffers:
            floating = [(a, b) for a, b in self._copied if a.is_floating_point()]
            self._copied = [
                (a, b) for a, b in self._copied if not a.is_floating_point()
            ]
            averages += [a for a, _ in floating]
            weights += [b for _, b in floating]
        pairs = [
            (local_part(a.data), local_part(w.data))
            for a, w in zip(averages, weights)
            if a is not w
        ]
        self._averages = [a for a, _ in pairs]
        self._weights = [w for _, w in pairs]
        self._paired_with = (model,)


@MODELS.register_module()
class PowerEMA(TrainableEMA):
    """Average that weighs iteration k in proportion to ``k^gamma`` (EDM2).

    Its length grows with the run, and any other length can be reconstructed from two
    of them; see :class:`mmadm.engine.PowerEMAHook`.

    Args:
        model: the model to average.
        sigma_rel: standard deviation of the weight as a fraction of the run.
    """

    def __init__(self, model: nn.Module, sigma_rel: float = 0.05) -> None:
        super().__init__(model)
        self.power = power_of(sigma_rel)

    def momentum_at(self, steps: int) -> float:
        """m of the update after ``steps`` updates."""
        return 1 - (1 - 1 / (steps + 1)) ** (self.power + 1)


def _frozen_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Parameters without gradient, and the buffers of modules that have only such."""
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            yield from module.buffers()
        yield from (p for p in module.parameters(recurse=False) if not p.requires_grad)


def _weights_only_copy(model: nn.Module, memo: dict[int, Tensor]) -> nn.Module:
    """A module with copies of all weights and buffers, and no code.

    An average computes nothing, and FSDP refuses to copy a module that does.

    Args:
        model: the model to copy.
        memo: the copy of each tensor by its id; new copies are added.
    """

    def copied(tensor: Tensor | None) -> Tensor | None:
        if tensor is not None and id(tensor) not in memo:
            copy = tensor.detach().clone()
            kind = nn.Parameter if isinstance(tensor, nn.Parameter) else Tensor
            memo[id(tensor)] = kind(copy)
        return None if tensor is None else memo[id(tensor)]

    module = nn.Module()
    for name, tensor in model._parameters.items():
        module.register_parameter(name, copied(tensor))
    for name, tensor in model._buffers.items():
        keep = name not in model._non_persistent_buffers_set
        module.register_buffer(name, copied(tensor), persistent=keep)
    for name, child in model.named_children():
        module.add_module(name, _weights_only_copy(child, memo))
    return module
