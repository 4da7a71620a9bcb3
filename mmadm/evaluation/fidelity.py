"""Image fidelity: PSNR, SSIM and LPIPS against the ground truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmadm.registry import METRICS
from mmadm.utils import as_names
from mmadm.utils.images import is_grey_file
from mmadm.utils.matlab_resize import matlab_resize
from mmadm.utils.perceptual import build_lpips, lpips_name

from .sample_fields import check_finite, name_of, required

# ITU-R BT.601, studio range, as in MATLAB's rgb2ycbcr: black is 16, white 235.
_LUMA = np.array([65.481, 128.553, 24.966]) / 255
_BLACK, _RANGE = 16, 219


def psnr(pred: np.ndarray, gt: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of values in 0..255; infinite for equal images.

    Raises:
        ValueError: the shapes differ, or a value is NaN or infinite.
    """
    if pred.shape != gt.shape:
        raise ValueError(
            'PSNR compares images of one shape, but the prediction has '
            f'{pred.shape} and the ground truth {gt.shape}. Resize or convert one.'
        )
    error = np.mean((pred.astype(np.float64) - gt.astype(np.float64)) ** 2)
    check_finite(torch.tensor(error), 'mean squared error')
    return float('inf') if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(pred: np.ndarray, gt: np.ndarray) -> float:
    """Structural similarity of (H, W, C) values in 0..255 (Wang et al., 2004).

    Gaussian window of 11 x 11 with sigma 1.5, biased covariances, mean over channels.

    Raises:
        ValueError: the image is smaller than the window, or a value is NaN or infinite.
    """
    if min(gt.shape[:2]) < 11:
        raise ValueError(
            'SSIM needs images of at least 11 x 11 pixels, but this one is '
            f'{gt.shape[0]} x {gt.shape[1]}. Score larger images or measures='
            "('psnr',)."
        )
    from skimage.metrics import structural_similarity

    pred, gt = pred.astype(np.float64), gt.astype(np.float64)
    for image in (pred, gt):
        check_finite(torch.from_numpy(image), 'image')
    return structural_similarity(
        gt,
        pred,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=2,
    )


def luma(image: np.ndarray, full_range: bool = False) -> np.ndarray:
    """Y of BT.601 rounded to 8 bits, as MATLAB's ``rgb2ycbcr`` of uint8 images.

    Args:
        image: (H, W, 3), RGB, or (H, W, 1), which is returned as it is.
        full_range: map to 0..255, MATLAB's ``rgb2gray``, instead of 16..235.

    Returns:
        (H, W, 1), uint8.
    """
    if image.shape[2] == 1:
        return image
    y = image @ _LUMA
    y = y * (255 / _RANGE) if full_range else y + _BLACK
    return np.floor(y + 0.5).astype(np.uint8)[..., None]


class PerceptualDistance:
    """LPIPS of two images: distance of network features, version 0.1; 0 if equal.

    Args:
        weights: see :func:`mmadm.utils.perceptual.build_lpips`.
        network: likewise.
    """

    def __init__(self, weights: str | None = None, network: str = 'vgg') -> None:
        self.name = lpips_name(weights, network)
        self.device = get_device()
        self.network = build_lpips(weights, network).to(self.device)

    @torch.no_grad()
    def __call__(self, pred: np.ndarray, gt: np.ndarray) -> float:
        """Compare (H, W, C) values in 0..255, RGB or grey."""
        with torch.autocast(torch.device(self.device).type, enabled=False):
            distance = self.network(self._to_input(pred), self._to_input(gt))
        check_finite(distance, self.name)
        return float(distance)

    def _to_input(self, image: np.ndarray) -> Tensor:
        tensor = torch.tensor(image.transpose(2, 0, 1), dtype=torch.float32)
        return tensor[None].to(self.device) / 127.5 - 1


_PIXELS = {'psnr': psnr, 'ssim': ssim}
MEASURES = (*_PIXELS, 'lpips', 'lr_psnr', 'psnr_hole')


@METRICS.register_module()
class ImageFidelity(BaseMetric):
    """PSNR, SSIM and LPIPS of ``pred_img`` against ``gt_img``, mean over the images.

    The default, all pixels of the three 8-bit RGB channels, is the protocol of the
    paper's Table III. The classical protocol of Set5, Set14 and B100 is ``color='y'``
    with ``crop_border`` equal to the scale. Names of results contain the protocol:
    ``psnr_rgb``, ``ssim_y_b4`` (luma, 4 pixels left out at each side), ``psnr_grey``
    where the images have one channel, ``lpips_vgg_rgb``.

    Args:
        measures: some of 'psnr', 'ssim', 'lpips'; 'lr_psnr', PSNR between the condition
            and the prediction reduced to its size by MATLAB's bicubic; and 'psnr_hole',
            PSNR of all channels where ``mask`` is 1.
        color: 'rgb' scores all channels as they are. 'y' scores the luma of BT.601,
            rounded to 8 bits; where the file of the ground truth (``gt_path``) is grey,
            its values are the luma as they are.
        crop_border: pixels left out at each side.
        baseline: score the bicubically enlarged condition too; its results are called
            ``bicubic:psnr_rgb`` and so on.
        lpips_weights: see :func:`mmadm.utils.perceptual.build_lpips`.
        lpips_network: 'vgg', 'alex' or 'squeeze'.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: put before the names of the results.

    Raises:
        FileNotFoundError: LPIPS has no weights.
        ValueError: an option is unknown, or a measure is not defined for luma.
    """

    # MMEngine warns of metrics without a prefix.
    default_prefix = ''

    def __init__(
        self,
        measures: str | Sequence[str] = ('psnr', 'ssim'),
        color: Literal['rgb', 'y'] = 'rgb',
        crop_border: int = 0,
        baseline: Literal['bicubic'] | None = None,
        lpips_weights: str | None = None,
        lpips_network: str = 'vgg',
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        measures = as_names(measures)
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
                "LPIPS is defined for RGB images, but color='y'. Put it into a second "
                "ImageFidelity with color='rgb'."
            )
        self.functions = {name: f for name, f in _PIXELS.items() if name in measures}
        if 'lpips' in measures:
            distance = PerceptualDistance(lpips_weights, lpips_network)
            self.functions[distance.name] = distance
        self.check_reduced = 'lr_psnr' in measures
        self.check_hole = 'psnr_hole' in measures
        self.color = color
        self.crop_border = crop_border
        self.baseline = baseline

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Score each sample."""
        for sample in data_samples:
            pred, gt = _field(sample, 'pred_img'), _field(sample, 'gt_img')
            self._check(pred, gt, sample)
            grey = self.color == 'y' and _is_grey(sample)
            scores = self._scores(self._channels(pred, grey), self._channels(gt, grey))
            if self.check_reduced:
                condition = _field(sample, 'condition')
                reduced = matlab_resize(pred, condition.shape[:2])
                scores['lr_psnr'] = psnr(reduced, condition)
            if self.check_hole:
                scores['psnr_hole'] = _hole_psnr(pred, gt, sample)
            if self.baseline is not None:
                enlarged = self._bicubic(gt, _field(sample, 'condition'), grey)
                baseline = self._scores(enlarged, self._channels(gt, grey))
                scores |= {f'{self.baseline}:{k}': v for k, v in baseline.items()}
            self.results.append(scores)

    def _check(self, pred: np.ndarray, gt: np.ndarray, sample: dict) -> None:
        if pred.shape != gt.shape:
            raise ValueError(
                f'The prediction of {name_of(sample)} has the shape {pred.shape} (H, '
                f'W, C), its ground truth {gt.shape}. Predict images of the latter '
                'size.'
            )
        if min(gt.shape[:2]) <= 2 * self.crop_border:
            raise ValueError(
                f'Without crop_border={self.crop_border} pixels at each side nothing '
                f'is left of {name_of(sample)}, {gt.shape[0]} x {gt.shape[1]}. '
                'Score larger images or crop less.'
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Means of the scores of the images."""
        return {key: float(np.mean([r[key] for r in results])) for key in results[0]}

    def _scores(self, pred: np.ndarray, gt: np.ndarray) -> dict[str, float]:
        """Scores of images whose channels are those to be scored."""
        border = self.crop_border
        inner = np.s_[border : gt.shape[0] - border, border : gt.shape[1] - border]
        protocol = 'grey' if gt.shape[2] == 1 and self.color == 'rgb' else self.color
        protocol += f'_b{border}' if border else ''
        return {
            f'{name}_{protocol}': function(pred[inner], gt[inner])
            for name, function in self.functions.items()
        }

    def _channels(self, image: np.ndarray, grey: bool) -> np.ndarray:
        """The channels to be scored; ``grey``: the file of the ground truth is."""
        return image if self.color == 'rgb' else luma(image, full_range=grey)

    def _bicubic(self, gt: np.ndarray, condition: np.ndarray, grey: bool) -> np.ndarray:
        """The baseline, in the channels to be scored.

        Published scores of luma reduce and enlarge the luma alone. So does this, where
        the condition is MATLAB's reduction of the ground truth; otherwise the condition
        is enlarged.
        """
        size, small = gt.shape[:2], condition.shape[:2]
        if self.color == 'y' and np.array_equal(matlab_resize(gt, small), condition):
            return matlab_resize(matlab_resize(self._channels(gt, grey), small), size)
        return self._channels(matlab_resize(condition, size), grey)


def _field(sample: dict, key: str) -> np.ndarray:
    return required(sample, key, 'ImageFidelity').cpu().numpy().transpose(1, 2, 0)


def _is_grey(sample: dict) -> bool:
    """Whether the file of the ground truth has one channel, if there is a file."""
    path = sample.get('gt_path')
    return path is not None and Path(path).is_file() and is_grey_file(path)


def _hole_psnr(pred: np.ndarray, gt: np.ndarray, sample: dict) -> float:
    hole = _field(sample, 'mask')[..., 0] != 0
    if not hole.any():
        raise ValueError(
            f'{name_of(sample)} has no hole, of which psnr_hole is the PSNR. Give it a '
            'mask that is 1 somewhere, or leave the measure out.'
        )
    return psnr(pred[hole], gt[hole])
