"""From the benchmarks' official releases to what the configs read.

Everything here can be interrupted and repeated: a file is there as a whole or not at
all, and what is there is not made again.
"""

from .bsds500 import prepare_bsds500
from .celeba_hq import adm_code_split, lama_split, prepare_celeba_hq
from .div2k import prepare_div2k
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
    'draw_masks',
    'image_names',
    'lama_split',
    'masks_from_folder',
    'prepare_bsds500',
    'prepare_celeba_hq',
    'prepare_div2k',
]
