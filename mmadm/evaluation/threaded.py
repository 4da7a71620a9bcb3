"""Scores that take long."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mmengine.evaluator import BaseMetric


class ThreadedMetric(BaseMetric):
    """Scores each sample in a thread, while the model goes on with the next ones.

    A subclass calls :meth:`submit` once per sample in ``process``; ``compute_metrics``
    gets what the calls returned, in order.

    Args:
        num_workers: how many samples are scored at a time, None for one per core.
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
        self.num_workers = num_workers or os.cpu_count()
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, score: Callable, *args) -> None:
        """Have ``score(*args)`` done, and go on."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.num_workers)
        self.results.append(self._pool.submit(score, *args))

    def evaluate(self, size: int) -> dict:
        """Wait for the scores, then do as every metric does."""
        try:
            self.results = [future.result() for future in self.results]
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None
        return super().evaluate(size)
