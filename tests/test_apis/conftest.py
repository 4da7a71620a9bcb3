"""A small trained-looking model, and files for it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmadm.apis import ADMInferencer, load_config
from mmadm.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'adm'


def save_weights(cfg, path: Path) -> Path:
    """Random weights of a config that predict more than a constant."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and not name.startswith('first_stage'):
            torch.nn.init.normal_(parameter, std=0.1)
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def save_images(folder: Path, images: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, image in images.items():
        Image.fromarray(image).save(folder / f'{name}.png')
    return folder


@pytest.fixture(scope='module')
def toy(tmp_path_factory) -> ADMInferencer:
    """Super-resolution with a narrow network."""
    cfg = load_config(str(CONFIGS / 'adm_sr_demo.py'))
    cfg.model.condition_encoder.update(channels=(8, 16))
    cfg.model.head.update(base_channels=8, condition_channels=(8, 16))
    weights = save_weights(cfg, tmp_path_factory.mktemp('toy') / 'toy.pth')
    return ADMInferencer(cfg, weights, 'cpu', show_progress=False)


def evaluations_of(toy, *args, **kwargs) -> int:
    """How often the network runs while a stream is consumed."""
    done = []
    list(toy.stream(*args, **kwargs, progress=lambda *n: done.append(n)))
    return len(done)
