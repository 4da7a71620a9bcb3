"""The data sets of the inferencer: input images, or seeds; checked before sampling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mmadm.registry import DATASETS
from mmadm.utils.images import read_size

from .sampling import check_integer

#: Default of ``max_pixels``.
MAX_PIXELS = 4096 * 4096


def takes_masks(pipeline: list[dict]) -> bool:
    """Whether the pipeline of a test loads masks."""
    blank = np.zeros((1, 1), np.uint8)
    return DATASETS.build(_images(blank, None, pipeline)).takes_masks


def seed_dataset(
    test_set: dict, inputs: Any, masks: Any, num_samples: int | None
) -> Dataset:
    """The test set of an unconditional model, with another length.

    Args:
        test_set: config of the test set.
        inputs: None.
        masks: None.
        num_samples: the length; None is 1.

    Raises:
        ValueError: images are given, or the number is not positive.
    """
    if inputs is not None or masks is not None:
        raise ValueError(
            'This model is unconditional, but input images are given. Leave them '
            'out and give num_samples.'
        )
    number = 1 if num_samples is None else num_samples
    check_integer('num_samples', number, 1)
    return DATASETS.build({**test_set, 'num_samples': number})


def image_dataset(
    inputs: Any, masks: Any, pipeline: list[dict], max_pixels: int
) -> Dataset:
    """The input images, each of which can be read and is not too large.

    Args:
        inputs: see :meth:`mmadm.apis.ADMInferencer.stream`.
        masks: likewise.
        pipeline: of the test.
        max_pixels: the largest image, input or prediction.

    Raises:
        FileNotFoundError: a file does not exist, or a folder is empty.
        ValueError: there are no images, or one cannot be read or is too large.
    """
    if inputs is None:
        raise ValueError(
            'This model needs input images, but no image is given. Give inputs: a '
            'file, a folder, an array (H, W, 3) of uint8, or a list.'
        )
    dataset = DATASETS.build(_images(inputs, masks, pipeline))
    for index in range(len(dataset)):
        entry = dataset.get_data_info(index)
        # The header of a file is read first: decoding may need too much memory.
        for key in ('img_path', 'mask_path'):
            if key in entry:
                _check_size(entry['name'], read_size(entry[key]), max_pixels)
        target = dataset[index]['data_samples'].target_shape
        _check_size(entry['name'], target, max_pixels)
    return dataset


def _images(inputs: Any, masks: Any, pipeline: list[dict]) -> dict:
    kind = dict(type='InferenceDataset', images=inputs, masks=masks)
    return dict(kind, pipeline=pipeline)


def _check_size(name: str, size: Sequence[int], max_pixels: int) -> None:
    height, width = size
    if height * width > max_pixels:
        raise ValueError(
            f'Image too large: {name} has, or gets, {height} x {width} pixels, and the '
            f'limit is {max_pixels:,}. Reduce it; or raise the limit with max_pixels '
            '(--max-pixels), which needs less memory in windows: '
            "mode='slide' (--mode slide)."
        )
