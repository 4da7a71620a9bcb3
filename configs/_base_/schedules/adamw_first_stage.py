# An AdamW each for the autoencoder and its discriminator; the authors do not clip here.
from mmengine.optim import OptimWrapper
from torch.optim import AdamW

from mmadm.engine import ClampedPolyLR, JointOptimConstructor, OptimizerStepLoop

train_cfg = dict(type=OptimizerStepLoop, max_iters=50000, val_interval=5000)
optim_wrapper = dict(
    constructor=JointOptimConstructor,
    autoencoder=dict(
        type=OptimWrapper,
        optimizer=dict(type=AdamW, lr=5e-6, weight_decay=1e-2, fused=True),
    ),
    discriminator=dict(
        type=OptimWrapper,
        optimizer=dict(type=AdamW, lr=5e-6, weight_decay=1e-2, fused=True),
    ),
)
param_scheduler = dict(type=ClampedPolyLR, eta_min=1e-6, power=0.95, by_epoch=False)
