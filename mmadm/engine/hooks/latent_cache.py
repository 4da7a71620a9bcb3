"""Checks that cached latents belong to the first stage of the model."""

from mmengine.hooks import Hook

from mmadm.registry import HOOKS
from mmadm.utils import unwrap_model
from mmadm.utils.latent_cache import weights_hash


@HOOKS.register_module()
class LatentCacheHook(Hook):
    """Refuses to train on latents of another first stage.

    Without cached latents, it does nothing.
    """

    def before_train(self, runner) -> None:
        """Compare the hash of the cache with that of the weights.

        Raises:
            ValueError: they differ.
        """
        metainfo = getattr(runner.train_dataloader.dataset, 'metainfo', {})
        expected = metainfo.get('first_stage')
        if expected is None:
            return
        model = unwrap_model(runner.model)
        found = weights_hash(model.first_stage)
        if found != expected:
            raise ValueError(
                'The cached latents are those of another first stage: its weights have '
                f'the hash {expected[:12]}, those of the model {found[:12]}. Give '
                'model.first_stage the checkpoint of the cache, or write the cache '
                'again with tools/dataset_converters/cache_latents.py.'
            )
