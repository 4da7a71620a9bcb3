"""Autoguidance of a whole model by one of its checkpoints."""

import pytest
import torch

from mmadm.models import ADM, GuidedADM
from tests.test_models.test_adm import make_data, make_model, predictions


@pytest.fixture
def weak(tmp_path):
    """The checkpoint of another state of the model."""
    model = make_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 0.8
    path = tmp_path / 'weak.pth'
    torch.save(model.state_dict(), path)
    return path


def make_guided(weak, scale: float) -> GuidedADM:
    model = make_model(model_type=GuidedADM, weak=weak, scale=scale)
    model.load_state_dict(make_model().state_dict())
    return model


def outputs(model: ADM) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    x_t, condition = torch.randn(2, 2, 3, 16, 16, generator=rng)
    with torch.no_grad():
        return torch.cat(model.denoiser(condition)(x_t, 0.3))


def test_outputs_lie_on_the_line_from_the_weak_to_the_strong_model(weak):
    weak_model = make_model()
    weak_model.load_state_dict(torch.load(weak))
    low, high = outputs(weak_model), outputs(make_model())
    assert (high - low).abs().max() > 0.1
    torch.testing.assert_close(
        outputs(make_guided(weak, 2.5)), low + 2.5 * (high - low)
    )


def test_scale_of_one_predicts_as_the_model_alone(weak):
    data = make_data(2)
    for image, other in zip(
        predictions(make_guided(weak, 1.0), data), predictions(make_model(), data)
    ):
        assert torch.equal(image, other)


def test_checkpoints_are_those_of_the_model_alone(weak):
    model, plain = make_guided(weak, 2.0), make_model()
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert len([*model.parameters()]) == len([*plain.parameters()])


def test_the_weak_model_follows_to_another_precision(weak):
    model = make_guided(weak, 2.0).to(torch.bfloat16)
    assert {p.dtype for p in model._weak[0].parameters()} == {torch.bfloat16}


def test_another_networks_checkpoint_is_refused(weak):
    with pytest.raises(ValueError, match=str(weak)):
        make_model(
            model_type=GuidedADM, weak=weak, scale=2.0, head=dict(base_channels=16)
        )


def test_a_scale_below_one_is_refused(weak):
    with pytest.raises(ValueError, match=r'scale=0\.5'):
        make_guided(weak, 0.5)
