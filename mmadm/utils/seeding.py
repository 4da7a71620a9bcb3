"""Random states that are computed instead of stored.

What is random in training follows from (seed, position): nothing has to be saved for an
exact resume, and batches and ranks may divide the positions in any way.
"""

import random
from operator import index

import numpy as np
import torch


def mix_seed(*numbers: int) -> int:
    """One 63-bit seed from several non-negative integers of any size.

    Mixed, never added: ``seed + i`` would make sample i of seed 1 equal to sample i + 1
    of seed 0.

    Raises:
        ValueError: a number is negative or not an integer.
    """
    try:
        numbers = [index(number) for number in numbers]
        words = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            'Seeds and indices of samples must be integers of at least 0, but got '
            f'{", ".join(map(repr, numbers))}. Give another seed, for instance 0.'
        ) from error
    return int(words[0] >> 1)


def check_seed(seed: int, name: str = 'seed') -> None:
    """Refuse a seed of a run that NumPy's global state cannot take.

    Raises:
        ValueError: it is not an integer from 0 to 2^32 - 1.
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(
            f'A seed is an integer from 0 to {2**32 - 1}, but {name}={seed!r}. Give '
            'another one, or leave it out for the default.'
        )


def seed_host(seed: int) -> None:
    """Set the global random states of Python, NumPy and, on the CPU, torch.

    For what is drawn for each image. ``torch.manual_seed`` also records the seed for
    GPUs, which takes four times as long as preparing a small image.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Set the global random states of Python, NumPy and torch, on all devices."""
    seed_host(seed)
    torch.manual_seed(seed)
