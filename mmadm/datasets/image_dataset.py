"""Folders of images, alone or in pairs."""

from collections.abc import Collection, Sequence
from pathlib import Path

from mmadm.registry import DATASETS

from .seeded import SeededDataset

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff')
#: What may belong to an image, by its key in data_prefix.
_PARTNERS = {'seg_map_path': IMAGE_SUFFIXES, 'edges_path': ('.mat',)}
_ADVICE = (
    'Check data_root and data_prefix of the data set in the config, or the '
    'preparation of the data in docs/en/user_guides/datasets.md.'
)


def list_images(
    folder: Path,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    kind: str = 'image',
    advice: str = _ADVICE,
) -> list[Path]:
    """All images below ``folder``, sorted by their path.

    Raises:
        FileNotFoundError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'Data folder not found: {folder}. {advice}')
    files = [
        path
        for path in folder.rglob('*')
        if path.suffix.lower() in suffixes and not path.name.startswith('.')
    ]
    if not files:
        raise FileNotFoundError(
            f'No {kind} ({", ".join(suffixes)}) in the data folder: {folder}. {advice}'
        )
    return sorted(files)


@DATASETS.register_module()
class ImageDataset(SeededDataset):
    """Images of a folder, alone or each with a map.

    Partners share their path below their folders, up to the suffix. A map that is the
    target (a mask, edges, a restored image) travels as ``gt_seg_map``, which mmcv's
    geometric transforms treat like the image.

    Args:
        data_root: folder of the data set.
        data_prefix: folders below ``data_root``: ``img_path``, and for pairs
            ``seg_map_path`` (pictures) or ``edges_path`` (``.mat`` of BSDS500).
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

    def full_init(self) -> None:
        """Make the list, and let transforms look whether they can serve it."""
        if self._fully_initialized:
            return
        super().full_init()
        for transform in self.pipeline.transforms:
            if check := getattr(transform, 'check_paths', None):
                check([self.get_data_info(i)['img_path'] for i in range(len(self))])

    def load_data_list(self) -> list[dict]:
        """One entry per image.

        Raises:
            FileNotFoundError: a folder or a file is missing, or a folder is empty.
            ValueError: images and maps do not pair up.
        """
        folder = Path(self.data_prefix['img_path'])
        images = list_images(folder)
        if self.ann_file:
            images = _listed(Path(self.ann_file), folder, images)
        partner_keys = self.data_prefix.keys() & _PARTNERS.keys()
        if not partner_keys:
            return [dict(img_path=str(path)) for path in images]

        entries = {
            name: dict(img_path=str(path))
            for name, path in by_name(folder, images).items()
        }
        for key in partner_keys:
            partner_folder = Path(self.data_prefix[key])
            files = list_images(partner_folder, _PARTNERS[key], 'partner of an image')
            found = by_name(partner_folder, files).items()
            partners = {name: str(path) for name, path in found}
            if self.ann_file:
                partners = {n: partners[n] for n in entries if n in partners}
            check_pairs(folder, entries, partner_folder, partners)
            for name, entry in entries.items():
                entry[key] = partners[name]
        return list(entries.values())


def by_name(folder: Path, paths: Sequence[Path]) -> dict[str, Path]:
    """Files by their path below ``folder`` up to the suffix, by which pairs meet.

    Raises:
        ValueError: two files differ in the suffix alone.
    """
    named: dict[str, Path] = {}
    for path in paths:
        name = str(path.relative_to(folder).with_suffix(''))
        if name in named:
            raise ValueError(
                f'Two files of one name: {named[name]} and {path}. Pairs meet by their '
                'name without suffix; keep one of the two.'
            )
        named[name] = path
    return named


def read_names(path: Path) -> list[str]:
    """The lines of a list of file names, without empty ones.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty.
    """
    if not path.is_file():
        raise FileNotFoundError(f'List of images not found: {path}. {_ADVICE}')
    names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if not names:
        raise ValueError(f'List of images is empty: {path}. {_ADVICE}')
    return names


def _listed(ann_file: Path, folder: Path, images: Sequence[Path]) -> list[Path]:
    there = {path.relative_to(folder).as_posix(): path for path in images}
    names = read_names(ann_file)
    missing = [name for name in names if name not in there]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} of the {len(names)} images listed in {ann_file} are not '
            f'in {folder}, for instance {missing[:3]}. Restore them, or make the list '
            'again.'
        )
    return [there[name] for name in names]


def check_pairs(
    folder: Path, pictures: Collection[str], map_folder: Path, maps: Collection[str]
) -> None:
    """Names of two folders must be the same.

    Raises:
        ValueError: some have no partner.
    """
    lonely = {
        folder: sorted(set(pictures) - set(maps)),
        map_folder: sorted(set(maps) - set(pictures)),
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
