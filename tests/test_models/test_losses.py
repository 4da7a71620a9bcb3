"""The objective: what the golden numbers do not show."""

import pytest
import torch

from mmadm.models import ADMLoss, AuthorsLoss


def test_the_papers_loss_has_no_extra_term():
    image = torch.zeros(1, 3, 4, 4)
    assert ADMLoss().extra(lambda: image, image, torch.ones(1)) == {}


def test_each_parameter_of_phi_has_its_own_weight():
    pred = torch.zeros(2, 4, 3, 3)
    target = torch.cat([torch.ones(2, 2, 3, 3), 2 * torch.ones(2, 2, 3, 3)], dim=1)
    weight = torch.tensor([[1.0, 10.0], [3.0, 0.0]])
    expected = torch.tensor([(1 + 40) / 2, 3 / 2])
    torch.testing.assert_close(ADMLoss()(pred, target, weight), expected)


def test_half_precision_outputs_are_compared_in_float32():
    pred = torch.full((1, 1, 64, 64), 300.0, dtype=torch.float16)
    loss = ADMLoss()(pred, torch.zeros(1, 1, 64, 64), torch.ones(1))
    assert loss.dtype == torch.float32 and loss.item() == 300.0**2


@pytest.mark.parametrize(
    'wrong',
    [dict(distance='l3'), dict(reduction='max'), dict(reconstruction='cubic')],
)
def test_unknown_choices_are_refused_with_the_known_ones(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"Unknown {name}='{value}'. Use one of"):
        AuthorsLoss(**wrong)
