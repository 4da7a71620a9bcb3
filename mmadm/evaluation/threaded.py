"""Scoring in threads: of samples while a model predicts, and of files."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from mmengine.evaluator import BaseMetric


class ThreadedMetric(BaseMetric):
    """Scores samples in threads while the model predicts the next ones.

    A subclass calls :meth:`submit` once per sample in ``process``; ``compute_metrics``
    gets the results of these calls, in order.

    Args:
        num_workers: number of threads, None for one per core.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: put before the names of the results.
    """

    # MMEngine warns of metrics without a prefix.
    default_prefix = ''

    def __init__(
        self,
        num_workers: int | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.num_workers = check_workers(num_workers)
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, score: Callable, *args) -> None:
        """Start ``score(*args)`` in a thread, without waiting for it."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.num_workers)
        self.results.append(self._pool.submit(score, *args))

    def evaluate(self, size: int) -> dict:
        """Wait for the scores, then gather and reduce them as every metric does."""
        try:
            self.results = [future.result() for future in self.results]
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None
        return super().evaluate(size)


def in_threads(
    function: Callable, items: Iterable, num_workers: int | None = None
) -> Iterator:
    """Results of ``function`` for each item, in order; closing the iterator stops it.

    Args:
        function: should release the interpreter lock where it takes long.
        items: its arguments.
        num_workers: number of threads, None for one per core.
    """
    with ThreadPoolExecutor(check_workers(num_workers)) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def check_workers(number: int | None) -> int:
    """The number of threads, by default one per core.

    Raises:
        ValueError: the number is less than 1.
    """
    if number is not None and number < 1:
        raise ValueError(
            f'Scoring needs at least one thread, but num_workers={number}. Give a '
            'positive number, or None for one per core.'
        )
    return number or os.cpu_count()
