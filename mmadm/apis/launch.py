"""From a config file and options to a config that can run."""

from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError
from mmengine.logging import print_log

from mmadm.checkpoints import find_checkpoint, read_checkpoint, trust_checkpoint
from mmadm.engine import AutocastOptimWrapper

from .config_check import check_config
from .distributed import init_distributed


def load_config(path: str, options: dict | None = None) -> Config:
    """Read a config file, apply ``--cfg-options``, and check its keys.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no config, or a key is misspelt.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'Config not found: {path}. The shipped ones are in configs/adm/.'
        )
    if Path(path).suffix not in ('.py', '.json'):
        raise ValueError(
            f'Not a config: {path}. Configs are Python files (.py), or JSON.'
        )
    try:
        cfg = Config.fromfile(path)
    except (SyntaxError, ImportError, ConfigParsingError) as error:
        raise ValueError(
            f'Config cannot be read: {path} ({error}). Mend this line, or look at '
            'docs/en/user_guides/configs.md.'
        ) from error
    if not isinstance(cfg.get('model'), dict):
        raise ValueError(
            f'The config has no model: {path}. Import one of configs/_base_/models/ or '
            'begin from a config in configs/adm/.'
        )
    merge_options(cfg, options)
    check_config(cfg)
    return cfg


def merge_options(cfg: Config, options: dict | None) -> None:
    """Apply ``--cfg-options``, in place.

    Raises:
        ValueError: an option has no place in the config.
    """
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'--cfg-options {options} do not fit the config: {error}. Indices must be '
            'within their lists, and parents must be dicts.'
        ) from error


def prepare_run(
    cfg: Config,
    config_path: str,
    work_dir: str | None = None,
    seed: int | None = None,
    launcher: str = 'none',
) -> None:
    """Fill in what the command line and the machine decide, in place.

    Args:
        cfg: the config.
        config_path: its file; names the default work directory.
        work_dir: beats the config's.
        seed: beats the config's; also the seed of sampling.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
    """
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(config_path).stem))
    if seed is not None:
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
        if _samples(cfg):
            cfg.model.test_cfg = dict(cfg.model.get('test_cfg') or {}, seed=seed)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        _limit_waiting(cfg.get(name))
    if launcher != 'none':
        init_distributed(cfg, launcher)


def _limit_waiting(loader: dict | None) -> None:
    """Let a data loader fail after ten minutes without data, instead of never."""
    if loader and loader.get('num_workers', 0) > 0:
        loader.setdefault('timeout', 600)


def _samples(cfg: Config) -> bool:
    """Whether the model is a diffusion; a first stage has no head and no noise."""
    return 'head' in cfg.model


def use_trust(cfg: Config, resume: str | None) -> None:
    """Let the one checkpoint that is resumed or loaded run the code in it.

    Raises:
        ValueError: none is named.
    """
    path = resume if resume not in (None, 'auto') else cfg.get('load_from')
    if path is None:
        raise ValueError(
            '--trust-checkpoint is for a file that you name, but none is named. Give '
            'it with --resume FILE, or as load_from in the config.'
        )
    trust_checkpoint(path)


def use_amp(cfg: Config) -> None:
    """Switch the optimizer wrapper to bfloat16 autocast, in place."""
    print_log(
        'Training under bfloat16 autocast. The paper saw worse images with float16 '
        '(Sec. V-A): compare before you rely on it.',
        'current',
    )
    wrapper = cfg.optim_wrapper
    # One optimizer, or one for each part of the model.
    parts = [wrapper] if 'optimizer' in wrapper else wrapper.values()
    for part in parts:
        if isinstance(part, dict):
            part.type = AutocastOptimWrapper


def scale_lr(cfg: Config) -> None:
    """Let MMEngine scale the rate to the batch size that is really used, in place.

    Raises:
        ValueError: the config does not say for which batch its rate is meant.
    """
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ValueError(
            '--auto-scale-lr must know for which total batch the rate is meant, but '
            'the config has no auto_scale_lr.base_batch_size. Add auto_scale_lr = '
            'dict(base_batch_size=...) or leave the option out.'
        )
    cfg.auto_scale_lr.enable = True


def set_resume(cfg: Config, checkpoint: str) -> None:
    """Go on from ``checkpoint``, or from the newest in the work directory ('auto').

    Of the work directory, the newest file that is whole is taken.

    Raises:
        FileNotFoundError: the checkpoint does not exist.
        ValueError: the checkpoint is broken, or holds no state of training.
    """
    if checkpoint == 'auto':
        checkpoint = find_checkpoint(Path(cfg.work_dir))
    # Without a checkpoint MMEngine would look for one in its own way.
    cfg.resume = checkpoint is not None
    cfg.load_from = checkpoint and str(checkpoint)
    if checkpoint is None:
        print_log(
            f'No checkpoint in {cfg.work_dir} to resume from: starting from scratch.',
            'current',
        )
        return
    needed = ('meta', 'message_hub', 'optimizer', 'param_schedulers')
    missing = [key for key in needed if key not in read_checkpoint(checkpoint)]
    if missing:
        raise ValueError(
            f'Training cannot go on from {checkpoint}: it holds weights, but no '
            f'{", ".join(missing)}. Give an iter_*.pth of the run, or begin a new run '
            f'from these weights with --cfg-options load_from={checkpoint}.'
        )


_SAMPLERS = {
    'adm': dict(type='ADMSampler', eta=1.0),
    'deterministic': dict(type='ADMSampler', eta=0.0, correct=False),
    'multistep': dict(type='MultistepSampler', order=2, corrector=True),
}


def use_sampler(cfg: Config, name: str) -> None:
    """Sample in another way than the config says, with its clipping, in place.

    Raises:
        ValueError: there is no sampler of that name, or the model does not sample.
    """
    if name not in _SAMPLERS:
        raise ValueError(f'Unknown sampler {name!r}. Use one of {list(_SAMPLERS)}.')
    if not _samples(cfg):
        raise ValueError(
            f'A first stage reconstructs without sampling, but --sampler {name} was '
            'given. Leave it out.'
        )
    sampler = dict(_SAMPLERS[name])
    for key in ('num_steps', 'clip'):
        if key in cfg.model.get('sampler', {}):
            sampler[key] = cfg.model.sampler[key]
    cfg.model.sampler = sampler


def use_tta(cfg: Config) -> None:
    """Wrap the model for test-time augmentation, in place.

    Raises:
        ValueError: the config does not describe it.
    """
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise ValueError(
            'Test-time augmentation needs tta_model and tta_pipeline, but the config '
            'has not both. Write them like configs/_base_/datasets/photos_sr_tta.py, '
            'or leave out --tta.'
        )
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
