"""Masks in COCO's three forms: polygons, run lengths, compressed run lengths.

Everything is checked here, before pycocotools sees it: that library returns
uninitialised memory for run lengths that do not fill the image, and crashes or takes
gigabytes for polygons with huge or NaN coordinates.
"""

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from mmadm.utils.images import MAX_PIXELS

#: Length of all outlines of an object, in pixels, up to which it is drawn.
_MAX_OUTLINE = 1_000_000
#: 5-bit groups of a number in compressed run lengths.
_MAX_GROUPS = 7


def encode(mask: np.ndarray) -> dict:
    """A mask (H, W) of 0 and 1 as compressed run lengths."""
    from pycocotools import mask as coco

    entry = coco.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=list(mask.shape), counts=entry['counts'].decode())


def decode(segmentation: list | dict, size: Sequence[int]) -> np.ndarray:
    """The mask (H, W), uint8, of an object.

    Args:
        segmentation: one of COCO's three forms.
        size: (H, W) of the image.

    Raises:
        ValueError: it is none of the three, or does not fit the image.
    """
    size = check_size(size)
    if isinstance(segmentation, dict):
        counts = run_lengths(segmentation, size)
        values = np.arange(len(counts), dtype=np.uint8) % 2
        return np.repeat(values, counts).reshape(size, order='F')

    from pycocotools import mask as coco

    # COCO itself has polygons of two points; pycocotools takes them for boxes.
    polygons = [p.tolist() for p in checked_polygons(segmentation, size) if len(p) > 4]
    if not polygons:
        return np.zeros(size, np.uint8)
    return coco.decode(coco.merge(coco.frPyObjects(polygons, *size)))


def check(segmentation: list | dict, size: Sequence[int]) -> None:
    """Check an object without drawing it.

    Raises:
        ValueError: see :func:`decode`.
    """
    if isinstance(segmentation, dict):
        run_lengths(segmentation, check_size(size))
    else:
        checked_polygons(segmentation, check_size(size))


def check_size(size: Sequence[int]) -> tuple[int, int]:
    """(H, W) as positive integers, of an image that can be read.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError(f'the size {size!r} is not (height, width)')
    if not all(isinstance(side, Integral) and side > 0 for side in size):
        raise ValueError(f'the size {size!r} does not consist of positive integers')
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f'the size {size!r} exceeds {MAX_PIXELS:,} pixels')
    return int(size[0]), int(size[1])


def run_lengths(segmentation: dict, size: tuple[int, int]) -> np.ndarray:
    """Lengths of the runs of 0 and 1, column by column, which fill the image.

    Raises:
        ValueError: they do not, or the entry is not of this form.
    """
    stated, counts = segmentation.get('size'), segmentation.get('counts')
    if check_size(stated) != size:
        raise ValueError(f'a mask of the size {stated} for an image of {list(size)}')
    if isinstance(counts, str):
        counts = _decompressed(counts.encode())
    elif isinstance(counts, bytes):
        counts = _decompressed(counts)
    counts = np.asarray(counts)
    pixels = size[0] * size[1]
    if counts.ndim != 1 or counts.dtype.kind != 'i':
        raise ValueError('its run lengths are not integers')
    if counts.min() < 0 or counts.max() > pixels or counts.sum() != pixels:
        raise ValueError(f'its run lengths do not fill the image of {list(size)}')
    return counts


def _decompressed(text: bytes) -> np.ndarray:
    """COCO's compression: 5 bits a character, differences to the run before last."""
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(~codes & 0x20)
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        raise ValueError('its compressed run lengths are damaged')
    starts = np.concatenate([[0], ends[:-1] + 1])
    groups = ends - starts + 1
    if groups.max() > _MAX_GROUPS:
        raise ValueError('its compressed run lengths are damaged')
    place = np.arange(len(codes)) - np.repeat(starts, groups)
    numbers = np.add.reduceat((codes & 0x1F) << 5 * place, starts)
    numbers -= np.where(codes[ends] & 0x10, 1 << 5 * groups, 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def checked_polygons(segmentation: list, size: tuple[int, int]) -> list[np.ndarray]:
    """The polygons as vectors (x0, y0, x1, y1, ...).

    Raises:
        ValueError: they are no polygons in or near the image.
    """
    if not isinstance(segmentation, list):
        raise ValueError(f'{type(segmentation).__name__} is no form of a mask')
    polygons, outline, largest = [], 0.0, max(size)
    for points in segmentation:
        try:
            polygon = np.asarray(points)
        except ValueError:  # lists of different lengths
            polygon = np.empty(0, object)
        if polygon.ndim != 1 or polygon.dtype.kind not in 'if':
            raise ValueError('a polygon is not a list of numbers')
        if not len(polygon) or len(polygon) % 2:
            raise ValueError(f'a polygon of {len(polygon)} coordinates')
        # Written so that NaN fails as well.
        if not (polygon.min() >= -largest and polygon.max() <= 2 * largest):
            raise ValueError(
                f'a polygon from {polygon.min()} to {polygon.max()}, far outside the '
                f'image of {list(size)}, or not finite'
            )
        outline += np.abs(polygon - np.roll(polygon, 2)).sum()
        polygons.append(polygon)
    if outline > _MAX_OUTLINE:
        raise ValueError(f'outlines of more than {_MAX_OUTLINE:,} pixels')
    return polygons
