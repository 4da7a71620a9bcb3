"""Time grids decrease from noise to image in exactly N steps."""

import math

import numpy as np
import pytest
import torch

from mmadm.diffusion import (
    EqualStepGrid,
    RhoGrid,
    SplitStepGrid,
    TimeGrid,
    UniformGrid,
    UniformSigmaGrid,
    VPProcess,
)
from mmadm.registry import SAMPLERS, build
from tests.oracles import NOISE_CONFIGS, NOISE_VARIANCE, make_process

GRIDS = [UniformGrid, EqualStepGrid, SplitStepGrid, UniformSigmaGrid, RhoGrid]
every_grid = pytest.mark.parametrize('grid', GRIDS)
every_noise = pytest.mark.parametrize('noise', NOISE_CONFIGS)


@every_grid
@every_noise
@pytest.mark.parametrize('t_min', [1e-3, 1e-4, 0.5])
@pytest.mark.parametrize('num_steps', [1, 2, 3, 5, 10, 32, 50, 100, 200, 1000, 10_000])
def test_grid_decreases_from_one_to_zero_in_n_steps_and_never_below_t_min(
    grid: type[TimeGrid], noise: str, num_steps: int, t_min: float
) -> None:
    """Also where N equal steps would end below t_min (N = 32 of the sigma grid)."""
    times = grid()(num_steps, make_process(noise=noise, t_min=t_min))
    assert times[:-1].min() >= t_min * (1 - 1e-12)
    assert times.shape == (num_steps + 1,)
    assert times.dtype == torch.float64
    assert times[0] == 1
    assert times[-1] == 0
    assert (times.diff() < 0).all()


@every_grid
def test_grid_fits_the_variance_preserving_process(grid: type[TimeGrid]) -> None:
    for num_steps in (1, 2, 10, 1000):
        process = VPProcess()
        times = grid()(num_steps, process)
        assert times[:-1].min() >= process.t_min * (1 - 1e-12)
        assert times[0] == pytest.approx(1, abs=1e-9)
        assert times[0] <= 1
        assert (times.diff() < 0).all()


@every_grid
@pytest.mark.parametrize(
    'num_steps', [0, -3, 2.5, True, False, '5', math.nan, math.inf, None]
)
def test_step_count_that_is_not_a_positive_integer_is_an_error(
    grid: type[TimeGrid], num_steps
) -> None:
    with pytest.raises(ValueError, match=f'num_steps={num_steps!r}'):
        grid()(num_steps, make_process())


@pytest.mark.parametrize('num_steps', [10_001, 10**9, 10**30])
def test_absurd_step_counts_are_refused_before_memory_is_allocated(num_steps) -> None:
    class Unreached(TimeGrid):
        def times(self, num_steps, process):
            raise AssertionError('the times are made')

    with pytest.raises(ValueError, match=f'up to 10000, but num_steps={num_steps}'):
        Unreached()(num_steps, make_process())


@pytest.mark.parametrize('num_steps', [4, 4.0, np.int64(4)])
def test_step_count_of_any_integer_type_is_accepted(num_steps) -> None:
    assert UniformGrid()(num_steps, make_process()).shape == (5,)


@pytest.mark.parametrize('t_min', [1e-3, 1e-4])
def test_last_step_of_the_uniform_grid_starts_at_the_smallest_time(
    t_min: float,
) -> None:
    times = UniformGrid()(10, make_process(t_min=t_min))[:-1]
    assert times[-1] == pytest.approx(t_min)
    steps = times.diff()
    torch.testing.assert_close(steps, torch.full_like(steps, -(1 - t_min) / 9))


def test_uniform_grid_can_end_at_the_time_of_the_authors() -> None:
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


def test_split_grid_has_nothing_to_split_where_equal_steps_reach_t_min() -> None:
    times = SplitStepGrid()(6, make_process(t_min=0.5))
    assert times.tolist() == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0])


@every_noise
def test_sigma_grid_is_uniform_in_the_noise_level(noise: str) -> None:
    times = UniformSigmaGrid()(5, make_process(noise=noise))
    levels = [math.sqrt(NOISE_VARIANCE[noise](t)) for t in times.tolist()]
    assert levels == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0])


def test_sigma_grid_is_uniform_in_the_noise_level_of_ddpm() -> None:
    process = VPProcess()
    levels = process.noise.std(UniformSigmaGrid()(5, process))
    fractions = torch.tensor([1, 0.8, 0.6, 0.4, 0.2, 0]).double()
    torch.testing.assert_close(levels / levels[0], fractions)


@every_noise
def test_sigma_grid_is_uniform_down_to_the_noise_level_of_t_min(noise: str) -> None:
    times = UniformSigmaGrid()(5, make_process(noise=noise, t_min=0.5))
    levels = [math.sqrt(NOISE_VARIANCE[noise](t)) for t in times.tolist()]
    assert times[-2].item() == pytest.approx(0.5)
    step = (1 - levels[-2]) / 4
    assert levels == pytest.approx([*(1 - i * step for i in range(5)), 0])


@pytest.mark.parametrize('t_last', [1.0, 0.0, -0.1, 1.5])
def test_grid_that_does_not_decrease_is_an_error_that_shows_it(t_last: float) -> None:
    with pytest.raises(ValueError, match=f'times are.*{t_last}'):
        UniformGrid(t_last)(3, make_process())


@pytest.mark.parametrize('times', [[0.5, 0.7], [1.2, 0.5], [0.5, 0.5], [1.0, math.nan]])
def test_user_defined_grid_is_checked_too(times: list[float]) -> None:
    class UserGrid(TimeGrid):
        def times(self, num_steps, process):
            return torch.tensor(times)

    with pytest.raises(ValueError, match='decrease strictly from at most 1'):
        UserGrid()(2, make_process())


@every_grid
def test_grids_are_built_by_their_registered_names(grid: type[TimeGrid]) -> None:
    assert type(build(SAMPLERS, dict(type=grid.__name__))) is grid
