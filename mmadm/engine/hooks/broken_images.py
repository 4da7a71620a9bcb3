"""Reports corrupted image files in the training data."""

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook

from mmadm.registry import HOOKS


@HOOKS.register_module()
class BrokenImageHook(Hook):
    """Reports each corrupted image of the training data once, and counts them.

    The data set replaces a corrupted image by another one, which follows from the seed.
    Too many of them end the run.

    Args:
        max_fraction: fraction of the data set's images that may be corrupted; one image
            always may.
        interval: iterations between two reports, in which the processes exchange what
            they found.
    """

    def __init__(self, max_fraction: float = 0.01, interval: int = 10) -> None:
        self.max_fraction = max_fraction
        self.interval = interval
        self._found: list[str] = []
        self._broken: dict[str, None] = {}

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Collect the messages of the samples in the batch."""
        for sample in data_batch['data_samples']:
            self._found.extend(sample.get('broken', ()))
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(
            runner
        ):
            self._report(runner)
        runner.message_hub.update_scalar('train/broken_images', len(self._broken))

    def _report(self, runner) -> None:
        """Log and count the corrupted images that any process found."""
        found = [message for rank in all_gather_object(self._found) for message in rank]
        self._found.clear()
        for message in found:
            if message not in self._broken:
                self._broken[message] = None
                runner.logger.warning(f'{message} Another image is used instead.')
        self._check(len(runner.train_dataloader.dataset))

    def _check(self, images: int) -> None:
        if len(self._broken) > max(1, self.max_fraction * images):
            first = ' '.join(list(self._broken)[:5])
            raise ValueError(
                f'Corrupted image files: {len(self._broken)} of {images} so far, more '
                f'than {self.max_fraction:.0%} of the data set. {first} Replace them, '
                'or increase max_fraction of BrokenImageHook; then add --resume.'
            )
