"""Training times: quantiles of the named distributions, within [t_min, 1]."""

import math

import pytest
import torch
from scipy import stats

from mmadm.diffusion import (
    ADMProcess,
    ImportanceTimes,
    LinearNoise,
    LogitNormalTimes,
    LogNormalTimes,
    NoAttenuation,
    UniformTimes,
    VPProcess,
)
from mmadm.registry import MODELS, build

U = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
EDM = ADMProcess(
    dict(type=NoAttenuation), dict(type=LinearNoise, std_1=80.0), t_min=0.002 / 80
)
FAMILY = [
    UniformTimes(),
    LogNormalTimes(),
    LogitNormalTimes(),
    ImportanceTimes([4.0, 1.0, 2.0, 1.0]),
]
every_member = pytest.mark.parametrize('times', FAMILY, ids=lambda x: type(x).__name__)


@every_member
@pytest.mark.parametrize('process', [ADMProcess(), VPProcess(), EDM])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_times_are_finite_and_in_the_range_of_training(times, process, dtype) -> None:
    u = torch.tensor([0.0, 1e-7, 0.25, 0.5, 1 - 1e-7, 1.0], dtype=dtype)
    t = times(u, process)
    assert t.dtype == dtype
    assert t.min() >= torch.tensor(process.t_min, dtype=dtype)
    assert t.max() <= 1
    assert (t.diff() >= 0).all()


def test_default_is_the_papers_uniform_rule() -> None:
    t = ADMProcess(t_min=0.2).training_time(torch.tensor([0.0, 0.25, 1.0]))
    assert t.tolist() == pytest.approx([0.2, 0.4, 1.0])


def test_log_normal_levels_are_edms() -> None:
    levels = 80 * LogNormalTimes()(U, EDM)
    expected = stats.lognorm(s=1.2, scale=math.exp(-1.2)).ppf(U.numpy())
    torch.testing.assert_close(levels, torch.tensor(expected))


def test_logit_normal_times_have_a_normal_logit() -> None:
    t = LogitNormalTimes(mean=0.5, std=0.8)(U, ADMProcess())
    expected = torch.tensor(stats.norm(0.5, 0.8).ppf(U.numpy()))
    torch.testing.assert_close(torch.logit(t), expected)


def test_importance_is_in_proportion_to_the_errors() -> None:
    errors = [4.0, 1.0, 2.0, 1.0]
    u = (torch.arange(80_000) + 0.5) / 80_000
    t = ImportanceTimes(errors)(u, ADMProcess())
    counts = torch.histc(t, bins=4, min=0, max=1)
    assert (counts / 10_000).tolist() == pytest.approx(errors, abs=1e-3)


def test_the_power_is_applied_to_every_member() -> None:
    process = ADMProcess(time_power=2.0, times=dict(type='LogitNormalTimes'))
    torch.testing.assert_close(
        process.training_time(U), LogitNormalTimes()(U**2, process)
    )


def test_the_process_of_ddpm_takes_a_member_too() -> None:
    process = VPProcess(times=dict(type=LogNormalTimes))
    torch.testing.assert_close(process.training_time(U), LogNormalTimes()(U, process))


@pytest.mark.parametrize(
    'config',
    [
        dict(type='LogNormalTimes', std=0.0),
        dict(type='LogitNormalTimes', std=-1.0),
        dict(type='ImportanceTimes', errors=[1.0, math.nan]),
    ],
)
def test_numbers_that_are_not_positive_are_refused(config: dict) -> None:
    with pytest.raises(ValueError, match='positive'):
        build(MODELS, config)
