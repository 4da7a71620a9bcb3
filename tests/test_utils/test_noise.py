"""Noise and seeds."""

import pytest
import torch
from scipy.stats import kstest

from mmadm.utils import SampleNoise, check_seed, mix_seed


def test_noise_belongs_to_the_seed_not_to_the_batch():
    together = SampleNoise([3, 4, 5], (2, 4, 4))
    alone = SampleNoise([4], (2, 4, 4))
    for _ in range(3):
        assert torch.equal(together()[1:2], alone())


def test_each_call_and_each_seed_is_new():
    noise = SampleNoise([0, 1], (3, 8, 8))
    first, second = noise(), noise()
    draws = [first[0], first[1], second[0], second[1]]
    for i, one in enumerate(draws):
        assert all(not torch.equal(one, other) for other in draws[i + 1 :])


def test_noise_is_standard_normal_and_uniform_is_uniform():
    noise = SampleNoise(range(400), (1, 5, 5))
    assert kstest(noise().flatten().numpy(), 'norm').pvalue > 0.01
    assert kstest(noise.uniform().numpy(), 'uniform').pvalue > 0.01


def test_seeds_are_mixed_apart():
    seeds = {mix_seed(a, b, c) for a in range(10) for b in range(10) for c in range(10)}
    assert len(seeds) == 1000
    assert mix_seed(1, 2) != mix_seed(2, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_large_seeds_are_as_good_as_others():
    seeds = [mix_seed(seed, 7) for seed in (0, 2**31, 2**63, 2**64 - 1, 10**30)]
    assert len(set(seeds)) == len(seeds)
    assert SampleNoise(seeds, (1, 2, 2))().isfinite().all()


@pytest.mark.parametrize('seed', [-1, -(2**70), 1.5, None, '3'])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ValueError, match=rf'integers of at least 0.*{seed}.*seed'):
        mix_seed(seed, 0)


def test_the_precision_of_a_device_changes_no_random_number():
    exact = SampleNoise([0], (1, 2, 2))()
    rounded = SampleNoise([0], (1, 2, 2), out_dtype=torch.float32)()
    assert exact.dtype == torch.float64
    assert torch.equal(exact.float(), rounded)


@pytest.mark.parametrize('seed', [-1, 2**32, 1.0, '0'])
def test_seeds_that_numpy_cannot_take_are_refused(seed):
    check_seed(0)
    check_seed(2**32 - 1)
    with pytest.raises(ValueError, match=rf'to 4294967295, but --seed={seed!r}'):
        check_seed(seed, '--seed')
