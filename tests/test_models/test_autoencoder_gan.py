"""The first stage's training: its losses, who learns from which, and whole runs."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.optim import SGD, AdamW

from mmadm.engine import JointOptimConstructor, NonFiniteHook
from mmadm.models import (
    AutoencoderGAN,
    KLAutoencoder,
    PatchDiscriminator,
    ReconstructionLoss,
)
from mmadm.models.losses import adaptive_weight, hinge_loss
from mmadm.structures import DiffusionSample
from tests.conftest import ROOT
from tests.golden import assert_golden, waves
from tests.test_models.test_autoencoder_kl import with_formulas
from tests.test_models.test_perceptual import fill_lpips
from tests.test_tools.test_cli import call, refused

X = waves((2, 3, 32, 32), 0.61, 0.4, 0.9)


def small(**options) -> AutoencoderGAN:
    torch.manual_seed(0)
    parts = dict(
        autoencoder=dict(type=KLAutoencoder, base_channels=8, num_blocks=1),
        discriminator=dict(type=PatchDiscriminator, base_channels=4),
        reconstruction=dict(type=ReconstructionLoss, lpips_weight=0),
    )
    return AutoencoderGAN(**parts | options)


def noise_call(number: int):
    """What the authors' n-th call of randn gives in the golden runs."""
    return lambda shape: waves((2, *shape), 1.3, 0.5 + number, math.sqrt(2))


def test_discriminator_equals_the_authors_network():
    network = with_formulas(PatchDiscriminator(), 'loss.discriminator.')
    assert sum(p.numel() for p in network.parameters()) == 2_765_633
    with torch.no_grad():
        logits = network(waves((2, 3, 64, 64), 0.61, 0.4, 0.9))
    golden = (-0.09784135, 0.001908985, 7.044578, -0.098046, -0.097883, -0.097808)
    assert logits.shape == (2, 1, 6, 6)
    assert_golden(logits, golden)


def test_all_losses_are_those_of_the_authors():
    """Their discriminator's turn has a second forward pass, with noise of its own."""
    stage = KLAutoencoder(base_channels=32, num_blocks=1)
    model = small(
        autoencoder=with_formulas(stage),
        discriminator=with_formulas(PatchDiscriminator(), 'loss.discriminator.'),
        reconstruction=dict(type=ReconstructionLoss, lpips_weights='random'),
    ).eval()
    fill_lpips(model.reconstruction.lpips, 'loss.perceptual_loss.')
    golden = dict(
        total_loss=12395.876953,
        logvar=0.0,
        kl_loss=3.953097,
        nll_loss=11909.480469,
        rec_loss=3.876784,
        d_weight=5000.0,
        disc_factor=1.0,
        g_loss=0.097279,
    )
    losses = model.loss(X, noise_call(0), adversarial=True)
    for key, value in golden.items():
        assert losses[key].item() == pytest.approx(value, rel=1e-5), key
    golden = dict(disc_loss=0.999571, logits_real=-0.096703, logits_fake=-0.09756)
    losses = model.loss(X, noise_call(1), adversarial=True)
    for key, value in golden.items():
        assert losses[key].item() == pytest.approx(value, rel=1e-5), key


def test_the_whole_has_the_size_of_the_authors():
    model = AutoencoderGAN(
        reconstruction=dict(type=ReconstructionLoss, lpips_weights='random')
    )
    assert sum(p.numel() for p in model.parameters()) == 72_793_857


def test_hinge_loss_pushes_logits_beyond_one_and_no_further():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert hinge_loss(real, fake) == ((0 + 0.5) / 2 + (0 + 1.0) / 2) / 2


def test_adaptive_weight_is_the_ratio_of_two_gradients():
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    weights = adaptive_weight((weight**2).sum(), (2 * weight).sum(), weight)
    # |2 w| = 10 and |(2, 2)| = sqrt(8)
    torch.testing.assert_close(weights, torch.tensor(10 / (8**0.5 + 1e-4)))
    assert adaptive_weight((1e9 * weight).sum(), weight.sum(), weight) == 1e4


def gradients(module: nn.Module) -> list[Tensor]:
    return [p.grad for p in module.parameters() if p.requires_grad]


def test_each_player_learns_from_its_own_loss_alone():
    """One backward pass of the sum gives what two passes of the parts give."""
    for mine, other in (
        ('autoencoder', 'discriminator'),
        ('discriminator', 'autoencoder'),
    ):
        model = small().train()
        losses = model.loss(X, noise_call(0), adversarial=True)
        name = dict(autoencoder='total_loss', discriminator='disc_loss')[mine]
        losses[name].backward()
        assert all(
            g is not None and g.isfinite().all()
            for g in gradients(getattr(model, mine))
        )
        assert all(g is None for g in gradients(getattr(model, other)))
        alone = gradients(getattr(model, mine))

        model = small().train()
        loss, _ = model.parse_losses(model.loss(X, noise_call(0), adversarial=True))
        loss.backward()
        for grad, wanted in zip(gradients(getattr(model, mine)), alone, strict=True):
            torch.testing.assert_close(grad, wanted)


def test_before_its_start_the_discriminator_neither_learns_nor_counts():
    model = small().train()
    losses = model.loss(X, noise_call(0), adversarial=False)
    assert losses['total_loss'] == losses['nll_loss'] + 1e-6 * losses['kl_loss']
    assert losses['d_weight'] == losses['g_loss'] == losses['disc_factor'] == 0
    model.parse_losses(losses)[0].backward()
    assert not any(g.any() for g in gradients(model.discriminator))


def test_the_log_holds_no_graph():
    losses = small().train().loss(X, noise_call(0), adversarial=True)
    graph = [key for key, value in losses.items() if value.requires_grad]
    assert graph == ['total_loss', 'disc_loss']


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r'images of 3 channels, but the .* takes 1'):
        small(discriminator=dict(type=PatchDiscriminator, in_channels=1))


class TestJointOptim:
    PARTS = dict(
        autoencoder=dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3)),
        discriminator=dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.1)),
    )

    def build(self, model: nn.Module, **changes):
        return JointOptimConstructor({**self.PARTS, **changes})(model)

    def test_each_part_has_its_own(self):
        model = small()
        wrapper = self.build(model)
        assert {name: type(w.optimizer) for name, w in wrapper.items()} == dict(
            autoencoder=AdamW, discriminator=SGD
        )
        for name, part in wrapper.items():
            (group,) = part.optimizer.param_groups
            own = list(getattr(model, name).parameters())
            assert all(a is b for a, b in zip(group['params'], own, strict=True))

    def test_both_step_after_one_pass_and_only_when_all_is_gathered(self):
        part = dict(self.PARTS['discriminator'], accumulative_counts=2)
        model = nn.ModuleDict(dict(a=nn.Linear(1, 1), b=nn.Linear(1, 1)))
        wrapper = JointOptimConstructor(dict(a=part, b=part))(model)
        wrapper.initialize_count_status(model, 0, 10)
        weights = [p.detach().clone() for p in model.parameters()]
        for i, moved in enumerate((False, True)):
            with wrapper.optim_context(model):
                loss = (i + 1) * sum(p.sum() for p in model.parameters())
            wrapper.update_params(loss)
            # The mean of the gradients 1 and 2, at a rate of 0.1.
            step = 0.15 if moved else 0.0
            for before, now in zip(weights, model.parameters()):
                torch.testing.assert_close(now, before - step)

    def test_clipping_one_leaves_the_other(self):
        part = self.PARTS['discriminator']
        model = nn.ModuleDict(dict(a=nn.Linear(1, 1), b=nn.Linear(1, 1)))
        clipped = dict(part, clip_grad=dict(max_norm=1e-2))
        wrapper = JointOptimConstructor(dict(a=clipped, b=part))(model)
        before = [p.detach().clone() for p in model.parameters()]
        wrapper.update_params(sum(3 * p.sum() for p in model.parameters()))
        moved = [b - p.detach() for b, p in zip(before, model.parameters())]
        # A rate of 0.1; the gradient of both numbers of each part is 3.
        norms = [
            torch.cat([w.flatten(), b]).norm().item() for w, b in (moved[:2], moved[2:])
        ]
        assert norms == pytest.approx([0.1 * 1e-2, 0.1 * 3 * 2**0.5], rel=1e-4)

    def test_a_batch_that_is_no_number_moves_neither(self):
        model = small().train()
        clipped = dict(self.PARTS['autoencoder'], clip_grad=dict(max_norm=1.0))
        wrapper = self.build(model, autoencoder=clipped)
        NonFiniteHook().before_train(SimpleNamespace(optim_wrapper=wrapper))

        def step(image: Tensor) -> dict[str, Tensor]:
            losses = model.loss(image, noise_call(0), adversarial=True)
            wrapper.update_params(model.parse_losses(losses)[0])
            state = dict(model.named_parameters(), scale=model.autoencoder.scale_factor)
            return {key: value.detach().clone() for key, value in state.items()}

        before, poisoned, after = step(X), step(X * torch.nan), step(X)
        assert [
            key for key in before if not torch.equal(before[key], poisoned[key])
        ] == []
        still = {key for key in before if torch.equal(before[key], after[key])}
        # The hinge pulls a common offset of all logits in both directions alike.
        assert still <= {'reconstruction.logvar', 'discriminator.main.11.bias'}

    def test_forgotten_and_unknown_parts_are_named(self):
        with pytest.raises(ValueError, match=r"in the model: \['critic'\]"):
            self.build(small(), critic=self.PARTS['discriminator'])
        with pytest.raises(ValueError, match=r'an optimizer: \[.discriminator\.main'):
            JointOptimConstructor(dict(autoencoder=self.PARTS['autoencoder']))(small())
        with pytest.raises(ValueError, match=r'accumulative_counts are \[1, 2\]'):
            self.build(
                small(),
                autoencoder=dict(self.PARTS['autoencoder'], accumulative_counts=2),
            )


TOY = """\
from mmengine.config import read_base

with read_base():
    from .kl_f4_demo import *

from mmadm.datasets import ImageDataset

train_dataloader.update(batch_size=2)
train_dataloader.dataset.pop('names')
val_dataloader.dataset.pop('names')
test_dataloader.dataset.pop('names')
train_dataloader.dataset.update(type=ImageDataset, data_root={folder!r})
val_dataloader.dataset.update(type=ImageDataset, data_root={folder!r})
test_dataloader.dataset.update(type=ImageDataset, data_root={folder!r})
train_dataloader.dataset.pipeline[1].update(size=32)
model.autoencoder.update(base_channels=8)
model.discriminator.update(base_channels=4)
model.update(disc_start=2)
train_cfg.update(max_iters=4, val_interval=100)
default_hooks.checkpoint.update(interval=2)
default_hooks.logger.update(interval=1)
"""


@pytest.fixture
def toy(tmp_path, photo_folder) -> Path:
    """The demo at toy width on five small images."""
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    path = tmp_path / 'configs' / 'autoencoder_kl' / 'toy.py'
    path.write_text(TOY.format(folder=str(photo_folder)))
    return path


def states(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def flat(value, place: str = '') -> dict:
    items = enumerate(value) if isinstance(value, list) else value.items()
    leaves = {}
    for key, item in items:
        deeper = isinstance(item, dict | list)
        leaves |= flat(item, f'{place}.{key}') if deeper else {f'{place}.{key}': item}
    return leaves


def test_a_run_trains_resumes_exactly_scores_and_shows(toy, tmp_path, capsys):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    call('train.py', toy, '--work-dir', whole)
    stop = ('--cfg-options', 'train_cfg.max_iters=2', 'param_scheduler.end=4')
    call('train.py', toy, '--work-dir', parts, *stop)
    call('train.py', toy, '--work-dir', parts, '--resume')
    a, b = (states(work / 'iter_4.pth') for work in (whole, parts))
    assert a['optimizer'].keys() == {'autoencoder', 'discriminator'}
    for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
        one, two = flat(a[key]), flat(b[key])
        assert one.keys() == two.keys()
        different = [k for k, v in one.items() if not _same(v, two[k])]
        assert different == [], key

    start = states(whole / 'iter_2.pth')['ema_state_dict']
    end = a['ema_state_dict']
    still = [k for k, v in start.items() if torch.equal(v, end[k])]
    assert all('logvar' in key for key in still), (
        'from its start on, both networks are trained'
    )

    shown = tmp_path / 'shown'
    options = ('--work-dir', tmp_path / 'w', '--show-dir', shown)
    call('test.py', toy, whole / 'iter_4.pth', *options, '--seed', 3)
    table = capsys.readouterr().out
    assert 'psnr' in table and 'ssim' in table
    assert len(list((shown / 'reconstruction').glob('*.png'))) == 5
    assert (shown / 'comparison.png').is_file()
    assert not (shown / 'trajectory.png').exists()

    for option in (('--num-steps', '5'), ('--sampler', 'adm')):
        message = refused(capsys, 'test.py', toy, whole / 'iter_4.pth', *option)
        assert 'first stage has no sampl' in message


def _same(a, b) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


def test_mixed_precision_reaches_both_networks(toy, tmp_path):
    call('train.py', toy, '--work-dir', tmp_path / 'full')
    call('train.py', toy, '--work-dir', tmp_path / 'half', '--amp')
    full, half = (
        states(tmp_path / n / 'iter_4.pth')['ema_state_dict'] for n in ('full', 'half')
    )
    for part in ('autoencoder', 'discriminator'):
        keys = [k for k in full if part in k and k.endswith('weight')]
        assert any(not torch.equal(full[k], half[k]) for k in keys)
        assert all(half[k].isfinite().all() for k in keys)


def train_on_rank(rank: int, folder: Path) -> None:
    """Two steps on images that only this process has."""
    start = f'file://{folder}/meeting_point'
    torch.distributed.init_process_group('gloo', start, rank=rank, world_size=2)
    model = MMDistributedDataParallel(small().train())
    wrapper = JointOptimConstructor(TestJointOptim.PARTS)(model)
    generator = torch.Generator().manual_seed(rank)
    for _ in range(2):
        images = torch.randint(256, (2, 3, 32, 32), generator=generator).byte()
        samples = [DiffusionSample(metainfo=dict(seed=i)) for i in range(2)]
        data = dict(inputs=dict(image=list(images)), data_samples=samples)
        model.train_step(data, wrapper)
    weights = dict(model.module.named_parameters())
    torch.save(weights, folder / f'rank_{rank}.pth')
    torch.distributed.destroy_process_group()


def test_two_processes_train_with_the_gradients_of_both(tmp_path):
    """The images differ; equal weights mean that gradients were reduced."""
    spawn = torch.multiprocessing.start_processes
    spawn(train_on_rank, (tmp_path,), nprocs=2, start_method='forkserver')
    one, two = (states(tmp_path / f'rank_{rank}.pth') for rank in (0, 1))
    start = dict(small().named_parameters())
    assert one.keys() == start.keys()
    assert [key for key in one if not torch.equal(one[key], two[key])] == []
    still = {key for key in one if torch.equal(one[key], start[key])}
    # The hinge pulls a common offset of all logits in both directions alike.
    assert still <= {'reconstruction.logvar', 'discriminator.main.11.bias'}
