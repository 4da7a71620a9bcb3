"""A watch on image files that cannot be read."""

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook

from mmadm.registry import HOOKS


@HOOKS.register_module()
class BrokenImageHook(Hook):
    """Reports the broken images of the training data, once each, and counts them.

    The data set has put other images in their place; which, follows from the seed.
    Too many of them end the run.

    Args:
        max_share: how many of the data set's images may be broken; one always may.
        interval: every how many iterations the processes tell each other, report, and
            count.
    """

    def __init__(self, max_share: float = 0.01, interval: int = 10) -> None:
        self.max_share = max_share
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
        """Look at what the samples of the batch stand for."""
        for sample in data_batch['data_samples']:
            self._found.extend(sample.get('broken', ()))
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(
            runner
        ):
            self._report(runner)
        runner.message_hub.update_scalar('train/broken_images', len(self._broken))

    def _report(self, runner) -> None:
        """All processes name, and count, what any of them has found."""
        found = [message for rank in all_gather_object(self._found) for message in rank]
        self._found.clear()
        for message in found:
            if message not in self._broken:
                self._broken[message] = None
                runner.logger.warning(f'{message} Another image is used instead.')
        self._check(len(runner.train_dataloader.dataset))

    def _check(self, images: int) -> None:
        if len(self._broken) > max(1, self.max_share * images):
            first = ' '.join(list(self._broken)[:5])
            raise ValueError(
                f'Broken image files: {len(self._broken)} of {images} so far, more '
                f'than {self.max_share:.0%} of the data set. {first} Replace them, or '
                'raise max_share of BrokenImageHook; then add --resume.'
            )
