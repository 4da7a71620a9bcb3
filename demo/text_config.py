# A complete config in the classic style: classes by their registered names, no imports.
# It equals configs/adm/adm_sr_demo.py: 4x super-resolution of photographs.
default_scope = 'mmadm'

# The model: 4x4 pixels are the 48 channels of one position.
model = dict(
    type='ADM',
    data_preprocessor=dict(
        type='DiffusionPreprocessor', size_divisor=4, condition_scale=4
    ),
    first_stage=dict(type='ResidualStage', patch=4, gain=0.3),
    condition_encoder=dict(type='ConvEncoder', channels=(48, 64)),
    head=dict(
        type='DualDecoderUNet',
        in_channels=48,
        out_channels=(48, 48),
        base_channels=48,
        channel_mult=(1, 2),
        num_blocks=1,
        attention_levels=(),
        condition_channels=(48, 64),
        fusion=dict(type='ConcatFusion'),
    ),
    process=dict(type='ADMProcess', t_min=1e-6),
    preconditioner=dict(type='Preconditioner', sigma_data=0.025),
    weighting=dict(type='OptimalWeighting'),
    sampler=dict(type='ADMSampler', num_steps=5, clip=None),
)

# The data.
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='SeededInfiniteSampler'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ScikitImagePhotos',
        names=(
            'astronaut',
            'brick',
            'camera',
            'grass',
            'gravel',
            'hubble_deep_field',
            'ihc',
            'motorcycle_left',
            'motorcycle_right',
            'retina',
        ),
        pipeline=[
            dict(type='LoadImages', cache=True),
            dict(type='RandomCrop', size=64),
            dict(type='RandomFlip', prob=0.5),
            dict(type='BicubicCondition', scale=4),
            dict(type='PackDiffusionInputs', condition='condition'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ScikitImagePhotos',
        names=('chelsea', 'coffee', 'rocket'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImages'),
            dict(type='CropToMultiple', divisor=4),
            dict(type='BicubicCondition', scale=4),
            dict(type='PackDiffusionInputs', condition='condition'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ImageFidelity', baseline='bicubic')
test_evaluator = val_evaluator

# The schedule.
train_cfg = dict(type='OptimizerStepLoop', max_iters=2000, val_interval=500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-2, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = dict(type='ClampedPolyLR', eta_min=2e-5, power=0.96, by_epoch=False)

# The runtime.
default_hooks = dict(
    runtime_info=dict(type='DeferredRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='AtomicCheckpointHook', interval=500, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    iteration_seed=dict(type='StatelessSeedHook'),
    ema=dict(type='EMAHook', ema_type='TrainableEMA', momentum=5e-3, ramp=2 / 3),
    sample_grid=dict(type='SampleGridHook'),
    safe_loading=dict(type='SafeLoadingHook'),
    non_finite=dict(type='NonFiniteHook'),
    broken_images=dict(type='BrokenImageHook'),
    stop_signal=dict(type='StopSignalHook'),
    acceleration=dict(type='AccelerationHook'),
    latent_cache=dict(type='LatentCacheHook'),
    sharding=dict(type='ShardingHook'),
    resume=dict(type='ResumeHook'),
    log_failure=dict(type='LogFailureHook'),
    work_dir_lock=dict(type='WorkDirLockHook'),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
visualizer = dict(
    type='DiffusionVisualizer',
    vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
)
log_processor = dict(type='LogProcessor', by_epoch=False, window_size=50)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
