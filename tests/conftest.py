"""What many tests need: small pictures, a small model, quick runners."""

import gc
import os
import shutil
from functools import cache
from pathlib import Path

# Several workers share few cores: more threads than cores only wait for each other.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)
ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def quick_config_text(monkeypatch):
    """Configs are logged as they are: formatting them costs more than a toy run."""
    import yapf.yapflib.yapf_api as yapf_api

    monkeypatch.setattr(yapf_api, 'FormatCode', lambda text, **_: (text, True))


@pytest.fixture(autouse=True, scope='session')
def environment_once() -> None:
    """Each run logs machine and versions: finding them out takes a second."""
    from mmengine.runner import runner

    runner.collect_env = cache(runner.collect_env)


@pytest.fixture(autouse=True)
def quick_collection() -> None:
    """MMEngine collects garbage for each data set: not among all that is imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def data_root() -> Path:
    """Real benchmark data, where they are at hand."""
    root = Path(os.environ.get('MMADM_DATA', ROOT.parent / 'shared' / 'data'))
    if not root.is_dir():
        pytest.skip(f'No benchmark data in {root}; name their folder in MMADM_DATA.')
    return root


def draw_photo(seed: int, height: int = 40, width: int = 48) -> np.ndarray:
    """A smooth coloured picture, (H, W, 3), uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 16
    waves = rng.uniform(0.3, 2, (3, 2)), rng.uniform(0, 6, 3)
    channels = [np.sin(a * x + b * y + p) for (a, b), p in zip(*waves)]
    return (np.stack(channels, axis=-1) * 100 + 128).astype(np.uint8)


@pytest.fixture
def photo_folder(tmp_path) -> Path:
    """A folder of five small PNG pictures."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(5):
        Image.fromarray(draw_photo(i)).save(folder / f'photo_{i}.png')
    return folder


TOY_CONFIG = """\
from mmengine.config import read_base

with read_base():
    from .adm_sr_demo import *

from mmadm.datasets import ImageDataset

train_dataloader.update(batch_size=2)
train_dataloader.dataset.pop('names')
val_dataloader.dataset.pop('names')
test_dataloader.dataset.pop('names')
train_dataloader.dataset.update(type=ImageDataset, data_root={folder!r})
val_dataloader.dataset.update(type=ImageDataset, data_root={folder!r})
test_dataloader.dataset.update(type=ImageDataset, data_root={folder!r})
train_dataloader.dataset.pipeline[1].update(size=32)
model.condition_encoder.update(channels=(8, 16))
model.head.update(base_channels=8, condition_channels=(8, 16))
train_cfg.update(max_iters=4, val_interval=100)
default_hooks.checkpoint.update(interval=2)
default_hooks.logger.update(interval=1)
"""


#: Widths of the feature maps of ``toy_swin``.
TOY_SWIN = (8, 16, 32, 64)


@pytest.fixture
def toy_swin(monkeypatch) -> None:
    """Swin at toy width and depth for each ``arch``; the second block shifts."""
    from mmadm.models.condition_encoders import swin

    build = swin.build_backbone
    arch = dict(embed_dims=TOY_SWIN[0], depths=(2, 1, 1, 1), num_heads=(2, 2, 2, 2))
    monkeypatch.setattr(
        swin, 'build_backbone', lambda kind, _, **kw: build(kind, arch, **kw)
    )


@pytest.fixture
def toy_config(tmp_path, photo_folder) -> Path:
    """The demo's config at toy width on five small pictures, as a file."""
    configs = tmp_path / 'configs'
    shutil.copytree(ROOT / 'configs', configs)
    path = configs / 'adm' / 'toy.py'
    path.write_text(TOY_CONFIG.format(folder=str(photo_folder)))
    return path


@pytest.fixture
def make_runner(toy_config, tmp_path):
    """Build a runner of the toy config; each with a log history of its own."""
    from mmengine.runner import Runner

    from mmadm.apis import load_config

    count = iter(range(100))

    def make(work_dir: str = 'run', **options) -> Runner:
        options = {key.replace('__', '.'): value for key, value in options.items()}
        cfg = load_config(str(toy_config), options)
        cfg.work_dir = str(tmp_path / work_dir)
        cfg.experiment_name = f'{tmp_path.name}_{next(count)}'
        return Runner.from_cfg(cfg)

    return make
