"""Loads checkpoints in a run safely, and refuses those that do not fit."""

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch import Tensor

from mmadm.checkpoints import check_fit, install_safe_loaders, restore_loaders
from mmadm.checkpoints.plain_data import from_plain
from mmadm.checkpoints.structure import check_average, check_optimizer, check_resumable
from mmadm.checkpoints.weights import fitting_part, scaling_conflict
from mmadm.registry import HOOKS
from mmadm.utils import unwrap_model


@HOOKS.register_module()
class SafeLoadingHook(Hook):
    """Lets MMEngine load by our reader, and checks what ``load_from`` brings.

    A checkpoint is used as a whole or not at all: MMEngine itself would train a network
    of which not a single weight was loaded.

    Args:
        partial: load those weights that fit, as from a model of another task. Never
            applies to resuming.
    """

    # Before the averages are loaded.
    priority = 'HIGHEST'

    def __init__(self, partial: bool = False) -> None:
        self.partial = partial
        # A runner that is built may load before it runs.
        install_safe_loaders()

    def before_run(self, runner) -> None:
        """Let MMEngine load checkpoints by our reader only."""
        install_safe_loaders()

    def after_run(self, runner) -> None:
        """Give MMEngine its own loaders back."""
        restore_loaders()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check all, before any of it is used.

        Raises:
            ValueError: weights or the state of the optimizer do not fit, or a state of
                training is not whole.
        """
        path = runner.cfg.get('load_from') or 'the checkpoint'
        model = unwrap_model(runner.model)
        if all(isinstance(value, Tensor) for value in checkpoint.values()):
            # A plain state dict is a checkpoint without anything else.
            checkpoint['state_dict'] = dict(checkpoint)
        weights = {
            key.removeprefix('module.'): value
            for key, value in checkpoint.get('state_dict', {}).items()
        }
        if runner.cfg.get('resume'):
            check_resumable(checkpoint, path)
            check_fit(model, weights, path)
            check_average(checkpoint, path)
            if isinstance(runner.optim_wrapper, OptimWrapper):
                check_optimizer(_optimizers(runner.optim_wrapper), checkpoint, path)
        elif self.partial:
            part = fitting_part(model, weights, path)
            runner.logger.warning(
                f'Training begins from {len(part)} of the {len(weights)} weights of '
                f'{path}; the model has {len(model.state_dict())}.'
            )
            weights = part
        else:
            option = 'default_hooks.safe_loading.partial=True'
            hint = f', or load those that fit with --cfg-options {option}'
            check_fit(model, weights, path, hint)
        if conflict := scaling_conflict(model, checkpoint):
            runner.logger.warning(f'Training begins from weights {conflict}.')
        checkpoint['state_dict'] = weights
        if 'message_hub' in checkpoint:
            checkpoint['message_hub'] = from_plain(checkpoint['message_hub'])


def _optimizers(wrapper: OptimWrapper) -> dict:
    """By the names that they have in a checkpoint."""
    if hasattr(wrapper, 'items'):
        return {name: own.optimizer for name, own in wrapper.items()}
    return {'': wrapper.optimizer}
