"""Work that two processes share."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import torch


def in_two_processes(folder: Path, work: Callable[[int], object]) -> list:
    """What ``work(rank)`` gives in each of two processes that talk through gloo.

    Args:
        folder: where they meet; their working directory.
        work: gets the rank.
    """
    context = multiprocessing.get_context('fork')
    results = context.SimpleQueue()

    def run(rank: int) -> None:
        os.chdir(folder)
        torch.distributed.init_process_group(
            'gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2
        )
        results.put((rank, work(rank)))
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()

    workers = [context.Process(target=run, args=(rank,)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    return [value for _, value in sorted(results.get() for _ in workers)]
