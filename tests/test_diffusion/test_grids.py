"""Time grids decrease from noise to image in exactly N network calls."""

import math

import numpy as np
import pytest
import torch

from mmadm.diffusion import (
    EqualStepGrid,
    PowerLawGrid,
    SplitStepGrid,
    TimeGrid,
    UniformGrid,
    UniformSigmaGrid,
    VPProcess,
)
from mmadm.registry import SAMPLERS, build
from tests.oracles import NOISE_CONFIGS, NOISE_VARIANCE, make_process

GRIDS = [UniformGrid, EqualStepGrid, SplitStepGrid, UniformSigmaGrid, PowerLawGrid]
every_grid = pytest.mark.parametrize('grid', GRIDS)
every_noise = pytest.mark.parametrize('noise', NOISE_CONFIGS)


@every_grid
@every_noise
@pytest.mark.parametrize('num_steps', [1, 2, 3, 5, 10, 50, 1000])
def test_grid_decreases_from_one_to_zero_in_n_steps(
    grid: type[TimeGrid], noise: str, num_steps: int
) -> None:
    times = grid()(num_steps, make_process(noise=noise))
    assert times.shape == (num_steps + 1,)
    assert times.dtype == torch.float64
    assert times[0] == 1
    assert times[-1] == 0
    assert (times.diff() < 0).all()


@every_grid
def test_grid_serves_the_variance_preserving_process(grid: type[TimeGrid]) -> None:
    for num_steps in (1, 2, 10):
        times = grid()(num_steps, VPProcess())
        assert times[0] == pytest.approx(1, abs=1e-9)
        assert times[0] <= 1
        assert (times.diff() < 0).all()


@every_grid
@pytest.mark.parametrize('num_steps', [0, -3, 2.5, True, False, '5'])
def test_step_count_that_is_no_positive_integer_is_an_error(
    grid: type[TimeGrid], num_steps
) -> None:
    with pytest.raises(ValueError, match=f'num_steps={num_steps!r}'):
        grid()(num_steps, make_process())


@pytest.mark.parametrize('num_steps', [4, 4.0, np.int64(4)])
def test_step_count_may_be_any_whole_number(num_steps) -> None:
    assert UniformGrid()(num_steps, make_process()).shape == (5,)


@pytest.mark.parametrize('t_min', [1e-3, 1e-4])
def test_uniform_grid_makes_its_last_call_at_the_smallest_time(t_min: float) -> None:
    times = UniformGrid()(10, make_process(t_min=t_min))[:-1]
    assert times[-1] == pytest.approx(t_min)
    steps = times.diff()
    torch.testing.assert_close(steps, torch.full_like(steps, -(1 - t_min) / 9))


def test_uniform_grid_may_end_where_the_authors_end() -> None:
    times = UniformGrid(t_last=0.01**2)(10, make_process(t_min=1e-3))
    stated = [
        1,
        0.8889,
        0.7778,
        0.6667,
        0.5556,
        0.4445,
        0.3334,
        0.2223,
        0.1112,
        1e-4,
        0,
    ]
    assert times.tolist() == pytest.approx(stated, abs=6e-5)


def test_equal_steps_are_algorithm_2() -> None:
    times = EqualStepGrid()(8, make_process())
    assert times.tolist() == [1 - i / 8 for i in range(9)]


def test_split_grid_divides_the_last_of_its_equal_steps() -> None:
    times = SplitStepGrid()(6, make_process(t_min=1e-3))
    assert times.tolist() == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 1e-3, 0])


def test_split_below_the_smallest_time_is_an_error() -> None:
    with pytest.raises(ValueError, match='decrease strictly'):
        SplitStepGrid()(6, make_process(t_min=0.5))


@every_noise
def test_sigma_grid_is_uniform_in_the_noise_level(noise: str) -> None:
    times = UniformSigmaGrid()(5, make_process(noise=noise))
    levels = [math.sqrt(NOISE_VARIANCE[noise](t)) for t in times.tolist()]
    assert levels == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0])


def test_sigma_grid_is_uniform_in_the_noise_level_of_ddpm() -> None:
    process = VPProcess()
    levels = process.noise.std(UniformSigmaGrid()(5, process))
    shares = torch.tensor([1, 0.8, 0.6, 0.4, 0.2, 0]).double()
    torch.testing.assert_close(levels / levels[0], shares)


@every_noise
def test_power_law_ends_at_t_min_where_no_other_end_is_given(noise: str) -> None:
    process = make_process(noise=noise)
    times = PowerLawGrid()(10, process)
    assert times[-2].item() == pytest.approx(process.t_min)
    ratio = math.sqrt(NOISE_VARIANCE[noise](process.t_min)) / (1 - process.t_min)
    stated = PowerLawGrid(ratio_max=80.0, ratio_min=ratio, rho=7.0)
    torch.testing.assert_close(times, stated(10, process))


@every_noise
@pytest.mark.parametrize('rho', [1.0, 3.0])
def test_power_law_spaces_the_ratios_of_noise_to_image(noise: str, rho: float) -> None:
    grid = PowerLawGrid(ratio_max=20.0, ratio_min=0.05, rho=rho)
    times = grid(6, make_process(noise=noise)).tolist()[1:-1]
    ratios = [math.sqrt(NOISE_VARIANCE[noise](t)) / (1 - t) for t in times]

    top, bottom = 20 ** (1 / rho), 0.05 ** (1 / rho)
    expected = [(top + i / 5 * (bottom - top)) ** rho for i in range(1, 6)]
    assert ratios == pytest.approx(expected)


@pytest.mark.parametrize(
    'wrong', [dict(ratio_max=0.0), dict(ratio_min=0.0), dict(rho=0.0), dict(rho=-1)]
)
def test_power_law_without_room_is_an_error(wrong: dict) -> None:
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f'{name}={value}'):
        PowerLawGrid(**wrong)


@pytest.mark.parametrize('t_last', [1.0, 0.0, -0.1, 1.5])
def test_grid_that_does_not_decrease_is_an_error_that_shows_it(t_last: float) -> None:
    with pytest.raises(ValueError, match=f'times are.*{t_last}'):
        UniformGrid(t_last)(3, make_process())


@pytest.mark.parametrize('times', [[0.5, 0.7], [1.2, 0.5], [0.5, 0.5], [1.0, math.nan]])
def test_own_grid_is_checked_too(times: list[float]) -> None:
    class Own(TimeGrid):
        def times(self, num_steps, process):
            return torch.tensor(times)

    with pytest.raises(ValueError, match='decrease strictly from at most 1'):
        Own()(2, make_process())


@every_grid
def test_grids_are_built_by_their_registered_names(grid: type[TimeGrid]) -> None:
    assert type(build(SAMPLERS, dict(type=grid.__name__))) is grid
