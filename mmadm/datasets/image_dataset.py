"""Datasets of image folders, single images or pairs."""

from collections.abc import Sequence
from pathlib import Path

from mmadm.registry import DATASETS
from mmadm.utils import as_names
from mmadm.utils.image_files import (
    IMAGE_SUFFIXES,
    file_name,
    list_images,
    name_files,
    pair_by_name,
)

from .seeded import SeededDataset

#: What may belong to an image, by its key in data_prefix.
_PARTNERS = {'seg_map_path': IMAGE_SUFFIXES, 'edges_path': ('.mat',)}
_ADVICE = (
    'Check data_root and data_prefix of the dataset in the config, or the '
    'conversion of the dataset in docs/en/user_guides/datasets.md.'
)


@DATASETS.register_module()
class ImageDataset(SeededDataset):
    """Images of a folder, single or each with a map.

    Images and maps are paired by :func:`~mmadm.utils.image_files.pair_by_name`. A map
    that is the target (a mask, edges, a restored image) has the key ``gt_seg_map``,
    which mmcv's geometric transforms change together with the image.

    Args:
        data_root: folder of the dataset.
        data_prefix: folders below ``data_root``: ``img_path``, and for pairs
            ``seg_map_path`` (images) or ``edges_path`` (``.mat`` of BSDS500).
        ann_file: text file with a name per line, relative to ``img_path``: only these
            images, in this order. Without it, all images, sorted.
        kwargs: see :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(
        self,
        data_root: str = '',
        data_prefix: dict = dict(img_path=''),
        ann_file: str = '',
        **kwargs,
    ) -> None:
        super().__init__(
            ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """One entry per image.

        Raises:
            FileNotFoundError: a folder or a file is missing, or a folder is empty.
            ValueError: images and maps cannot be paired.
        """
        folder = Path(self.data_prefix['img_path'])
        images = list_images(folder)
        if self.ann_file:
            images = _listed(Path(self.ann_file), folder, images)
        entries = [dict(img_path=str(p), name=file_name(folder, p)) for p in images]
        for key in self.data_prefix.keys() & _PARTNERS.keys():
            partner_folder = Path(self.data_prefix[key])
            files = list_images(partner_folder, _PARTNERS[key], 'partner of an image')
            pairs = pair_by_name(
                name_files(folder, images),
                name_files(partner_folder, files),
                folder,
                partner_folder,
                allow_extra=bool(self.ann_file),
            )
            for entry, (_, partner) in zip(entries, pairs.values()):
                entry[key] = str(partner)
        return entries


def read_names(path: Path) -> list[str]:
    """Names in a list of files: its lines, without empty ones.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is empty, or not a text file.
    """
    if not path.is_file():
        raise FileNotFoundError(f'List of images not found: {path}. {_ADVICE}')
    try:
        lines = path.read_text('utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f'List of images is not a text file: {path} ({error}). {_ADVICE}'
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(f'List of images is empty: {path}. {_ADVICE}')
    return names


def _listed(ann_file: Path, folder: Path, images: Sequence[Path]) -> list[Path]:
    found = {path.relative_to(folder).as_posix(): path for path in images}
    names = read_names(ann_file)
    missing = [name for name in names if name not in found]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of the {len(names)} images listed in {ann_file} are not '
            f'in {folder}, for instance {missing[:3]}. Restore them, or create the '
            'list again.'
        )
    return [found[name] for name in names]


@DATASETS.register_module()
class ScikitImagePhotos(ImageDataset):
    """Colour photographs from the wheel of scikit-image: no download.

    Args:
        names: file names without suffix, for instance ``('astronaut', 'coffee')``; one
            name may be given alone.
        kwargs: see :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, names: str | Sequence[str], **kwargs) -> None:
        # Without importing scikit-image, which takes a second.
        from importlib.util import find_spec

        package = Path(find_spec('skimage').origin).parent
        self.names = as_names(names)
        super().__init__(data_root=str(package / 'data'), **kwargs)

    def load_data_list(self) -> list[dict]:
        """One entry per name.

        Raises:
            ValueError: a name is unknown.
        """
        images = {Path(x['img_path']).stem: x for x in super().load_data_list()}
        unknown = [name for name in self.names if name not in images]
        if unknown:
            raise ValueError(
                f'scikit-image has no image named {unknown}. Choose from '
                f'{sorted(images)}.'
            )
        return [images[name] for name in self.names]
