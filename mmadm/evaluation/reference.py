"""Feature statistics of real images in a file that records their provenance."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from mmadm.utils import resize
from mmadm.utils.files import atomic_write
from mmadm.utils.image_files import list_images
from mmadm.utils.images import read_image

from .feature_extractor import FeatureExtractor, image_batches
from .frechet import FeatureStatistics, StreamingMoments
from .sample_fields import check_finite

_TOOL = 'python tools/analysis_tools/fid_stats.py SOURCE --out'
#: Provenance of images that differ in size.
_SEVERAL = 'several'


@dataclass(frozen=True)
class Reference:
    """Real images that samples are compared with.

    Args:
        statistics: of all real images.
        features: of a random subset, (M, D), float32; M = 0 suffices for FID, but KID,
            precision and recall need some.
        provenance: number of ``images``, their ``image_size`` (``'256x256'``,
            ``'several'``), ``extractor`` and ``weights_sha256``, which must be those of
            the samples' features, and further records.

    Raises:
        ValueError: a feature is NaN or infinite.
    """

    statistics: FeatureStatistics
    features: Tensor
    provenance: dict

    def __post_init__(self) -> None:
        check_finite(self.features, 'features of the real images')

    def save(self, path: str | Path) -> None:
        """Write a ``.npz`` with mu, sigma, n, features and provenance (JSON)."""
        with atomic_write(path) as part:
            np.savez(
                part,
                mu=self.statistics.mean.numpy(),
                sigma=self.statistics.cov.numpy(),
                n=self.statistics.count,
                features=self.features.numpy(),
                provenance=json.dumps(self.provenance),
            )

    @classmethod
    def load(cls, path: str | Path) -> 'Reference':
        """Read a file that :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is broken, holds non-finite numbers, or does not record
                its provenance.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(
                f'Reference statistics not found: {path}. Make them from the real '
                f'images with `{_TOOL} {path}`.'
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                mean, cov = (torch.from_numpy(file[key]) for key in ('mu', 'sigma'))
                features = torch.from_numpy(file['features'])
                count, provenance = int(file['n']), json.loads(str(file['provenance']))
                provenance = dict(provenance)
        except (
            KeyError,
            TypeError,
            ValueError,
            OSError,
            EOFError,
            BadZipFile,
        ) as error:
            raise ValueError(
                f'Not reference statistics of mmadm: {path} ({error}). Other programs '
                'do not record how their statistics were made; make them again with '
                f'`{_TOOL} {path}`.'
            ) from error
        try:
            return cls(FeatureStatistics(mean, cov, count), features, provenance)
        except ValueError as error:
            raise ValueError(
                f'Corrupted reference statistics: {path} ({error}) Make them again '
                f'with `{_TOOL} {path}`.'
            ) from error

    def check(
        self, path: str | Path, extractor: FeatureExtractor, count: int | None
    ) -> None:
        """Refuse statistics that samples cannot be compared with.

        Args:
            path: of this file, for the message.
            extractor: computes the samples' features.
            count: required number of real images; None accepts any.

        Raises:
            ValueError: made with another network, other weights, or of another number
                of images, or the size of the images is not recorded.
        """
        wanted = dict(extractor.identity)
        if count is not None:
            wanted['images'] = count
        for key, value in wanted.items():
            if (found := self.provenance.get(key)) != value:
                raise ValueError(
                    f'Reference statistics do not fit: {path} has {key}={found!r}, '
                    f'but {value!r} is needed. Make them again with `{_TOOL} {path}`, '
                    'or change the evaluator.'
                )
        dim = self.statistics.mean.shape
        if dim != (extractor.dim,):
            raise ValueError(
                f'Reference statistics do not fit: {path} is of {tuple(dim)} features, '
                f'but there must be {extractor.dim}. Make them again with `{_TOOL} '
                f'{path}`.'
            )
        if 'image_size' not in self.provenance:
            raise ValueError(
                f'Reference statistics do not record the size of their images: {path} '
                'has no image_size in its provenance, and a distance between images of '
                f'two sizes has no meaning. Make them again with `{_TOOL} {path}`.'
            )

    def check_size(self, image: Tensor) -> None:
        """Refuse a sample whose size is not that of the real images.

        Args:
            image: (C, H, W).

        Raises:
            ValueError: the sizes differ.
        """
        expected, size = self.provenance['image_size'], size_name(image.shape[-2:])
        if expected not in (size, _SEVERAL):
            raise ValueError(
                f'A sample has the size {size}, but the reference statistics are of '
                f'images of {expected}. Use statistics of images of {size}, made with '
                f'`{_TOOL} FILE --size ...`.'
            )


def measure_reference(
    images: Iterable[np.ndarray],
    count: int,
    extractor: FeatureExtractor,
    keep: int = 0,
    device: str = 'cpu',
    **provenance,
) -> Reference:
    """Compute the statistics of real images in one pass.

    Args:
        images: (H, W, 3), uint8, RGB.
        count: number of images.
        extractor: computes the features.
        keep: number of images, drawn at random with a fixed seed, whose features are
            kept.
        device: where the network computes.
        provenance: further records beside the number, the size and the
            ``content_sha256`` of the images, which does not depend on their order.

    Raises:
        ValueError: there are fewer than two images, or fewer than ``keep``, or ``keep``
            is negative.
    """
    if keep < 0:
        raise ValueError(
            f'The number of kept features is 0 or more, but it is {keep}. Give 0 for '
            'FID alone, 10000 for KID, precision and recall.'
        )
    if not max(keep, 2) <= count:
        raise ValueError(
            f'Statistics with the features of {keep} images need at least '
            f'{max(keep, 2)}, but there are {count}. Give more images or keep fewer '
            'features.'
        )
    moments, kept, digests, sizes = StreamingMoments(extractor.dim), [], [], set()
    chosen = set(np.random.default_rng(0).permutation(count)[:keep].tolist())
    for batch in image_batches(iter(images), device):
        features, _ = extractor(batch)
        members = [i for i in range(len(batch)) if moments.count + i in chosen]
        kept.append(features[members].cpu())
        moments.add(features)
        digests += [_digest(image) for image in batch]
        sizes |= {size_name(image.shape[-2:]) for image in batch}
    content = hashlib.sha256(b''.join(sorted(digests))).hexdigest()
    provenance |= dict(
        images=count,
        image_size=sizes.pop() if len(sizes) == 1 else _SEVERAL,
        content_sha256=content,
        **extractor.libraries,
        **extractor.identity,
    )
    return Reference(moments.statistics(), torch.cat(kept), provenance)


def measure_folder(
    folder: str | Path, extractor: FeatureExtractor, size: int | None, device: str
) -> Reference:
    """Compute the statistics of the images in a folder, at any depth.

    Args:
        folder: image files; hidden ones do not count.
        extractor: computes the features.
        size: resize square images to this height and width first (Lanczos); None leaves
            them as they are.
        device: where the network computes.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
        ValueError: an image is corrupted, or is to be resized and is no square.
    """
    paths = list_images(folder)

    def read(path: Path) -> np.ndarray:
        image = read_image(path, 'color')
        if size is None:
            return image
        if image.shape[0] != image.shape[1]:
            raise ValueError(
                f'Resizing to {size} x {size} would distort {path}, which is '
                f'{image.shape[0]} x {image.shape[1]}. Crop the images to squares '
                'first.'
            )
        return resize(image, (size, size), 'lanczos')

    return measure_reference(map(read, paths), len(paths), extractor, device=device)


def measure_dataset(
    dataset: Sequence[dict], extractor: FeatureExtractor, device: str
) -> Reference:
    """Compute the statistics of the ground truth of a dataset's samples.

    Args:
        dataset: items with ``data_samples``, which have ``gt_img``.
        extractor: computes the features.
        device: where the network computes.
    """
    samples = (dataset[i]['data_samples'] for i in range(len(dataset)))
    images = (sample.gt_img.numpy().transpose(1, 2, 0) for sample in samples)
    return measure_reference(images, len(dataset), extractor, device=device)


def size_name(size: Iterable[int]) -> str:
    """(H, W) in the provenance: '256x256'."""
    return 'x'.join(map(str, size))


def _digest(image: Tensor) -> bytes:
    pixels = image.cpu().numpy()
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).digest()
