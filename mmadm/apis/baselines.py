"""Simple baselines, scored by the metrics of a config: what a model has to beat."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from torch import Tensor

from mmadm.registry import DATASETS
from mmadm.structures import DiffusionSample
from mmadm.utils import matlab_resize, resize
from mmadm.utils.images import read_map

#: From a sample without ``pred_img`` to an image (H, W, C), uint8.
Predict = Callable[[DiffusionSample], np.ndarray]

# Levels of the soft Canny map, and the largest threshold of the gradient.
_CANNY_LEVELS = 50
_CANNY_MAX = 500.0
# Pixels around a hole that OpenCV's inpainting looks at.
_RADIUS = 3
# Side of the mean mask; standard deviation of the centre prior, per side of the image.
_MASK_SIDE = 256
_CENTRE_SIGMA = 0.25
# Of the Gaussian filter of blurred training images, in pixels; principal components of
# all training images.
_BLUR_SIGMA = 2.0
_COMPONENTS = 256


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.numpy().transpose(1, 2, 0)


def bicubic(sample: DiffusionSample) -> np.ndarray:
    """The condition, enlarged to the ground truth by MATLAB's bicubic filter."""
    return matlab_resize(_array(sample.condition), sample.gt_img.shape[-2:])


def canny(sample: DiffusionSample, sigma: float) -> np.ndarray:
    """Canny's edges as a soft map: how high the threshold may be for each pixel.

    The value of a pixel is the highest upper threshold at which it is an edge, of 50
    from 0 to 500 (gradient of OpenCV's Sobel filter), times 255 / 500; the lower
    threshold is 0.4 of the upper one. So the threshold of ODS is the best one divided
    by 500: 0.2 means 100.

    Args:
        sample: with an RGB condition.
        sigma: of the Gaussian filter before, in pixels.
    """
    grey = cv2.cvtColor(_array(sample.condition), cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey, (0, 0), sigma)
    soft = np.zeros(grey.shape, np.uint8)
    for level in np.arange(1, _CANNY_LEVELS + 1) / _CANNY_LEVELS:
        high = level * _CANNY_MAX
        edges = cv2.Canny(grey, 0.4 * high, high, L2gradient=True)
        soft[edges > 0] = round(255 * level)
    return soft[..., None]


def opencv_inpainting(sample: DiffusionSample, method: int) -> np.ndarray:
    """The known pixels, and the holes filled by OpenCV from a radius of 3 pixels.

    Args:
        sample: with ``mask``, 1 in the holes.
        method: ``cv2.INPAINT_TELEA`` or ``cv2.INPAINT_NS``.
    """
    holes = sample.mask[0].numpy().astype(np.uint8)
    known = _array(sample.gt_img) * (1 - holes[..., None])
    return cv2.inpaint(known, holes, _RADIUS, method)


def centre_prior(sample: DiffusionSample) -> np.ndarray:
    """A Gaussian in the centre of the map, with a quarter of each side as sigma."""
    y, x = (
        np.exp(-((np.linspace(-0.5, 0.5, side) / _CENTRE_SIGMA) ** 2) / 2)
        for side in sample.gt_img.shape[-2:]
    )
    return np.rint(255 * np.outer(y, x)).astype(np.uint8)[..., None]


def mean_mask(sample: DiffusionSample, mean: np.ndarray) -> np.ndarray:
    """The mean of the training masks, resized to the map."""
    return resize(mean, sample.gt_img.shape[-2:], 'bilinear')[..., None]


def _mean_of_masks(cfg: Config) -> np.ndarray:
    """Of the files, without augmentation, each resized to one size."""
    total, dataset = np.zeros((_MASK_SIDE, _MASK_SIDE)), _dataset(cfg, 'train')
    for index in range(len(dataset)):
        path = dataset.get_data_info(index).get('seg_map_path')
        if path is None:
            raise ValueError(
                'The mean mask is that of files, but the training dataset has no '
                'seg_map_path. Use a config with pairs of images and masks.'
            )
        total += resize(read_map(path), (_MASK_SIDE, _MASK_SIDE), 'bilinear')
    return np.rint(total / len(dataset)).astype(np.uint8)


def _training_images(cfg: Config) -> np.ndarray:
    """(N, H, W, 3), as the pipeline of the training makes them."""
    dataset = _dataset(cfg, 'train')
    return np.stack(
        [_array(dataset[i]['inputs']['image']) for i in range(len(dataset))]
    )


def blurred_training(cfg: Config) -> Predict:
    """The training images in their order, blurred."""
    images = _training_images(cfg)

    def predict(sample: DiffusionSample) -> np.ndarray:
        image = images[sample.sample_idx % len(images)]
        return cv2.GaussianBlur(image, (0, 0), _BLUR_SIGMA)

    return predict


def pca_samples(cfg: Config) -> Predict:
    """Samples of a normal distribution of the training images' main components."""
    images = torch.from_numpy(_training_images(cfg))
    pixels = images.flatten(1).float()
    mean = pixels.mean(0)
    torch.manual_seed(0)  # svd_lowrank starts from random directions
    _, spread, directions = torch.svd_lowrank(
        pixels - mean, min(_COMPONENTS, *pixels.shape), niter=4
    )
    axes = directions * spread / (len(pixels) - 1) ** 0.5

    def predict(sample: DiffusionSample) -> np.ndarray:
        rng = torch.Generator().manual_seed(sample.sample_idx)
        image = mean + axes @ torch.randn(axes.shape[1], generator=rng)
        return image.clamp(0, 255).round().byte().view(images.shape[1:]).numpy()

    return predict


#: Each baseline by its name, as a function of the config.
BASELINES: dict[str, Callable[[Config], Predict]] = {
    'bicubic': lambda cfg: bicubic,
    'canny_sigma1': lambda cfg: partial(canny, sigma=1.0),
    'canny_sigma1.5': lambda cfg: partial(canny, sigma=1.5),
    'canny_sigma2': lambda cfg: partial(canny, sigma=2.0),
    'canny_sigma3': lambda cfg: partial(canny, sigma=3.0),
    'mean_mask': lambda cfg: partial(mean_mask, mean=_mean_of_masks(cfg)),
    'centre_prior': lambda cfg: centre_prior,
    'telea': lambda cfg: partial(opencv_inpainting, method=cv2.INPAINT_TELEA),
    'navier_stokes': lambda cfg: partial(opencv_inpainting, method=cv2.INPAINT_NS),
    'blurred_training': blurred_training,
    'pca_samples': pca_samples,
}


def score_baseline(name: str, cfg: Config, number: int | None = None) -> dict:
    """Scores of a baseline on the test set of a config, by its ``test_evaluator``.

    Args:
        name: one of :data:`BASELINES`.
        cfg: with ``test_dataloader`` and ``test_evaluator``; 'mean_mask' and those of
            unconditional generation also need ``train_dataloader``. No model is needed.
        number: score the first images only.

    Raises:
        ValueError: the baseline is unknown, or the samples lack what it needs.
    """
    if name not in BASELINES:
        raise ValueError(f'Unknown baseline {name!r}. Use one of {list(BASELINES)}.')
    if number is not None and number < 1:
        raise ValueError(
            f'At least one image is scored, but number={number}. Give a positive '
            'number, or leave it out to score all.'
        )
    dataset, evaluator = _dataset(cfg, 'test'), Evaluator(cfg.test_evaluator)
    predict = BASELINES[name](cfg)
    count = min(number or len(dataset), len(dataset))
    for index in range(count):
        sample = dataset[index]['data_samples']
        try:
            prediction = predict(sample)
        except AttributeError as error:
            raise ValueError(
                f'The baseline {name!r} does not fit this dataset: {error}. Use it '
                'with a config of its task.'
            ) from error
        prediction = np.ascontiguousarray(prediction.transpose(2, 0, 1))
        sample.pred_img = torch.from_numpy(prediction)
        evaluator.process([sample])
    return evaluator.evaluate(count)


def _dataset(cfg: Config, mode: str) -> BaseDataset:
    if not cfg.get(f'{mode}_dataloader'):
        raise ValueError(
            f'The config has no {mode}_dataloader, which the baseline needs. Use a '
            'config of configs/adm/, or one of configs/_base_/datasets/.'
        )
    return DATASETS.build(cfg[f'{mode}_dataloader'].dataset)
