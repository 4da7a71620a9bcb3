"""How close an image is to the truth: PSNR and SSIM."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmadm.registry import METRICS
from mmadm.utils import resize

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


_MEASURES = {'psnr': psnr, 'ssim': ssim}


@METRICS.register_module()
class ImageFidelity(BaseMetric):
    """Mean over the images of PSNR and SSIM between ``pred_img`` and ``gt_img``.

    The default, all pixels of the three 8-bit RGB channels, is the protocol of the
    paper's Table III; the classical one of Set5 and so on is ``color='y'`` with
    ``crop_border`` equal to the scale.

    Args:
        measures: 'psnr' and 'ssim', or one of them.
        color: score RGB, or the luma of BT.601.
        crop_border: pixels left out at each side.
        baseline: score the bicubically enlarged condition too, the line to beat; its
            results are called ``bicubic:psnr`` and so on.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: put before the names of the results.
    """

    # MMEngine warns of metrics without a prefix.
    default_prefix = ''

    def __init__(
        self,
        measures: Sequence[str] = ('psnr', 'ssim'),
        color: Literal['rgb', 'y'] = 'rgb',
        crop_border: int = 0,
        baseline: Literal['bicubic'] | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        unknown = set(measures) - set(_MEASURES)
        if unknown:
            raise ValueError(
                f'Unknown measures {sorted(unknown)}. Use some of {sorted(_MEASURES)}.'
            )
        self.measures = tuple(measures)
        self.color = color
        self.crop_border = crop_border
        self.baseline = baseline

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Score each sample."""
        for sample in data_samples:
            truth = self._prepare(_to_array(sample['gt_img']))
            scores = self._scores(_to_array(sample['pred_img']), truth)
            if self.baseline is not None:
                size = sample['gt_img'].shape[-2:]
                guess = resize(_to_array(sample['condition']), size, self.baseline)
                scores.update(self._scores(guess, truth, f'{self.baseline}:'))
            self.results.append(scores)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Means of the scores of the images."""
        return {key: float(np.mean([r[key] for r in results])) for key in results[0]}

    def _scores(
        self, pred: np.ndarray, truth: np.ndarray, prefix: str = ''
    ) -> dict[str, float]:
        pred = self._prepare(pred)
        return {prefix + name: _MEASURES[name](pred, truth) for name in self.measures}

    def _prepare(self, image: np.ndarray) -> np.ndarray:
        if self.color == 'y':
            image = (image @ _LUMA + 16)[..., None]
        border = self.crop_border
        return image[border : image.shape[0] - border, border : image.shape[1] - border]


def _to_array(image: Tensor) -> np.ndarray:
    return image.cpu().numpy().transpose(1, 2, 0)
