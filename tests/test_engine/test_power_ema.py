"""Averages of any length are reconstructed after training (post-hoc EMA)."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn

from mmadm.checkpoints import read_weights, reconstruct_average
from mmadm.models import PowerEMA
from mmadm.utils.power_average import combine, power_of
from tests.conftest import ROOT

ITERATIONS = 300


class Regression(BaseModel):
    """A linear network; a frozen layer and a counter do not belong to the average."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(8, 4)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.register_buffer('count', torch.tensor(0))

    def forward(self, x: Tensor, y: Tensor, mode: str) -> dict[str, Tensor]:
        self.count += 1
        return dict(loss=(self.layer(x) - y).square().mean())


def train(folder: Path, iterations: int, **kwargs) -> None:
    """SGD on noisy targets: the weights move and fluctuate."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(ITERATIONS, 8, generator=generator)
    y = x[:, :4] * 3 + torch.randn(ITERATIONS, 4, generator=generator)
    Runner(
        Regression(),
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=[(x[i], y[i]) for i in range(ITERATIONS)],
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=1,
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=iterations),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.02)),
        default_hooks=dict(
            power_ema=dict(
                type='PowerEMAHook', lengths=(0.05, 0.075, 0.1), interval=30
            ),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=30),
            logger=None,
        ),
        default_scope='mmadm',
        log_level='ERROR',
        experiment_name=folder.name,
        **kwargs,
    ).train()


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('power_ema')
    train(folder, ITERATIONS)
    return folder


def test_length_is_the_deviation_of_the_weights_of_the_average() -> None:
    for length in (0.02, 0.05, 0.1, 0.2):
        power, k = power_of(length), np.linspace(0, 1, 200_001)
        weight = k**power / (k**power).sum()
        mean = (weight * k).sum()
        deviation = np.sqrt((weight * (k - mean) ** 2).sum())
        assert deviation == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize('length', [0.0, 0.3, float('nan')])
def test_length_that_no_average_has_is_refused(length: float) -> None:
    with pytest.raises(ValueError, match=f'sigma_rel={length}'):
        power_of(length)


def test_average_weighs_iterations_by_their_power() -> None:
    """The numbers 1, 2, ... average to ``(gamma + 1) / (gamma + 2)`` of the last."""
    model = nn.Linear(1, 1, bias=False)
    average = PowerEMA(model, sigma_rel=0.1)
    for k in range(1, 2001):
        model.weight.data.fill_(k)
        average.update_parameters(model)
    power = power_of(0.1)
    expected = 2000 * (power + 1) / (power + 2)
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-3)


def test_kept_averages_are_their_own_reconstruction() -> None:
    kept = [(end, length) for end in (100, 200, 300) for length in (0.05, 0.1)]
    for i, (end, length) in enumerate(kept):
        expected = np.eye(len(kept))[i]
        assert combine(kept, end, length) == pytest.approx(expected, abs=1e-6)


def test_reconstruction_differs_by_less_than_a_percent_of_the_change(
    run: Path, tmp_path: Path
) -> None:
    snapshots = tmp_path / 'power_ema'
    snapshots.mkdir()
    for path in (run / 'power_ema').glob('*.pth'):
        if '0.075' not in path.name:
            (snapshots / path.name).symlink_to(path)
    assert len(list(snapshots.iterdir())) == 20

    actual = read_weights(run / 'power_ema' / f'iter_{ITERATIONS}_0.075.pth')
    rebuilt = reconstruct_average(snapshots, 0.075)
    start = Regression().state_dict()
    change = (actual['layer.weight'] - start['layer.weight']).norm()
    error = (rebuilt['layer.weight'] - actual['layer.weight']).norm()
    assert error < 0.01 * change
    # The kept averages differ by more than that.
    other = read_weights(snapshots / f'iter_{ITERATIONS}_0.05.pth')
    assert (other['layer.weight'] - actual['layer.weight']).norm() > 2 * error
    assert torch.equal(rebuilt['frozen.weight'], start['frozen.weight'])
    assert rebuilt['count'] == ITERATIONS


def test_resumed_run_has_the_averages_of_an_uninterrupted_one(
    run: Path, tmp_path: Path
) -> None:
    train(tmp_path, 45, load_from=str(run / 'iter_30.pth'), resume=True)
    train(tmp_path / 'whole', 45)
    name = Path('power_ema', 'iter_45_0.05.pth')
    resumed, whole = (
        read_weights(tmp_path / name),
        read_weights(tmp_path / 'whole' / name),
    )
    for key in whole:
        torch.testing.assert_close(resumed[key], whole[key])


def test_tool_writes_weights(run: Path, tmp_path: Path, monkeypatch) -> None:
    tool, out = ROOT / 'tools' / 'misc' / 'posthoc_ema.py', tmp_path / 'average.pth'
    options = [run / 'power_ema', out, '--sigma-rel', '0.08', '--iteration', '150']
    monkeypatch.setattr('sys.argv', [*map(str, [tool, *options])])
    runpy.run_path(str(tool), run_name='__main__')
    model = Regression()
    model.load_state_dict(read_weights(out))


def test_folder_without_snapshots_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='no snapshots up to iteration=5'):
        reconstruct_average(tmp_path, 0.1, 5)
