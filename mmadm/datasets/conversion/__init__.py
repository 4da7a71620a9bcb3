"""Conversion of the benchmarks' official releases to the datasets of the configs.

Every conversion can be interrupted and repeated: files are written completely or not at
all, and existing ones are kept. Records of the options and of the sources' hashes make
sure that files of different origin are not mixed.
"""

from .bsds500 import prepare_bsds500
from .celeba_hq import adm_code_split, lama_split, prepare_celeba_hq
from .div2k import prepare_div2k
from .drawn_cracks import draw_crack_pairs
from .duts import check_duts
from .inpainting_masks import (
    check_names,
    draw_masks,
    image_names,
    masks_from_folder,
)

__all__ = [
    'adm_code_split',
    'check_duts',
    'check_names',
    'draw_crack_pairs',
    'draw_masks',
    'image_names',
    'lama_split',
    'masks_from_folder',
    'prepare_bsds500',
    'prepare_celeba_hq',
    'prepare_div2k',
]
