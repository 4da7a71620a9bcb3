"""How close an image is to the truth: PSNR, SSIM and LPIPS."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmadm.registry import METRICS
from mmadm.utils import resize
from mmadm.utils.matlab_resize import matlab_resize
from mmadm.utils.perceptual import RANDOM, build_lpips

from .sample_fields import name_of, required

# ITU-R BT.601, studio range, as in MATLAB's rgb2ycbcr.
_LUMA = np.array([65.481, 128.553, 24.966]) / 255


def psnr(pred: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..255; infinite for equal ones."""
    error = np.mean((pred.astype(np.float64) - truth.astype(np.float64)) ** 2)
    return float('inf') if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(pred: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity of (H, W, C) values in 0..255, as Wang et al. define it.

    11 x 11 Gaussian window of sigma 1.5, biased covariances, mean over channels.

    Raises:
        ValueError: the image is smaller than the window.
    """
    if min(truth.shape[:2]) < 11:
        raise ValueError(
            'SSIM needs images of at least 11 x 11 pixels, but this one is '
            f'{truth.shape[0]} x {truth.shape[1]}. Score larger images or measures='
            "('psnr',)."
        )
    from skimage.metrics import structural_similarity

    return structural_similarity(
        truth.astype(np.float64),
        pred.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
    )


class PerceptualDistance:
    """LPIPS of two images: distance of a network's features, version 0.1; 0 if equal.

    Args:
        weights: see :func:`mmadm.utils.perceptual.build_lpips`.
        network: likewise.
    """

    def __init__(self, weights: str | None = None, network: str = 'vgg') -> None:
        self.name = f'lpips_{network}'
        if weights == RANDOM:
            self.name += '_random_weights'
        self.device = get_device()
        self.network = build_lpips(weights, network).to(self.device)

    @torch.no_grad()
    def __call__(self, pred: np.ndarray, truth: np.ndarray) -> float:
        """Compare (H, W, C) values in 0..255, RGB or grey."""
        with torch.autocast(torch.device(self.device).type, enabled=False):
            return float(self.network(self._to_input(pred), self._to_input(truth)))

    def _to_input(self, image: np.ndarray) -> Tensor:
        tensor = torch.tensor(image.transpose(2, 0, 1), dtype=torch.float32)
        return tensor[None].to(self.device) / 127.5 - 1


_PIXELS = {'psnr': psnr, 'ssim': ssim}
MEASURES = (*_PIXELS, 'lpips', 'lr_psnr')


@METRICS.register_module()
class ImageFidelity(BaseMetric):
    """Means over the images of distances between ``pred_img`` and ``gt_img``.

    The default, all pixels of the three 8-bit RGB channels, is the protocol of the
    paper's Table III; the classical one of Set5 and so on is ``color='y'`` with
    ``crop_border`` equal to the scale. Results say how they were made: ``psnr_rgb``,
    ``ssim_y_b4`` (luma, 4 pixels left out at each side), ``psnr_grey`` where the images
    have one channel, ``lpips_vgg_rgb``.

    Args:
        measures: some of 'psnr', 'ssim', 'lpips', and 'lr_psnr': PSNR between the
            condition and the prediction reduced to its size, by MATLAB's bicubic.
        color: score all channels as they are, or the luma of BT.601 (grey images, by
            custom, are taken as their luma).
        crop_border: pixels left out at each side.
        baseline: score the bicubically enlarged condition too, the line to beat; its
            results are called ``bicubic:psnr_rgb`` and so on.
        lpips_weights: see :func:`mmadm.utils.perceptual.build_lpips`.
        lpips_network: 'vgg', 'alex' or 'squeeze'.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: put before the names of the results.

    Raises:
        FileNotFoundError: LPIPS has no weights.
        ValueError: an option is unknown, or a measure is not one of luma.
    """

    # MMEngine warns of metrics without a prefix.
    default_prefix = ''

    def __init__(
        self,
        measures: Sequence[str] = ('psnr', 'ssim'),
        color: Literal['rgb', 'y'] = 'rgb',
        crop_border: int = 0,
        baseline: Literal['bicubic'] | None = None,
        lpips_weights: str | None = None,
        lpips_network: str = 'vgg',
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        unknown = set(measures) - set(MEASURES)
        if unknown:
            raise ValueError(
                f'Unknown measures {sorted(unknown)}. Use some of {sorted(MEASURES)}.'
            )
        if color not in ('rgb', 'y') or baseline not in (None, 'bicubic'):
            raise ValueError(
                f'Unknown option among color={color!r} and baseline={baseline!r}. Use '
                "color='rgb' or 'y', and baseline='bicubic' or None."
            )
        if crop_border < 0:
            raise ValueError(
                f'A border has no negative width, but crop_border={crop_border}. Give '
                'the scale, or 0 to score all pixels.'
            )
        if color == 'y' and 'lpips' in measures:
            raise ValueError(
                "LPIPS is defined for colours, but color='y'. Put it into a second "
                "ImageFidelity with color='rgb'."
            )
        self.functions = {name: f for name, f in _PIXELS.items() if name in measures}
        if 'lpips' in measures:
            distance = PerceptualDistance(lpips_weights, lpips_network)
            self.functions[distance.name] = distance
        self.check_reduced = 'lr_psnr' in measures
        self.color = color
        self.crop_border = crop_border
        self.baseline = baseline

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Score each sample."""
        for sample in data_samples:
            pred, truth = _field(sample, 'pred_img'), _field(sample, 'gt_img')
            self._check(pred, truth, sample)
            scores = self._scores(pred, truth)
            if self.check_reduced:
                condition = _field(sample, 'condition')
                reduced = matlab_resize(pred, condition.shape[:2])
                scores['lr_psnr'] = psnr(reduced, condition)
            if self.baseline is not None:
                guess = resize(
                    _field(sample, 'condition'), truth.shape[:2], self.baseline
                )
                of_guess = self._scores(guess, truth)
                scores |= {f'{self.baseline}:{k}': v for k, v in of_guess.items()}
            self.results.append(scores)

    def _check(self, pred: np.ndarray, truth: np.ndarray, sample: dict) -> None:
        if pred.shape != truth.shape:
            raise ValueError(
                f'The answer to {name_of(sample)} has the shape {pred.shape} (H, W, '
                f'C), its truth {truth.shape}. Test at the size of the truth.'
            )
        if min(truth.shape[:2]) <= 2 * self.crop_border:
            raise ValueError(
                f'Without crop_border={self.crop_border} pixels at each side nothing '
                f'is left of {name_of(sample)}, {truth.shape[0]} x {truth.shape[1]}. '
                'Score larger images or crop less.'
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Means of the scores of the images."""
        return {key: float(np.mean([r[key] for r in results])) for key in results[0]}

    def _scores(self, pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        preset = self._preset(truth.shape[2])
        pred, truth = self._prepare(pred), self._prepare(truth)
        return {
            f'{name}_{preset}': function(pred, truth)
            for name, function in self.functions.items()
        }

    def _preset(self, channels: int) -> str:
        """How images of so many channels are scored, in short."""
        color = 'grey' if channels == 1 and self.color == 'rgb' else self.color
        return f'{color}_b{self.crop_border}' if self.crop_border else color

    def _prepare(self, image: np.ndarray) -> np.ndarray:
        if self.color == 'y' and image.shape[2] == 3:
            image = (image @ _LUMA + 16)[..., None]
        border = self.crop_border
        return image[border : image.shape[0] - border, border : image.shape[1] - border]


def _field(sample: dict, key: str) -> np.ndarray:
    return required(sample, key, 'ImageFidelity').cpu().numpy().transpose(1, 2, 0)
