"""The first stages: their numbers, their sizes, and a step of each on small data."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmadm.apis import load_config
from mmadm.registry import MODELS
from tests.conftest import ROOT

from . import layouts

FOLDER = ROOT / 'configs' / 'autoencoder_kl'
# Of the authors: batch, iterations, lowest learning rate, start of the discriminator,
# channels.
RECIPES = {
    'kl_f4_celebahq': (8, 50_000, 1e-6, 20_001, 3),
    'kl_f4_div2k': (4, 100_000, 1e-6, 20_001, 3),
    'kl_f4_duts': (8, 80_000, 5e-7, 40_001, 1),
    'kl_f4_bsds500': (8, 150_000, 5e-7, 50_001, 1),
}
DATA = {
    'kl_f4_celebahq': layouts.celeba_hq,
    'kl_f4_div2k': layouts.div2k,
    'kl_f4_duts': layouts.duts,
    'kl_f4_bsds500': layouts.bsds500,
}
every_recipe = pytest.mark.parametrize('name', RECIPES)


def load(name: str) -> Config:
    return load_config(str(FOLDER / f'{name}.py'))


def test_every_config_is_known_here():
    shipped = {path.stem for path in FOLDER.glob('*.py')}
    assert shipped == RECIPES.keys() | {'kl_f4_demo'} == DATA.keys() | {'kl_f4_demo'}


@every_recipe
def test_the_numbers_are_the_authors(name):
    cfg = load(name)
    batch, iterations, lowest, start, channels = RECIPES[name]
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == batch
    assert cfg.train_cfg.max_iters == iterations
    assert (cfg.param_scheduler.eta_min, cfg.param_scheduler.power) == (lowest, 0.95)
    for part in ('autoencoder', 'discriminator'):
        optimizer = cfg.optim_wrapper[part].optimizer
        assert (optimizer.lr, optimizer.weight_decay) == (5e-6, 1e-2)
    assert cfg.model.disc_start == start
    average = cfg.default_hooks.ema
    settings = average.momentum, average.interval, average.begin_iter
    assert settings == (5e-3, 10, 1000)

    with torch.device('meta'):
        stage = MODELS.build(cfg.model.autoencoder)
        critic = MODELS.build(cfg.model.discriminator)
    assert stage.in_channels == critic.in_channels == channels
    size = {3: 55_312_063, 1: 55_307_453}[channels]
    assert sum(p.numel() for p in stage.parameters()) == size


def shrink(cfg: Config, data: Path) -> None:
    """Toy width, two steps, small windows, data below ``data``."""
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        root = loader.dataset.data_root
        loader.dataset.data_root = root.replace('data/', f'{data}/', 1)
        for transform in loader.dataset.pipeline:
            if 'size' in transform:
                transform.size = (32, 32)
    cfg.train_dataloader.batch_size = 2
    cfg.model.autoencoder.update(base_channels=8, num_blocks=1, tile=64)
    cfg.model.discriminator.update(base_channels=4)
    cfg.model.reconstruction.update(lpips_weight=0)
    cfg.model.disc_start = 1
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.ema.begin_iter = 0
    cfg.default_hooks.checkpoint.interval = 2


@every_recipe
def test_it_trains_and_reconstructs_on_the_official_layout(name, tmp_path):
    DATA[name](tmp_path / 'data', None)
    cfg = load(name)
    shrink(cfg, tmp_path / 'data')
    cfg.work_dir = str(tmp_path / 'work')
    cfg.experiment_name = f'{name}_{tmp_path.name}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    scores = runner.message_hub.log_scalars
    (psnr,) = (scores[key] for key in scores if key.startswith('val/psnr'))
    assert 5 < psnr.current() < 60
    trained = torch.load(tmp_path / 'work' / 'iter_2.pth', weights_only=True)
    assert trained['state_dict']['autoencoder.scale_factor'] != 1
