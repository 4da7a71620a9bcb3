"""A sampler chosen by name keeps the steps, the grid and the clipping of the config."""

import pytest

from mmadm.diffusion import (
    SAMPLER_PRESETS,
    ADMSampler,
    EqualStepGrid,
    EulerMaruyamaSampler,
    HeunSampler,
    MeanEstimateSampler,
    MultistepSampler,
    UniformGrid,
    UniformSigmaGrid,
    sampler_preset,
)
from mmadm.registry import SAMPLERS, build

EXPECTED = {
    'adm': (ADMSampler, 1, UniformGrid),
    'deterministic': (ADMSampler, 0, UniformGrid),
    'mean': (MeanEstimateSampler, 1, UniformGrid),
    'multistep': (MultistepSampler, 0, UniformSigmaGrid),
    'heun': (HeunSampler, None, UniformGrid),
    'euler_maruyama': (EulerMaruyamaSampler, None, UniformGrid),
}
every_name = pytest.mark.parametrize('name', SAMPLER_PRESETS)


@every_name
def test_settings_of_the_config_that_fit_are_kept(name):
    config = dict(type='EulerMaruyamaSampler', num_steps=7, clip=1.0)
    preset, _ = sampler_preset(name, config | dict(grid=dict(type=EqualStepGrid)))
    sampler = build(SAMPLERS, preset)
    assert (sampler.num_steps, sampler.clip) == (7, 1.0)
    assert type(sampler.grid) is EqualStepGrid
    assert 'clip' in config, 'the config itself is not changed'


@pytest.mark.parametrize(
    ('name', 'kind', 'eta', 'grid'),
    [(name, *expected) for name, expected in EXPECTED.items()],
)
def test_names_stand_for_their_samplers(name, kind, eta, grid):
    config = dict(type=ADMSampler, eta=0.5, correct=False)
    sampler = build(SAMPLERS, sampler_preset(name, config)[0])
    assert (type(sampler), type(sampler.grid)) == (kind, grid)
    assert getattr(sampler, 'eta', None) == eta


def test_message_has_the_settings_of_both_samplers():
    _, message = sampler_preset('multistep', dict(type=ADMSampler, num_steps=3))
    old, new = message.split(' is replaced by ')
    assert 'ADMSampler(num_steps=3, grid=UniformGrid(t_last=None), clip=None' in old
    assert 'MultistepSampler(num_steps=3, grid=UniformSigmaGrid(), clip=None' in new


@every_name
def test_without_a_config_the_default_sampler_is_replaced(name):
    assert sampler_preset(name) == sampler_preset(name, dict(type=ADMSampler))


def test_unknown_names_are_refused_with_the_known_ones():
    assert set(SAMPLER_PRESETS) == set(EXPECTED)
    with pytest.raises(ValueError, match=f"'ddim'.*{', '.join(map(repr, EXPECTED))}"):
        sampler_preset('ddim')
