# Table I, column "Super Resolution"; Tables III and IV, PSNR on DIV2K x4.
#
# The condition is the small image: its windows in the relation layers are twice as
# large as those of the noisy image. Whole test images are sampled in windows of the
# training's size.
from mmengine.config import read_base

with read_base():
    from .._base_.datasets.div2k import *
    from .._base_.default_runtime import *
    from .._base_.models.adm_latent import *
    from .._base_.schedules.adamw_poly import *

model.data_preprocessor.update(condition_scale=4)
model.first_stage.update(checkpoint='work_dirs/kl_f4_div2k/iter_100000.pth', tile=512)
model.head.update(condition_windows=(8, 4, 2, 1), feature_windows=(4, 2, 1, 1))
model.test_cfg = dict(mode='slide', crop=512, stride=384)

auto_scale_lr = dict(base_batch_size=12)
