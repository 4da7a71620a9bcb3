"""Turns a config file and command-line options into a config that can run."""

import os
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from mmadm.checkpoints import (
    ModelSource,
    check_resumable,
    find_checkpoint,
    find_config,
    model_zoo,
    read_checkpoint,
    resolve_model,
    trust_checkpoint,
)
from mmadm.diffusion.presets import sampler_preset
from mmadm.engine import AutocastOptimWrapper
from mmadm.utils import check_seed

from .config_check import check_config, check_options
from .distributed import init_distributed

_STOCK_HOOKS = {
    'checkpoint',
    'logger',
    'param_scheduler',
    'runtime_info',
    'sampler_seed',
    'timer',
}


def load_config(path: str, options: dict | None = None) -> Config:
    """Read a config, apply ``--cfg-options``, and check its keys.

    Args:
        path: config file, or the name of a shipped config.
        options: the parsed ``--cfg-options``.

    Raises:
        FileNotFoundError: there is no such file or name.
        ValueError: the file is not a config, or a key is misspelt.
    """
    path = str(find_config(path))
    if Path(path).suffix not in ('.py', '.json'):
        raise ValueError(
            f'Not a config: {path}. Give a Python file (.py) or a JSON file.'
        )
    try:
        cfg = Config.fromfile(path)
    # A config is a Python program: it may fail in any way.
    except Exception as error:
        raise ValueError(
            f'Config cannot be read: {path} ({_reason(error)}). Correct it; '
            'docs/en/user_guides/configs.md describes configs.'
        ) from error
    if not isinstance(cfg.get('model'), dict):
        raise ValueError(
            f'The config has no model: {path}. Import one of configs/_base_/models/ or '
            'inherit from a config in configs/adm/.'
        )
    merge_options(cfg, options)
    check_config(cfg)
    return cfg


def load_model(
    model: str | Path | Config | dict,
    weights: str | Path | None = None,
    options: dict | None = None,
) -> ModelSource:
    """Config and checkpoint of a model that is to run.

    Args:
        model: name of a shipped model; published file; config file; or a config.
        weights: a checkpoint; required for a config.
        options: the parsed ``--cfg-options``.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: the name is unknown, a file is corrupted, or weights are missing.
    """
    if not isinstance(model, str | Path | dict | Config):
        raise ValueError(
            f'The model must be a name, a file or a config, but got model={model!r}. '
            'Give for instance adm_sr_small.'
        )
    source = resolve_model(deepcopy(model), weights, load_config)
    if source.checkpoint is None:
        raise ValueError(
            f'There are no trained weights: weights=None, and {model} has none. Train '
            'it with tools/train.py and give its checkpoint, such as work_dirs/'
            'adm_sr_demo/iter_2000.pth; or give the name of a trained model: '
            f'{trained_models()}.'
        )
    merge_options(source.config, options)
    check_config(source.config)
    return source


def trained_models() -> list[str]:
    """Names of the shipped models that have weights."""
    return [name for name, entry in model_zoo().items() if entry.weights]


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f'there is no key or environment variable {error}'
    return f'{type(error).__name__}: {error}'


def merge_options(cfg: Config, options: dict | None) -> None:
    """Apply ``--cfg-options``, in place.

    Raises:
        ValueError: an option does not fit the config.
    """
    check_options(cfg, options or {})
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'--cfg-options {options} do not fit the config: {error}. Use indices that '
            'exist in the list, and keys whose parent is a dict.'
        ) from error
    if cfg.get('work_dir'):
        cfg.work_dir = os.path.expanduser(cfg.work_dir)
    hooks = cfg.get('default_hooks') or {}
    # None removes a hook; MMEngine allows it only for its own ones.
    for name in [key for key, hook in hooks.items() if hook is None]:
        if name not in _STOCK_HOOKS:
            del hooks[name]


def prepare_run(
    cfg: Config,
    config_path: str,
    work_dir: str | None = None,
    seed: int | None = None,
    launcher: str = 'none',
) -> None:
    """Set work directory, seed and launcher of a config, in place.

    Args:
        cfg: the config.
        config_path: file of the config; its name is that of the default work directory.
        work_dir: replaces the work directory of the config.
        seed: replaces the seed of the config; it is also the seed of sampling.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
    """
    cfg.launcher = launcher
    default = str(Path('work_dirs', Path(config_path).stem))
    cfg.work_dir = os.path.expanduser(work_dir or cfg.get('work_dir') or default)
    if seed is not None:
        check_seed(seed, '--seed')
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
        if _samples(cfg):
            cfg.model.test_cfg = dict(cfg.model.get('test_cfg') or {}, seed=seed)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        _set_timeout(cfg.get(name))
    if launcher != 'none':
        init_distributed(cfg, launcher)


def _set_timeout(loader: dict | None) -> None:
    """Let a data loader fail after ten minutes without data, not wait for ever."""
    if loader and loader.get('num_workers', 0) > 0:
        loader.setdefault('timeout', 600)


def _samples(cfg: Config) -> bool:
    """Whether the model is a diffusion model; a first stage has no head."""
    return 'head' in cfg.model


def use_trust(cfg: Config, resume: str | None) -> None:
    """Allow the checkpoint that is resumed or loaded to run code.

    Raises:
        ValueError: no checkpoint is named.
    """
    path = resume if resume not in (None, 'auto') else cfg.get('load_from')
    if path is None:
        raise ValueError(
            '--trust-checkpoint applies to a checkpoint file that is named, but none '
            'is. Give one with --resume FILE, or as load_from in the config.'
        )
    trust_checkpoint(path)


def use_amp_in_test(cfg: Config) -> None:
    """Test with bfloat16 autocast, the precision of ``--amp`` in training, in place.

    On GPUs MMEngine would use float16, whose range is too small for some models.
    """
    torch.set_autocast_dtype('cuda', torch.bfloat16)
    cfg.test_cfg.fp16 = True  # MMEngine's name for autocast of any type


def use_amp(cfg: Config) -> None:
    """Switch the optimizer wrapper to bfloat16 autocast, in place."""
    print_log(
        'Training with bfloat16 autocast. The paper reports worse images with float16 '
        '(Sec. V-A): compare with float32 before you rely on it.',
        'current',
    )
    for wrapper in _optim_wrappers(cfg):
        wrapper.type = AutocastOptimWrapper


def _optim_wrappers(cfg: Config) -> list[dict]:
    """Configs of the optimizer wrappers: one, or one for each part of the model."""
    wrapper = cfg.optim_wrapper
    parts = [wrapper] if 'optimizer' in wrapper else wrapper.values()
    return [part for part in parts if isinstance(part, dict)]


def scale_lr(cfg: Config) -> None:
    """Scale the learning rate to the batch of one optimizer step, in place.

    The batch counts all processes and accumulated batches; MMEngine's own scaling
    leaves the latter out. Afterwards ``base_batch_size`` is this batch, so that scaling
    the same config again changes nothing.

    Raises:
        ValueError: the config does not have the batch size of its learning rate.
    """
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ValueError(
            '--auto-scale-lr needs the total batch size of the learning rate, but the '
            'config has no auto_scale_lr.base_batch_size. Add auto_scale_lr = '
            'dict(base_batch_size=...) to it, or leave the option out.'
        )
    wrappers = _optim_wrappers(cfg)
    processes = 1 if cfg.launcher == 'none' else int(os.environ['WORLD_SIZE'])
    batch = cfg.train_dataloader.batch_size * processes
    batch *= wrappers[0].get('accumulative_counts', 1)
    ratio = batch / cfg.auto_scale_lr.base_batch_size
    for wrapper in wrappers:
        wrapper.optimizer.lr *= ratio
    cfg.auto_scale_lr = dict(base_batch_size=batch)
    print_log(f'Learning rate scaled by {ratio:g} for a batch of {batch}.', 'current')


def set_resume(cfg: Config, checkpoint: str) -> None:
    """Resume training from ``checkpoint``, in place.

    'auto' is the newest checkpoint of the work directory that is complete; where there
    is none, training begins as without this option, from ``load_from`` if it is set.

    Raises:
        FileNotFoundError: the checkpoint does not exist.
        ValueError: the checkpoint is corrupted, or has no training state.
    """
    if checkpoint == 'auto':
        checkpoint = find_checkpoint(Path(cfg.work_dir))
    # Without a path MMEngine would search for a checkpoint itself.
    cfg.resume = checkpoint is not None
    if checkpoint is None:
        start = cfg.get('load_from') or 'the initial weights of the config'
        print_log(
            f'No checkpoint to resume from in {cfg.work_dir}: training starts anew, '
            f'from {start}.',
            'current',
        )
        return
    cfg.load_from = str(checkpoint)
    check_resumable(read_checkpoint(checkpoint, keep=True), checkpoint)


def use_sampler(cfg: Config, name: str) -> None:
    """Replace the sampler of the config; steps, grid and clipping stay, in place.

    Raises:
        ValueError: the sampler is unknown, or the model has none.
    """
    if not _samples(cfg):
        raise ValueError(
            f'A first stage has no sampler, but --sampler {name} was given. Leave the '
            'option out.'
        )
    cfg.model.sampler, message = sampler_preset(name, cfg.model.get('sampler'))
    print_log(message, 'current')


def use_tta(cfg: Config) -> None:
    """Wrap the model for test-time augmentation, in place.

    Raises:
        ValueError: the config has no test-time augmentation.
    """
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise ValueError(
            'Test-time augmentation needs tta_model and tta_pipeline, but the config '
            'does not have both. Add them as in configs/_base_/datasets/'
            'photos_sr_tta.py, or leave out --tta.'
        )
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
