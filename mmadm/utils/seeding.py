"""Random states that are computed, not carried along.

What is random in training follows from (seed, position): nothing has to be saved to
resume exactly, and it does not matter how positions are spread over batches and ranks.
"""

import random

import numpy as np
import torch


def mix_seed(*numbers: int) -> int:
    """One 63-bit seed from several non-negative integers."""
    words = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return int(words[0] >> 1)


def seed_everything(seed: int) -> None:
    """Set the global random states of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
