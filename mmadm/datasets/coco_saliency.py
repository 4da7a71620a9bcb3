"""COCO annotations as ground truth for saliency."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

from mmengine.logging import print_log

from mmadm.registry import DATASETS
from mmadm.utils import as_names

from .coco_masks import check, check_size
from .seeded import SeededDataset

#: Required keys of each entry.
_KEYS = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('image_id', 'category_id'),
    categories=('id', 'name'),
)
_UNIQUE = (
    ('images', 'id'),
    ('images', 'file_name'),
    ('categories', 'id'),
    ('categories', 'name'),
)


@DATASETS.register_module()
class CocoSaliency(SeededDataset):
    """Images of a COCO annotation file, each with its instances' segmentations.

    :class:`~mmadm.datasets.transforms.UnionOfInstances` makes the map.

    Args:
        ann_file: JSON with ``images``, ``annotations`` and ``categories``.
        data_root: folder of the dataset.
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
        categories: str | Sequence[str] | None = None,
        filter_cfg: dict = dict(filter_empty_gt=True),
        **kwargs,
    ) -> None:
        self.categories = categories and as_names(categories)
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
            ValueError: the file is not an annotation file, contradicts itself, has a
                damaged mask, or lacks a category.
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
            for image in sorted(coco['images'], key=itemgetter('id'))
        }
        missing = [e['img_path'] for e in entries.values() if not _there(e)]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of the {len(entries)} images of {self.ann_file} are '
                f'missing, for instance {missing[:3]}. Check data_root and '
                'data_prefix, or unpack the images there.'
            )
        self._add_instances(entries, coco['annotations'] or (), counted)
        return list(entries.values())

    def _add_instances(
        self, entries: dict[int, dict], annotations: Sequence[dict], counted: set[int]
    ) -> None:
        without, damaged = 0, []
        for annotation in annotations:
            if annotation['category_id'] not in counted:
                continue
            if not (segmentation := annotation.get('segmentation')):
                without += 1
                continue
            entry = entries[annotation['image_id']]
            try:
                check(segmentation, entry['ann_size'])
            except ValueError as error:
                number = annotation.get('id')
                damaged.append(f'{number} of {entry["img_path"]}: {error}')
            entry['instances'].append(segmentation)
        if damaged:
            raise ValueError(
                f'{len(damaged)} damaged annotations in {self.ann_file}, by their '
                'ids:\n  ' + '\n  '.join(damaged[:10]) + '\nCorrect or remove them.'
            )
        if without:
            print_log(
                f'{without} annotations of {self.ann_file} have no segmentation; they '
                'are missing in the maps.',
                'current',
                logging.WARNING,
            )

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
                'change ann_file of the dataset in the config.'
            )
        try:
            coco = json.loads(path.read_text())
            for kind, keys in _KEYS.items():
                for entry in coco[kind] or ():
                    itemgetter(*keys)(entry)
            for image in coco['images'] or ():
                check_size((image['height'], image['width']))
            if coco['images']:
                _check_references(coco)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f'Not an annotation file in COCO format: {path} '
                f'({type(error).__name__}: {error}). It needs images, annotations and '
                'categories that refer to each other by unique ids.'
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


def _check_references(coco: dict) -> None:
    """Ids and names are unique, and annotations refer to what is listed.

    Raises:
        ValueError: they are not, or do not.
    """
    for kind, key in _UNIQUE:
        counts = Counter(entry[key] for entry in coco[kind] or ())
        repeated = [value for value, count in counts.items() if count > 1]
        if repeated:
            raise ValueError(f'several {kind} with the {key} {repeated[0]!r}')
    for kind, one in (('images', 'image'), ('categories', 'category')):
        listed = {entry['id'] for entry in coco[kind] or ()}
        used = {annotation[f'{one}_id'] for annotation in coco['annotations'] or ()}
        if unlisted := sorted(used - listed):
            raise ValueError(
                f'it annotates the {one} {unlisted[0]}, which it does not list'
            )


def _there(entry: dict) -> bool:
    return Path(entry['img_path']).is_file()
