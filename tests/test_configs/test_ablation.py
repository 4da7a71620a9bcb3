"""Every row of Fig. 7, Tables V and VI is a config that trains and samples."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmadm.apis import load_config
from mmadm.datasets import CIFAR10Images
from mmadm.models import ADM
from mmadm.registry import MODELS
from mmadm.structures import DiffusionSample

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'adm'
PARENT = CONFIGS / 'adm_uncond_cifar10.py'
# Those on CIFAR-10; test_tasks.py has the others.
ABLATIONS = [
    path
    for path in sorted((CONFIGS / 'ablation').glob('*.py'))
    if not path.stem.endswith(('div2k', 'duts', 'bsds', 'celebahq256'))
]
every_ablation = pytest.mark.parametrize('path', ABLATIONS, ids=lambda path: path.stem)


def load_narrow(path: Path) -> Config:
    cfg = load_config(str(path))
    cfg.model.head.update(
        base_channels=8, channel_mult=(1, 2), num_blocks=1, attention_levels=(1,)
    )
    return cfg


def build_with_random_weights(path: Path) -> ADM:
    """Layers that start at zero would hide gradients of those before them."""
    torch.manual_seed(0)
    model = MODELS.build(load_narrow(path).model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def train_once(model: ADM) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (4, 3, 8, 8), generator=generator).byte()
    samples = [DiffusionSample(metainfo=dict(seed=seed)) for seed in range(4)]
    data = dict(inputs=dict(image=list(images)), data_samples=samples)
    data = model.data_preprocessor(data, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    return loss


@pytest.mark.parametrize('path', [PARENT, *ABLATIONS], ids=lambda path: path.stem)
def test_config_trains_all_its_weights_and_samples(path: Path) -> None:
    model = build_with_random_weights(path)
    assert train_once(model).isfinite()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # the frequencies of NCSN++
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # Softmax does not see a number added to every key.
        assert parameter.grad.any() or name.endswith('gate.key.bias'), name

    model.eval().test_cfg['num_steps'] = 2
    requests = [DiffusionSample(metainfo=dict(sample_idx=i)) for i in range(3)]
    with torch.no_grad():
        images = model.sample((9, 8), requests)
    assert images.shape == (3, 3, 9, 8)
    assert images.isfinite().all() and images.abs().max() <= 1


@every_ablation
def test_ablation_differs_from_its_parent_in_the_model_alone(path: Path) -> None:
    own, parent = load_config(str(path)).to_dict(), load_config(str(PARENT)).to_dict()
    assert own.pop('model') != parent.pop('model')
    assert own == parent


def test_ablations_are_all_different() -> None:
    models = [repr(load_config(str(p)).model.to_dict()) for p in [PARENT, *ABLATIONS]]
    assert len(set(models)) == len(models)


@pytest.mark.parametrize(
    ('config', 'expected'),
    [
        ('adm_uncond_cifar10.py', 150_134_896),
        ('ablation/arch_single_decoder.py', 90_095_048),
        ('ablation/ddpm.py', 90_095_048),
    ],
)
def test_heads_have_the_sizes_of_the_paper(config: str, expected: int) -> None:
    head = load_config(str(CONFIGS / config)).model.head
    with torch.device('meta'):
        head = MODELS.build(head)
    assert sum(parameter.numel() for parameter in head.parameters()) == expected


def test_cifar10_config_has_the_numbers_of_table_i() -> None:
    cfg = load_config(str(PARENT))
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 128
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    assert cfg.param_scheduler.eta_min == 1e-5
    assert cfg.train_cfg.max_iters == 800_000
    assert cfg.model.process.t_min == 1e-3


def write_cifar10(root: Path) -> None:
    """Four images in the official format."""
    folder = root / 'cifar-10-batches-py'
    folder.mkdir()
    data = np.random.RandomState(0).randint(0, 256, (4, 3072), np.uint8)
    (folder / 'data_batch_1').write_bytes(pickle.dumps({b'data': data}, protocol=2))


def test_runner_trains_and_logs_images(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    cfg = load_narrow(PARENT)
    cfg.merge_from_dict(
        dict(
            work_dir=str(tmp_path / 'work'),
            train_cfg=dict(max_iters=2, val_interval=2),
            default_hooks=dict(checkpoint=dict(interval=2)),
            model=dict(test_cfg=dict(num_steps=2)),
        )
    )
    cfg.train_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.update(
        type=CIFAR10Images, data_root=str(tmp_path), batches=('data_batch_1',)
    )
    cfg.val_dataloader.dataset.update(num_samples=2)
    Runner.from_cfg(cfg).train()
    assert (tmp_path / 'work' / 'iter_2.pth').is_file()
    assert list((tmp_path / 'work').rglob('samples_*.png'))
