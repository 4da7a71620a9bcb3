"""The complete text config of the documentation: the demo's config, without imports."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from mmengine.runner import Runner

from mmadm.apis import load_config

ROOT = Path(__file__).parents[2]
TEXT = ROOT / 'demo' / 'text_config.py'
DEMO = ROOT / 'configs' / 'adm' / 'adm_sr_demo.py'


def by_name(value: Any) -> Any:
    """Classes and functions as their names, without those of their packages."""
    if isinstance(value, dict):
        return {
            key: item.split('.')[-1]
            if key.endswith('type') and isinstance(item, str)
            else by_name(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [by_name(item) for item in value]
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__name__
    return value


def test_it_imports_nothing_and_equals_the_demo():
    assert 'import ' not in TEXT.read_text()
    text, demo = (by_name(load_config(str(path)).to_dict()) for path in (TEXT, DEMO))
    # The demo's flips at the test are another page; imports are names of a config, too.
    unread = demo.keys() - text.keys()
    assert {key for key in unread if isinstance(demo[key], dict)} == {'tta_model'}
    assert {key: demo.get(key) for key in text} == text


@pytest.mark.parametrize('option', ['model.head.base_chanels', 'train_cfg.max_iter'])
def test_its_keys_are_checked_too(option):
    with pytest.raises(ValueError, match=option):
        load_config(str(TEXT), {option: 4})


def test_it_trains_and_is_scored(tmp_path):
    options = {
        'model.head.base_channels': 8,
        'model.condition_encoder.channels': (8, 16),
        'model.head.condition_channels': (8, 16),
        'train_dataloader.dataset.names': ('coffee',),
        'train_dataloader.batch_size': 2,
        'train_cfg.max_iters': 1,
        'test_dataloader.dataset.names': ('coffee',),
        'model.sampler.num_steps': 1,
    }
    cfg = load_config(str(TEXT), options)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = tmp_path.name
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert {'psnr_rgb', 'bicubic:psnr_rgb'} <= runner.test().keys()
