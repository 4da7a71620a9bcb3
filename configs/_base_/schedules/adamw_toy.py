# Some minutes of training, for toys.
from mmengine.optim import OptimWrapper
from torch.optim import AdamW

from mmadm.engine import ClampedPolyLR, OptimizerStepLoop

train_cfg = dict(type=OptimizerStepLoop, max_iters=2000, val_interval=500)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-3, weight_decay=1e-2, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type=ClampedPolyLR, eta_min=2e-5, power=0.96, by_epoch=False)
