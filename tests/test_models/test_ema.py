"""The average of the trained weights."""

import pytest
import torch
from torch import nn

from mmadm.models import TrainableEMA


def make_model() -> nn.Module:
    model = nn.ModuleDict(
        dict(trained=nn.Linear(3, 2), frozen=nn.Linear(4, 4), norm=nn.BatchNorm1d(2))
    )
    model['frozen'].requires_grad_(False)
    return model


def move(model: nn.Module, step: float) -> None:
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += step


def test_it_follows_the_formula():
    model = make_model()
    ema = TrainableEMA(model, momentum=0.05)
    expected = model['trained'].weight.clone()
    for step in range(5):
        move(model, 1.0)
        ema.update_parameters(model)
        weight = model['trained'].weight
        expected = (
            weight.clone() if step == 0 else expected + 0.05 * (weight - expected)
        )
    torch.testing.assert_close(ema.module['trained'].weight, expected)


def test_frozen_parts_are_shared_and_trained_ones_copied():
    model = make_model()
    ema = TrainableEMA(model)
    assert ema.module['frozen'].weight is model['frozen'].weight
    assert ema.module['trained'].weight is not model['trained'].weight
    assert ema.module['norm'].running_mean is not model['norm'].running_mean


def test_the_early_average_follows_the_authors_ramp():
    """The table of decays at k steps: 8 -> 0.76888, 80 -> 0.94658."""
    ema = TrainableEMA(make_model(), momentum=1 - 0.9996, ramp=2 / 3)
    assert ema.momentum_at(8) == pytest.approx(1 - 0.76888, abs=1e-5)
    assert ema.momentum_at(80) == pytest.approx(1 - 0.94658, abs=1e-5)
    assert ema.momentum_at(10**6) == pytest.approx(1 - 0.9996)


def test_it_only_moves_every_interval():
    model = make_model()
    ema = TrainableEMA(model, momentum=0.4, interval=3)
    ema.update_parameters(model)
    values = []
    for _ in range(3):
        move(model, 1.0)
        ema.update_parameters(model)
        values.append(ema.module['trained'].bias[0].item())
    assert values[0] == values[1] != values[2]


def test_buffers_are_copied_or_averaged():
    for average, expected in ((False, 8.0), (True, 4.0)):
        model = make_model()
        ema = TrainableEMA(model, momentum=0.49, update_buffers=average)
        ema.update_parameters(model)
        model['norm'].running_mean.fill_(8.0)
        ema.update_parameters(model)
        mean = ema.module['norm'].running_mean[0].item()
        assert mean == pytest.approx(expected, rel=0.03)


def test_statistics_of_norms_fit_the_averaged_weights():
    """Means of features are linear in the weights, so they average as these do."""
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, momentum=1.0))
    ema = TrainableEMA(model, momentum=0.2)
    batch = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) + 1
    for _ in range(6):
        model(batch)
        ema.update_parameters(model)
        model[0].weight.data += 1.0
    features, norm = ema.module[0](batch), ema.module[1]
    torch.testing.assert_close(norm.running_mean, features.mean(0))
    assert not torch.allclose(norm.running_mean, model[1].running_mean, rtol=0.1)
    assert norm.num_batches_tracked == 6


def test_momentum_given_as_decay_is_refused():
    with pytest.raises(ValueError, match=r'1 - decay.*momentum=0\.9999.*give 1e-4'):
        TrainableEMA(make_model(), momentum=0.9999)


def test_its_state_holds_the_average_alone():
    """Not the model beside it, which would double every checkpoint."""
    model = make_model()
    ema = TrainableEMA(model)
    ema.update_parameters(model)
    expected = {f'module.{name}' for name in model.state_dict()} | {'steps'}
    assert set(ema.state_dict()) == expected
