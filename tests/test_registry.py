"""Registries: short names, text configs and scopes."""

from types import SimpleNamespace

import pytest

import mmadm.registry as registry
from mmadm.utils import register_all_modules

# One text config per registry: short names only, without any import.
TEXT = dict(
    MODELS=dict(type='ADM', head=dict(type='DualDecoderUNet', base_channels=8)),
    DATASETS=dict(type='SeedDataset', num_samples=2),
    DATA_SAMPLERS=dict(type='SeededInfiniteSampler', dataset=[1, 2], seed=0),
    TRANSFORMS=dict(type='LoadImages'),
    LOOPS=dict(type='OptimizerStepLoop'),
    METRICS=dict(type='ImageFidelity'),
    HOOKS=dict(type='SampleGridHook'),
    OPTIM_WRAPPERS=dict(type='AutocastOptimWrapper', optimizer=None),
    OPTIM_WRAPPER_CONSTRUCTORS=dict(type='JointOptimConstructor', optim_wrapper_cfg={}),
    PARAM_SCHEDULERS=dict(type='ClampedPolyLR', end=10),
    VISUALIZERS=dict(type='DiffusionVisualizer', name='text'),
    ATTENUATIONS=dict(type='LinearAttenuation'),
    SAMPLERS=dict(type='ADMSampler', grid=dict(type='UniformSigmaGrid')),
)
REGISTRIES = [name for name in registry.__all__ if name.isupper()]


def _optimizer():
    import torch

    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


@pytest.mark.parametrize('name', REGISTRIES)
def test_a_text_config_builds_by_short_name(name):
    cfg = dict(TEXT[name])
    if name in ('PARAM_SCHEDULERS', 'OPTIM_WRAPPERS'):
        cfg['optimizer'] = _optimizer()
    if name == 'LOOPS':
        loader = SimpleNamespace(dataset=SimpleNamespace(metainfo={}))
        runner = SimpleNamespace(visualizer=SimpleNamespace())
        cfg.update(runner=runner, dataloader=loader, max_iters=1)
    built = getattr(registry, name).build(cfg)
    assert type(built).__name__ == cfg['type']


@pytest.mark.parametrize('name', [n for n in REGISTRIES if n[0] not in 'AS'])
def test_children_find_the_classes_of_mmengine(name):
    own = getattr(registry, name)
    assert own.parent is not None and own.scope == 'mmadm'


def test_built_objects_pass_through():
    from mmadm.diffusion import ConstantAttenuation

    attenuation = ConstantAttenuation()
    assert registry.build(registry.ATTENUATIONS, attenuation) is attenuation
    assert registry.build(registry.MODELS, None) is None


def test_register_all_modules_works():
    register_all_modules()
    assert registry.HOOKS.get('ShowDirHook') is not None
