"""A model whose networks and sampler are one exported graph."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmadm.diffusion.samplers import Callback, NoiseSource
from mmadm.registry import MODELS
from mmadm.structures import DiffusionSample

from .data_preprocessor import reflected
from .sampling_model import Generate, SamplingModel
from .windows import Layout, WholeImage

#: (condition or None, noise (N, K, C, h, w)) -> images (N, C, H, W), float32.
Graph = Callable[[Tensor | None, Tensor], Tensor]


@MODELS.register_module()
class ExportedADM(SamplingModel):
    """Predicts like :class:`ADM`, with a graph that :mod:`mmadm.deployment` exported.

    The graph holds condition encoder, all sampling steps and the decoding. Noise,
    windows, padding and the conversion to 8 bits are those of :class:`ADM`, so that
    sample i is the same image.

    Args:
        graph: the graph, in one of the runtimes.
        num_steps: NFE of the graph, which cannot be changed.
        num_draws: K, how often its sampler draws noise.
        state_channels: channels of the diffused state.
        factor: pixels per position of the diffused state, in each direction.
        is_conditional: whether it takes a condition.
        window: side of the images of a graph of fixed size; None for any size.
        min_size: (H, W) of the smallest image of a graph for any size.
        data_preprocessor: see :class:`ADM`.
        test_cfg: see :class:`ADM`; windows are sampled one by one and then blended
            (``mode='slide_chains'``).
    """

    def __init__(
        self,
        graph: Graph,
        num_steps: int,
        num_draws: int,
        state_channels: int,
        factor: int,
        is_conditional: bool,
        data_preprocessor: dict,
        window: int | None = None,
        min_size: Sequence[int] = (1, 1),
        test_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, test_cfg)
        self.head = _GraphModule(graph)
        self.num_steps = num_steps
        self.num_draws = num_draws
        self.window = window
        self.min_size = tuple(min_size)
        self._facts = state_channels, factor, is_conditional
        self._check_num_samples()
        self.sampling_mode = self.make_mode(self.test_cfg)

    @property
    def state_channels(self) -> int:
        """Channels of the diffused state."""
        return self._facts[0]

    @property
    def factor(self) -> int:
        """Pixels per position of the diffused state, in each direction."""
        return self._facts[1]

    @property
    def is_conditional(self) -> bool:
        """Whether images are predicted from conditions."""
        return self._facts[2]

    def forward(
        self,
        inputs: dict,
        data_samples: Sequence[DiffusionSample] | None = None,
        mode: str = 'predict',
    ) -> list[DiffusionSample]:
        """Predictions, as :meth:`ADM.forward` with ``mode='predict'``.

        Raises:
            ValueError: another mode: a graph is not trained.
        """
        if mode != 'predict':
            raise ValueError(
                f"An exported graph only predicts, but mode={mode!r}. Use 'predict'; "
                'train the model with its config and tools/train.py.'
            )
        return self.predict(inputs['condition'], data_samples)

    @property
    def evaluations_per_run(self) -> int:
        """One: the graph has all steps inside."""
        return 1

    def make_mode(self, test_cfg: dict) -> WholeImage:
        """The sampling mode; windows are sampled one by one, and then blended."""
        if test_cfg.get('mode') == 'slide':
            test_cfg = dict(test_cfg, mode='slide_chains')
        return super().make_mode(test_cfg)

    def prepare(self, condition: Tensor | None, layout: Layout) -> Generate:
        """(noise, callback) -> images, for one condition.

        Raises:
            ValueError: there is a callback, but the states stay inside of the graph; or
                the image is smaller than the graph allows.
        """

        def generate(noise: NoiseSource, callback: Callback | None = None) -> Tensor:
            if callback is not None:
                raise ValueError(
                    'The states of an exported graph cannot be read, but a callback '
                    '(or trajectory=True) was given. Leave it out, or run the model '
                    'itself.'
                )
            draws = torch.stack([noise() for _ in range(self.num_draws)], dim=1)
            return self._run(condition, draws.float())

        return generate

    def _run(self, condition: Tensor | None, noise: Tensor) -> Tensor:
        height, width = (side * self.factor for side in noise.shape[-2:])
        if self.window is not None:
            noise = _fill(noise, self.window // self.factor)
            if condition is not None:
                scale = self.data_preprocessor.condition_scale
                condition = _fill(condition, self.window // scale)
        elif height < self.min_size[0] or width < self.min_size[1]:
            raise ValueError(
                f'The exported graph takes images of at least {self.min_size} pixels, '
                f'but this one has, padded, {(height, width)}. Enlarge it, or export '
                'with --window, which pads small images.'
            )
        return self.denoise(condition, noise)[..., :height, :width]

    def denoise(self, condition: Tensor | None, noise: Tensor) -> Tensor:
        """One evaluation of the graph: all steps, and the decoding."""
        return self.head(condition, noise)


class _GraphModule(nn.Module):
    """The graph as a module, so that hooks see when it runs."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, condition: Tensor | None, noise: Tensor) -> Tensor:
        return self.graph(condition, noise)


def _fill(x: Tensor, side: int) -> Tensor:
    """``x`` continued by reflection at its right and lower border to ``side``."""
    for dim in (-2, -1):
        places = reflected(torch.arange(side), x.shape[dim])
        x = x.index_select(dim, places.to(x.device))
    return x
