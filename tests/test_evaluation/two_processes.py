"""Work that two processes share."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import torch

# Not copies of the process of the tests, which may hold locks of its threads: of one
# that has done nothing but to import what takes long.
context = multiprocessing.get_context('forkserver')
context.set_forkserver_preload(['mmadm.evaluation', 'tests.faults'])


def in_two_processes(folder: Path, work: Callable[[int], object]) -> list:
    """What ``work(rank)`` gives in each of two processes that talk through gloo.

    Args:
        folder: where they meet; their working directory.
        work: gets the rank.
    """
    results = context.SimpleQueue()
    sealed = cloudpickle.dumps(work)
    workers = [
        context.Process(target=_run, args=(rank, folder, sealed, results))
        for rank in (0, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    codes = [worker.exitcode for worker in workers]
    for worker in workers:
        worker.kill()
    assert codes == [0, 0], codes
    return [value for _, value in sorted(results.get() for _ in workers)]


def _run(rank: int, folder: Path, sealed: bytes, results) -> None:
    os.chdir(folder)
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2
    )
    results.put((rank, cloudpickle.loads(sealed)(rank)))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
