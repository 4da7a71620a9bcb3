# Settings that all runs share: hooks, logging, seed.
from mmengine.hooks import (
    DistSamplerSeedHook,
    EMAHook,
    IterTimerHook,
    LoggerHook,
    ParamSchedulerHook,
)
from mmengine.runner import LogProcessor, TestLoop, ValLoop
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend

from mmadm.engine import (
    AccelerationHook,
    AtomicCheckpointHook,
    BrokenImageHook,
    DeferredRuntimeInfoHook,
    LatentCacheHook,
    LogFailureHook,
    NonFiniteHook,
    ResumeHook,
    SafeLoadingHook,
    SampleGridHook,
    ShardingHook,
    StatelessSeedHook,
    StopSignalHook,
    WorkDirLockHook,
)
from mmadm.models import TrainableEMA
from mmadm.visualization import DiffusionVisualizer

default_scope = 'mmadm'

default_hooks = dict(
    runtime_info=dict(type=DeferredRuntimeInfoHook),
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(type=AtomicCheckpointHook, interval=10000, max_keep_ckpts=2),
    sampler_seed=dict(type=DistSamplerSeedHook),
    iteration_seed=dict(type=StatelessSeedHook),
    ema=dict(type=EMAHook, ema_type=TrainableEMA, momentum=1e-4, ramp=2 / 3),
    sample_grid=dict(type=SampleGridHook),
    safe_loading=dict(type=SafeLoadingHook),
    non_finite=dict(type=NonFiniteHook),
    broken_images=dict(type=BrokenImageHook),
    stop_signal=dict(type=StopSignalHook),
    acceleration=dict(type=AccelerationHook),
    latent_cache=dict(type=LatentCacheHook),
    sharding=dict(type=ShardingHook),
    resume=dict(type=ResumeHook),
    log_failure=dict(type=LogFailureHook),
    work_dir_lock=dict(type=WorkDirLockHook),
)

val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
visualizer = dict(
    type=DiffusionVisualizer,
    vis_backends=[dict(type=LocalVisBackend), dict(type=TensorboardVisBackend)],
)
log_processor = dict(type=LogProcessor, by_epoch=False, window_size=50)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
