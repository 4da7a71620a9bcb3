"""Seeds each training iteration."""

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmadm.registry import HOOKS
from mmadm.utils import mix_seed, seed_everything


@HOOKS.register_module()
class StatelessSeedHook(Hook):
    """Seeds each training iteration with a mix of seed, iteration and rank.

    A resumed run draws the same dropout masks as an uninterrupted one, and each rank
    draws its own. Times and noise follow from the seeds of the samples.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed Python, NumPy and torch."""
        seed_everything(mix_seed(runner.seed, runner.iter, get_rank()))
