"""Objects annotated in COCO's format as a source of saliency maps."""

import json
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

from mmengine.logging import print_log

from mmadm.registry import DATASETS

from .seeded import SeededDataset

#: What must be known of each entry.
_KEYS = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('image_id', 'category_id'),
    categories=('id', 'name'),
)


@DATASETS.register_module()
class CocoSaliency(SeededDataset):
    """Images of a COCO annotation file, each with its instances' segmentations.

    :class:`~mmadm.datasets.transforms.UnionOfInstances` makes the map.

    Args:
        ann_file: JSON with ``images``, ``annotations`` and ``categories``.
        data_root: folder of the data set.
        data_prefix: ``img_path``, the folder of the images below ``data_root``.
        categories: names of those that count, None for all.
        filter_cfg: ``dict(filter_empty_gt=False)`` keeps images without instances as
            black maps; otherwise they are left out, and a message says how many.
        kwargs: see :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: dict = dict(img_path=''),
        categories: Sequence[str] | None = None,
        filter_cfg: dict = dict(filter_empty_gt=True),
        **kwargs,
    ) -> None:
        self.categories = categories
        super().__init__(
            ann_file,
            data_root=data_root,
            data_prefix=data_prefix,
            filter_cfg=filter_cfg,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """One entry per image, sorted by id.

        Raises:
            FileNotFoundError: the annotation file or an image is missing.
            ValueError: it is no annotation file, or does not know a category.
        """
        coco = self._read()
        counted = self._category_ids(coco)
        folder = Path(self.data_prefix['img_path'])
        entries = {
            image['id']: dict(
                img_path=str(folder / image['file_name']),
                img_id=image['id'],
                ann_size=(image['height'], image['width']),
                instances=[],
            )
            for image in sorted(coco['images'], key=lambda image: image['id'])
        }
        missing = [e['img_path'] for e in entries.values() if not _there(e)]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of the {len(entries)} images of {self.ann_file} are '
                f'missing, for instance {missing[:3]}. Check data_root and '
                'data_prefix, or unpack the images there.'
            )
        for annotation in coco['annotations']:
            entry = entries.get(annotation['image_id'])
            if entry is None:
                raise ValueError(
                    f'{self.ann_file} annotates the image {annotation["image_id"]}, '
                    'which it does not list. Correct the file.'
                )
            if annotation['category_id'] in counted and annotation.get('segmentation'):
                entry['instances'].append(annotation['segmentation'])
        return list(entries.values())

    def filter_data(self) -> list[dict]:
        """Leave out images without instances.

        Raises:
            ValueError: none is left.
        """
        if not self.filter_cfg.get('filter_empty_gt', True):
            return self.data_list
        kept = [entry for entry in self.data_list if entry['instances']]
        dropped = len(self.data_list) - len(kept)
        if not kept:
            raise ValueError(
                f'None of the {dropped} images of {self.ann_file} has an instance that '
                f'counts (categories={self.categories}). Choose other categories.'
            )
        if dropped:
            print_log(
                f'{dropped} of {len(self.data_list)} images of {self.ann_file} have no '
                'instance and are left out.',
                'current',
            )
        return kept

    def _read(self) -> dict:
        path = Path(self.ann_file)
        if not path.is_file():
            raise FileNotFoundError(
                f'Annotation file not found: {path}. Unpack the annotations there, or '
                'change ann_file of the data set in the config.'
            )
        try:
            coco = json.loads(path.read_text())
            for kind, keys in _KEYS.items():
                for entry in coco[kind] or ():
                    itemgetter(*keys)(entry)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'Not an annotation file in COCO format: {path} '
                f'({type(error).__name__}: {error}). It needs images, annotations and '
                'categories.'
            ) from error
        if not coco['images']:
            raise ValueError(f'No image in {path}. Give a file that lists images.')
        return coco

    def _category_ids(self, coco: dict) -> set[int]:
        ids = {category['name']: category['id'] for category in coco['categories']}
        unknown = set(self.categories or ()) - ids.keys()
        if unknown:
            raise ValueError(
                f'{self.ann_file} has no categories {sorted(unknown)}. Choose from '
                f'{sorted(ids)}.'
            )
        return {ids[name] for name in self.categories or ids}


def _there(entry: dict) -> bool:
    return Path(entry['img_path']).is_file()
