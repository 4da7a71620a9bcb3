"""Features of real images in a file that says where they come from."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from mmadm.utils.files import atomic_write

from .frechet import FeatureStatistics, StreamingMoments
from .inception import InceptionFeatures

_TOOL = 'python tools/analysis_tools/fid_stats.py SOURCE --out'
_BATCH = 50


@dataclass(frozen=True)
class Reference:
    """What samples are compared with.

    Args:
        statistics: of all real images.
        features: of a random part of them, (M, D), float32; M = 0 suffices for FID,
            KID and precision and recall need some.
        provenance: number of ``images``, ``extractor`` and ``weights_sha256``, which
            must be those of the samples' features, and what else is known.
    """

    statistics: FeatureStatistics
    features: Tensor
    provenance: dict

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
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is broken, or does not say where it comes from.
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
                'do not write how their statistics were made; make them again with '
                f'`{_TOOL} {path}`.'
            ) from error
        return cls(FeatureStatistics(mean, cov, count), features, provenance)

    def check(
        self, path: str | Path, extractor: InceptionFeatures, count: int | None
    ) -> None:
        """Refuse statistics that samples cannot be compared with.

        Args:
            path: of this file, for the message.
            extractor: sees the samples.
            count: number of real images that there must be; None takes any.

        Raises:
            ValueError: made with another network, other weights, or of another number
                of images.
        """
        wanted = dict(extractor.identity)
        if count is not None:
            wanted['images'] = count
        for key, value in wanted.items():
            if (given := self.provenance.get(key)) != value:
                raise ValueError(
                    f'Reference statistics do not fit: {path} has {key}={given!r}, '
                    f'but {value!r} is needed. Make them again with `{_TOOL} {path}`, '
                    'or change the evaluator.'
                )
        dim = self.statistics.mean.shape
        if dim != (extractor.dim,) or self.statistics.cov.shape != (*dim, *dim):
            raise ValueError(
                f'Reference statistics do not fit: {path} is of {tuple(dim)} features, '
                f'but there must be {extractor.dim}. Make them again with `{_TOOL} '
                f'{path}`.'
            )


def measure_reference(
    pictures: Iterable[np.ndarray],
    count: int,
    extractor: InceptionFeatures,
    keep: int = 0,
    device: str = 'cpu',
    **provenance,
) -> Reference:
    """Look at all real images once.

    Args:
        pictures: (H, W, 3), uint8, RGB.
        count: how many there are.
        extractor: gives the features.
        keep: of how many images, drawn at random with a fixed seed, the features are
            kept.
        device: where the network computes.
        provenance: what shall be remembered of the images besides their number and
            ``content_sha256``, which does not depend on their order.

    Raises:
        ValueError: there are fewer than two pictures, or fewer than ``keep``.
    """
    if not max(keep, 2) <= count:
        raise ValueError(
            f'Statistics with the features of {keep} images need at least '
            f'{max(keep, 2)}, but there are {count}. Give more images or keep fewer '
            'features.'
        )
    moments, kept, digests = StreamingMoments(extractor.dim), [], []
    chosen = set(np.random.default_rng(0).permutation(count)[:keep].tolist())
    for images in image_batches(pictures, device):
        features, _ = extractor(images)
        members = [i for i in range(len(images)) if moments.count + i in chosen]
        kept.append(features[members].cpu())
        moments.add(features)
        digests += [_digest(image) for image in images]
    content = hashlib.sha256(b''.join(sorted(digests))).hexdigest()
    provenance |= dict(
        images=count,
        content_sha256=content,
        torch_fidelity=version('torch-fidelity'),
        **extractor.identity,
    )
    return Reference(moments.statistics(), torch.cat(kept), provenance)


def image_batches(
    pictures: Iterable[np.ndarray], device: str = 'cpu'
) -> Iterator[list[Tensor]]:
    """Lists of a few images (3, H, W) on ``device``, of pictures (H, W, 3)."""
    tensors = (
        torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).to(device)
        for picture in pictures
    )
    while batch := list(islice(tensors, _BATCH)):
        yield batch


def _digest(image: Tensor) -> bytes:
    pixels = image.cpu().numpy()
    return hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).digest()
