# One to two hours on two CPU cores: AdamW in bfloat16, an average of some hundred
# iterations.
from torch.optim import AdamW

from mmadm.engine import AutocastOptimWrapper, ClampedPolyLR, OptimizerStepLoop

train_cfg = dict(type=OptimizerStepLoop, max_iters=10000, val_interval=2000)
optim_wrapper = dict(
    type=AutocastOptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-3, weight_decay=1e-2, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type=ClampedPolyLR, eta_min=1e-5, power=0.96, by_epoch=False)
