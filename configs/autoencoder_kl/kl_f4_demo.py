# A first stage in minutes on a laptop's CPU: the one of Table I's column "Super
# Resolution" at toy width, on the photographs in scikit-image's wheel. Without LPIPS,
# whose VGG-16 would have to be downloaded: so its reconstructions are softer.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.photos_sr import *
    from .._base_.default_runtime import *
    from .._base_.models.kl_f4 import *
    from .._base_.schedules.adamw_first_stage import *

from mmadm.datasets.transforms import (
    CropToMultiple,
    LoadImages,
    PackDiffusionInputs,
    RandomCrop,
)

train_dataloader.update(batch_size=2)
# Those in colour.
train_dataloader.dataset.update(
    names=(
        'astronaut',
        'hubble_deep_field',
        'ihc',
        'motorcycle_left',
        'motorcycle_right',
        'retina',
    )
)
train_dataloader.dataset.pipeline = [
    dict(type=LoadImages, cache=True),
    # Norms average over a crop: small crops have other contrasts than photographs.
    dict(type=RandomCrop, size=96),
    dict(type=RandomFlip, prob=0.5),
    dict(type=PackDiffusionInputs),
]
val_dataloader.dataset.pipeline = [
    dict(type=LoadImages),
    dict(type=CropToMultiple, divisor=4),
    dict(type=PackDiffusionInputs),
]
test_dataloader.dataset.pipeline = [
    dict(type=LoadImages),
    dict(type=CropToMultiple, divisor=4),
    dict(type=PackDiffusionInputs),
]
val_evaluator.update(baseline=None)
test_evaluator.update(baseline=None)

# The photographs are small; windows would change the averages of the norms.
model.autoencoder.update(base_channels=16, num_blocks=1, tile=None)
model.discriminator.update(base_channels=16)
model.reconstruction.update(lpips_weight=0)
# Late and weak: enough to be seen in the log. Sharper images need more time.
model.update(disc_start=1350, disc_weight=0.05)

train_cfg.update(max_iters=1500, val_interval=500)
optim_wrapper.autoencoder.optimizer.update(lr=2e-3)
optim_wrapper.discriminator.optimizer.update(lr=1e-4)
param_scheduler.update(eta_min=1e-5)
default_hooks.ema.update(momentum=1e-2)
default_hooks.logger.update(interval=20)
default_hooks.checkpoint.update(interval=500)
