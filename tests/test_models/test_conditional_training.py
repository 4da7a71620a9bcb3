"""Training the paper's conditional networks: Swin, relation layers, two decoders."""

import torch
from mmengine.model import MMDistributedDataParallel

from mmadm.models import ADM, RelationUNet, SwinEncoder
from tests.test_evaluation.two_processes import in_two_processes

from .test_adm import losses_of, make_data

WIDTHS = (96, 192, 384, 768)


def make_model(**encoder) -> ADM:
    """The real architecture at its smallest widths, without its random parts."""
    torch.manual_seed(0)
    model = ADM(
        condition_encoder=dict(
            type=SwinEncoder, arch='tiny', drop_path_rate=0.0, **encoder
        ),
        head=dict(
            type=RelationUNet, base_channels=8, condition_channels=WIDTHS, dropout=0.0
        ),
    )
    return model.train()


def gradients(model: ADM, data: dict) -> dict[str, torch.Tensor]:
    losses = losses_of(model, data)
    model.zero_grad()
    (losses['loss_image'] + losses['loss_noise']).backward()
    return {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def test_gradient_reaches_all_of_the_encoder_and_both_decoders():
    found = gradients(make_model(), make_data(2, size=(64, 64)))
    assert [name for name, gradient in found.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in found.values())
    weights = {n: g for n, g in found.items() if g.dim() > 1}
    assert [name for name, g in weights.items() if not g.any()] == []


def test_a_frozen_encoder_gets_none_and_stays():
    model = make_model(frozen=True)
    before = {k: v.clone() for k, v in model.condition_encoder.state_dict().items()}
    found = gradients(model, make_data(2, size=(64, 64)))
    assert not any(name.startswith('condition_encoder') for name in found)
    assert any(gradient.any() for gradient in found.values())
    after = model.condition_encoder.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_two_processes_share_gradients_and_no_parameter_is_left_unused(tmp_path):
    """Plain DDP, which would stop at a second step after an unused parameter."""

    def half(rank: int) -> dict:
        data = make_data(4, size=(32, 32))
        members = slice(2 * rank, 2 * rank + 2)
        inputs = {key: value[members] for key, value in data['inputs'].items()}
        return dict(inputs=inputs, data_samples=data['data_samples'][members])

    def work(rank: int) -> None:
        model = MMDistributedDataParallel(make_model())
        for _ in range(2):
            model.zero_grad()
            data = model.module.data_preprocessor(half(rank), True)
            losses = model(**data, mode='loss')
            (losses['loss_image'] + losses['loss_noise']).backward()
        shared = {n: p.grad for n, p in model.module.named_parameters()}
        torch.save(shared, f'{rank}.pth')

    in_two_processes(tmp_path, work)
    one, two = (torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1))
    alone = [gradients(make_model(), half(rank)) for rank in (0, 1)]
    for name in alone[0]:
        assert torch.equal(one[name], two[name])
        mean = (alone[0][name] + alone[1][name]) / 2
        torch.testing.assert_close(one[name], mean, atol=1e-6, rtol=1e-3)
