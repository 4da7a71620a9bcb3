"""What MMEngine's loops do not know of a sharded model."""

from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import OptimWrapperDict

from mmadm.engine.sharded import ShardedDataParallel
from mmadm.registry import HOOKS
from mmadm.utils.sharding import accept_whole_state


@HOOKS.register_module()
class ShardingHook(Hook):
    """Resumes and evaluates a ``ShardedDataParallel``; leaves other models alone."""

    # Before the averages are exchanged with the weights.
    priority = 'VERY_HIGH'

    def before_run(self, runner) -> None:
        """Let the optimizer resume from whole tensors.

        Raises:
            ValueError: a part of the config does not go with a sharded model.
        """
        if not isinstance(runner.model, ShardedDataParallel):
            return
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            raise ValueError(
                'A sharded model has one optimizer, but optim_wrapper has '
                f'{sorted(runner.optim_wrapper.keys())}. Leave model_wrapper_cfg out.'
            )
        if any(isinstance(hook, CheckpointHook) for hook in runner.hooks):
            raise ValueError(
                'A sharded model is saved by all processes together, but '
                "default_hooks.checkpoint is MMEngine's CheckpointHook. Use "
                'AtomicCheckpointHook.'
            )
        accept_whole_state(runner.optim_wrapper.optimizer)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Let go of what was gathered for the evaluation."""
        if isinstance(runner.model, ShardedDataParallel):
            runner.model.train()

    after_test_epoch = after_val_epoch
