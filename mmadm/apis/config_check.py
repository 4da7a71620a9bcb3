"""Checks the keys of a config before anything is built.

MMEngine ignores unknown top-level keys and silently adds unknown ``--cfg-options``, so
that a run with a misspelt key would use the default value.
"""

import inspect
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config

from mmadm.utils import check_seed

# Keys that MMEngine's tools and builders use beside the arguments of a class.
_RUNNER_EXTRAS = {
    'activation_checkpointing',
    'auto_scale_lr',
    'compile',
    'custom_imports',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}
_BUILDER_KEYS = {'type', '_scope_', '_delete_', 'priority'}
_LOADER_KEYS = {'dataset', 'sampler', 'batch_sampler', 'num_batch_per_epoch'}
_SCHEDULER_KEYS = {'convert_to_iter_based'}
_WRAPPER_KEYS = {'constructor', 'paramwise_cfg'}
# What MMEngine reads from dicts without a type.
_PLAIN_DICTS = {
    'auto_scale_lr': {'base_batch_size', 'enable'},
    'clip_grad': {
        'type',
        'clip_value',
        'error_if_nonfinite',
        'foreach',
        'max_norm',
        'norm_type',
    },
    'dist_cfg': {'backend', 'init_backend', 'timeout'},
    'env_cfg': {'cudnn_benchmark', 'dist_cfg', 'mp_cfg', 'resource_limit'},
    'mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'randomness': {'deterministic', 'diff_rank_seed', 'seed'},
}
_FACTOR_KEYS = {'decay_mult', 'lr_mult'}
_PARAMWISE_KEYS = {
    'bias_decay_mult',
    'bias_lr_mult',
    'bypass_duplicate',
    'custom_keys',
    'dcn_offset_lr_mult',
    'dwconv_decay_mult',
    'flat_decay_mult',
    'norm_decay_mult',
}
# Smallest values of whole numbers, wherever they occur.
_LEAST = dict(
    accumulative_counts=1,
    base_batch_size=1,
    batch_size=1,
    begin_iter=0,
    interval=1,
    max_iters=1,
    num_workers=0,
    val_interval=1,
    warmup_iters=0,
)


def check_config(cfg: Config) -> None:
    """Refuse keys that no class reads.

    Raises:
        ValueError: a key is unknown (the message names its position and the nearest
            known key), a number is out of range, or two settings contradict each other.
    """
    known = _top_level_keys()
    for key in cfg:
        # Other top-level names are allowed: configs are Python and have variables.
        close = get_close_matches(key, known, n=1, cutoff=0.85)
        if key not in known and close:
            raise _unknown(key, 'the config', close)
    for key in cfg:
        for place, node in _typed_nodes(cfg[key], key):
            _check_node(place, node)
    for key in known & set(cfg):
        for place, node in _dicts(cfg[key], key):
            _check_plain_dict(place, node)
            _check_numbers(place, node)
    for name, hook in (cfg.get('default_hooks') or {}).items():
        if isinstance(hook, dict) and 'type' not in hook:
            others = cfg.default_hooks.keys() - {name}
            raise ValueError(
                f'default_hooks.{name} has no type: {dict(hook)}. '
                f'{_advice(name, others)} A new hook needs a type.'
            )
    _check_loop(cfg)


def check_options(cfg: Config, options: dict) -> None:
    """Refuse ``--cfg-options`` that nothing reads, or that replace a dict by a value.

    Unknown keys below the top level are found by :func:`check_config`.

    Raises:
        ValueError: the config has no such top-level key; a dict would be replaced by a
            value; or a value would get entries.
    """
    for option, value in options.items():
        key = option.split('.')[0]
        if key not in cfg and key not in _top_level_keys():
            # A config also has the names of the classes that it imports.
            entries = {name for name, value in cfg.items() if isinstance(value, dict)}
            raise _unknown(option, 'the config', entries | _top_level_keys())
        _check_replacement(cfg, option, value)


def _check_replacement(cfg: Config, option: str, value: Any) -> None:
    """Only None and other dicts may take the place of a dict, or of a list of them."""
    node, place = cfg, ''
    for key in option.split('.'):
        if node is None:
            return
        if not isinstance(node, dict | list | tuple | Config):
            raise ValueError(
                f'{place} is no dict, but {node!r}; --cfg-options {option}={value!r} '
                f'sets an entry of it. Set {place} itself.'
            )
        if isinstance(node, list | tuple):
            # MMEngine reports other indices.
            node = node[int(key)] if key.isdigit() and int(key) < len(node) else None
        else:
            node = node.get(key)
        place = f'{place}.{key}'.removeprefix('.')
    found = next(_dicts(node, option), None)
    if found and not (value is None or isinstance(value, dict | list | tuple)):
        place, entries = found
        entry = next(iter(entries), 'NAME')
        raise ValueError(
            f'{option} has entries, which --cfg-options {option}={value!r} would '
            f'replace by one value. Set one of them, such as {place}.{entry}=..., or '
            f'remove all by {option}=None.'
        )


def _top_level_keys() -> set[str]:
    from mmengine.runner import Runner

    parameters = inspect.signature(Runner.__init__).parameters
    return parameters.keys() - {'self', 'cfg'} | _RUNNER_EXTRAS


def _dicts(value: Any, place: str) -> Iterator[tuple[str, dict]]:
    """Each dict in a part of the config, with its position."""
    if isinstance(value, dict):
        yield place, value
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        yield from _dicts(item, f'{place}.{key}')


def _check_plain_dict(place: str, node: dict) -> None:
    accepted = _PLAIN_DICTS.get(place.rpartition('.')[2])
    if accepted:
        _check_keys(place, node, accepted)
    # Other constructors may read other keys.
    if node.get('paramwise_cfg') and 'constructor' not in node:
        place = f'{place}.paramwise_cfg'
        _check_keys(place, node['paramwise_cfg'], _PARAMWISE_KEYS)
        for name, setting in node['paramwise_cfg'].get('custom_keys', {}).items():
            _check_keys(f'{place}.custom_keys.{name}', setting, _FACTOR_KEYS)


def _check_keys(place: str, node: dict, accepted: set[str]) -> None:
    for key in node:
        if key not in accepted:
            raise _unknown(f'{place}.{key}', place, accepted)


def _check_numbers(place: str, node: dict) -> None:
    never = getattr(node.get('type'), '__name__', node.get('type')) == 'CheckpointHook'
    for key, least in _LEAST.items():
        value = node.get(key, least)
        # MMEngine's own hook of checkpoints writes none with -1.
        if (never and key == 'interval') or (value is None and key == 'batch_size'):
            continue
        whole = isinstance(value, int | float) and value == value // 1
        if isinstance(value, bool) or not whole or value < least:
            raise ValueError(
                f'{place}.{key} is a whole number of at least {least}, but {value!r} '
                f'was given. Change it, or remove it for the default.'
            )
    if node.get('seed') is not None:
        check_seed(node['seed'], f'{place}.seed')
    for key in ('max_norm', 'clip_value') if place.endswith('.clip_grad') else ():
        if not node.get(key, 1) > 0:
            raise ValueError(
                f'Gradients are clipped at a positive {key}, but {place}.{key}='
                f'{node[key]}. Give a positive number, or clip_grad=None to clip none.'
            )


def _check_loop(cfg: Config) -> None:
    """Accumulation, averages and schedules must count what the loop counts."""
    from mmadm.engine import OptimizerStepLoop

    loop, kind = cfg.get('train_cfg') or {}, None
    if 'type' in loop:
        kind = _resolve(loop['type'])
    counts = [
        node.get('accumulative_counts', 1)
        for _, node in _typed_nodes(cfg.get('optim_wrapper') or {}, '')
    ]
    if max(counts, default=1) > 1 and kind is not OptimizerStepLoop:
        raise ValueError(
            f'optim_wrapper.accumulative_counts is {max(counts)}, but train_cfg.type '
            f'{loop.get("type")} counts batches, not optimizer steps: schedules, '
            'averages and intervals would mean something else. Use OptimizerStepLoop.'
        )
    if max(counts, default=1) > 1 and (cfg.get('auto_scale_lr') or {}).get('enable'):
        raise ValueError(
            'auto_scale_lr.enable leaves accumulated batches out of the batch size, '
            f'but accumulative_counts is {max(counts)}. Remove it, and give '
            '--auto-scale-lr to tools/train.py.'
        )
    if 'max_iters' not in loop:
        return
    begin = (cfg.get('default_hooks', {}).get('ema') or {}).get('begin_iter', 0)
    if begin > loop['max_iters']:
        raise ValueError(
            f'The average would never begin: default_hooks.ema.begin_iter={begin}, but '
            f'train_cfg.max_iters={loop["max_iters"]}. Reduce the first.'
        )
    for place, node in _typed_nodes(
        cfg.get('param_scheduler') or {}, 'param_scheduler'
    ):
        _check_schedule(place, node)


def _check_schedule(place: str, node: dict) -> None:
    """Without ``by_epoch=False``, MMEngine ends a schedule after one epoch."""
    by_epoch = node.get('by_epoch')
    if by_epoch is None and 'end' in node and inspect.isclass(_resolve(node['type'])):
        parameters = inspect.signature(_resolve(node['type'])).parameters
        by_epoch = getattr(parameters.get('by_epoch'), 'default', True)
    exempt = node.get('convert_to_iter_based') or 'monitor' in node
    if by_epoch is not False and not exempt:
        raise ValueError(
            'Training counts iterations, but a schedule counts epochs: '
            f'{place}.by_epoch={by_epoch}. Set it to False.'
        )


def _typed_nodes(value: Any, place: str) -> Iterator[tuple[str, dict]]:
    """Each dict with a ``type``, and each data loader, with its position."""
    if isinstance(value, dict):
        if 'type' in value or place.endswith('_dataloader'):
            yield place, value
        for key, item in value.items():
            yield from _typed_nodes(item, f'{place}.{key}')
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _typed_nodes(item, f'{place}[{i}]')


def _check_node(place: str, node: dict) -> None:
    if 'type' not in node:
        from torch.utils.data import DataLoader

        target, extras = DataLoader, _LOADER_KEYS
    else:
        target, extras = _resolve(node['type']), set()
    if place.startswith('optim_wrapper'):
        extras = extras | _WRAPPER_KEYS
    if place.startswith('param_scheduler'):
        extras = extras | _SCHEDULER_KEYS

    accepted = _accepted(target)
    if 'ema_type' in node:
        # MMEngine's hook hands over what it does not take itself.
        average = _accepted(_resolve(node['ema_type']))
        own = {'ema_type', 'strict_load', 'begin_iter', 'begin_epoch'}
        accepted = average and average | own
    if accepted is None:
        return
    for key in node:
        if key not in accepted | extras | _BUILDER_KEYS:
            name = getattr(target, '__name__', target)
            raise _unknown(f'{place}.{key}', name, accepted | extras)


def _unknown(place: str, target: str, known: Iterable[str]) -> ValueError:
    """The error of a key that ``target``, whose keys are ``known``, does not have."""
    key = place.split('.')[0] if target == 'the config' else place.rpartition('.')[2]
    return ValueError(
        f"Unknown config key '{place}': {target} has no such entry. "
        f'{_advice(key, known)}'
    )


def _advice(key: str, known: Iterable[str]) -> str:
    """The known key that resembles ``key``, or all of them where none does."""
    close = get_close_matches(key, known, n=1)
    return f"Did you mean '{close[0]}'?" if close else f'It has {sorted(known)}.'


def _resolve(kind: Any) -> Any:
    """The class of a ``type``; None for a short name of another toolbox."""
    if not isinstance(kind, str):
        return kind
    from mmengine.utils import get_object_from_string

    from mmadm.registry import registered

    if '.' in kind:
        try:
            return get_object_from_string(kind)
        except ImportError:
            return None
    return next(registered(kind), None)


def _accepted(target: Any) -> set[str] | None:
    """Names of the arguments of ``target``; None if they cannot be determined."""
    if not inspect.isclass(target):
        return None
    names: set[str] = set()
    for cls in target.__mro__:
        if '__init__' not in vars(cls):
            continue
        try:
            parameters = inspect.signature(cls.__init__).parameters.values()
        except ValueError:
            return None
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names - {'self'}
    return None
