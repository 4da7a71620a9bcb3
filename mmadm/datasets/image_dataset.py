"""Folders of images, alone or in pairs."""

from collections.abc import Sequence
from pathlib import Path

from mmadm.registry import DATASETS

from .seeded import SeededDataset

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')


def list_images(folder: Path) -> list[Path]:
    """All images below ``folder``, sorted by their path.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
    """
    advice = (
        'Check data_root and data_prefix of the data set in the config, or the '
        'preparation of the data in docs/en/user_guides/datasets.md.'
    )
    if not folder.is_dir():
        raise FileNotFoundError(f'Data folder not found: {folder}. {advice}')
    images = [p for p in folder.rglob('*') if p.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise FileNotFoundError(
            f'No image ({", ".join(IMAGE_SUFFIXES)}) in the data folder: {folder}. '
            f'{advice}'
        )
    return sorted(images)


@DATASETS.register_module()
class ImageDataset(SeededDataset):
    """Images of a folder; with ``seg_map_path``, pairs of an image and a map.

    Pairs share their path below the two folders, up to the suffix. A map that is the
    target (a mask, edges, a restored image) travels as ``gt_seg_map``, which mmcv's
    geometric transforms treat like the image.

    Args:
        data_root: folder of the data set.
        data_prefix: ``img_path`` and, for pairs, ``seg_map_path``: folders below
            ``data_root``.
        kwargs: see :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(
        self, data_root: str = '', data_prefix: dict = dict(img_path=''), **kwargs
    ) -> None:
        super().__init__(data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """One entry per image.

        Raises:
            FileNotFoundError: a folder is missing or holds no image.
            ValueError: images and maps do not pair up.
        """
        folder = Path(self.data_prefix['img_path'])
        images = list_images(folder)
        if 'seg_map_path' not in self.data_prefix:
            return [dict(img_path=str(path)) for path in images]

        map_folder = Path(self.data_prefix['seg_map_path'])
        maps = _by_name(map_folder, list_images(map_folder))
        pictures = _by_name(folder, images)
        _check_pairs(folder, pictures, map_folder, maps)
        return [
            dict(img_path=str(path), seg_map_path=str(maps[name]))
            for name, path in pictures.items()
        ]


def _by_name(folder: Path, paths: Sequence[Path]) -> dict[str, Path]:
    return {str(path.relative_to(folder).with_suffix('')): path for path in paths}


def _check_pairs(
    folder: Path, pictures: dict[str, Path], map_folder: Path, maps: dict[str, Path]
) -> None:
    lonely = {
        folder: sorted(pictures.keys() - maps.keys()),
        map_folder: sorted(maps.keys() - pictures.keys()),
    }
    for place, names in lonely.items():
        if names:
            raise ValueError(
                f'{len(names)} of the files in {place} have no partner of the same '
                f'name in the other folder, for instance {names[:3]}. Images are in '
                f'{folder}, maps in {map_folder}: remove or rename what does not pair.'
            )


@DATASETS.register_module()
class ScikitImagePhotos(ImageDataset):
    """The colour photographs that scikit-image's wheel contains: no download.

    Args:
        names: file names without suffix, for instance ``('astronaut', 'coffee')``.
        kwargs: see :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, names: Sequence[str], **kwargs) -> None:
        # Found without importing scikit-image, which takes a second.
        from importlib.util import find_spec

        package = Path(find_spec('skimage').origin).parent
        self.names = tuple(names)
        super().__init__(data_root=str(package / 'data'), **kwargs)

    def load_data_list(self) -> list[dict]:
        """One entry per name.

        Raises:
            ValueError: a name is not among the files.
        """
        images = {Path(x['img_path']).stem: x for x in super().load_data_list()}
        unknown = [name for name in self.names if name not in images]
        if unknown:
            raise ValueError(
                f'scikit-image has no picture named {unknown}. Choose from '
                f'{sorted(images)}.'
            )
        return [images[name] for name in self.names]
