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


def seed_host(seed: int) -> None:
    """Set the global random states of Python, NumPy and, on the CPU, torch.

    For what is drawn for each image: where no GPU is in use, to note seeds for GPUs
    takes four times as long as all the rest of preparing a small one.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Set the global random states of Python, NumPy and torch, on all devices."""
    seed_host(seed)
    torch.manual_seed(seed)
