# AdamW and the polynomial schedule of Sec. V-A; tasks set iterations and learning rate.
from mmengine.optim import OptimWrapper
from torch.optim import AdamW

from mmadm.engine import ClampedPolyLR, OptimizerStepLoop

train_cfg = dict(type=OptimizerStepLoop, max_iters=200000, val_interval=10000)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=5e-5, weight_decay=1e-2, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type=ClampedPolyLR, eta_min=5e-6, power=0.96, by_epoch=False)
