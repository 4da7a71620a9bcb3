# AdamW and the polynomial rule of Sec. V-A; iterations and rates are set by the task.
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from torch.optim import AdamW

from mmadm.engine import ClampedPolyLR

train_cfg = dict(type=IterBasedTrainLoop, max_iters=200000, val_interval=10000)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=5e-5, weight_decay=1e-2, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type=ClampedPolyLR, eta_min=5e-6, power=0.96, by_epoch=False)
