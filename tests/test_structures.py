"""The data element of a sample."""

import torch

from mmadm.structures import DiffusionSample, training_seeds


def test_samples_keep_their_seeds_and_others_get_one():
    with_seed = DiffusionSample(metainfo=dict(seed=5))
    without = DiffusionSample()
    torch.manual_seed(0)
    first = training_seeds([with_seed, without])
    state = torch.get_rng_state()
    torch.manual_seed(0)
    second = training_seeds([without, without])
    assert first[0] == 5 and first[1] == second[1] and len(set(second)) == 2
    assert torch.equal(state, torch.get_rng_state())
