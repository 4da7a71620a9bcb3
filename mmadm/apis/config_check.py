"""Checks the keys of a config before anything is built.

MMEngine ignores unknown top-level keys and silently adds unknown ``--cfg-options``, so
that a run with a misspelt key would use the default value.
"""

import inspect
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config

# Keys that MMEngine's tools and builders read in addition to a class's arguments.
_RUNNER_EXTRAS = {'auto_scale_lr', 'custom_imports', 'tta_model', 'tta_pipeline'}
_BUILDER_KEYS = {'type', '_scope_', '_delete_', 'priority'}
_LOADER_KEYS = {'dataset', 'sampler', 'batch_sampler', 'num_batch_per_epoch'}
_SCHEDULER_KEYS = {'convert_to_iter_based'}
_WRAPPER_KEYS = {'constructor', 'paramwise_cfg'}


def check_config(cfg: Config) -> None:
    """Refuse keys that no class reads.

    Raises:
        ValueError: a key is unknown (the message names its position and the nearest
            known key), or a checkpoint would be saved inside an accumulated batch.
    """
    from mmengine.runner import Runner

    known = set(inspect.signature(Runner.__init__).parameters) | _RUNNER_EXTRAS
    for key in cfg:
        # Other top-level names are allowed: configs are Python and have variables.
        close = get_close_matches(key, known, n=1, cutoff=0.85)
        if key not in known and close:
            raise ValueError(_message(key, 'the config', close[0]))
    for key in cfg:
        for place, node in _typed_nodes(cfg[key], key):
            _check_node(place, node)
    _check_accumulation(cfg)


def _check_accumulation(cfg: Config) -> None:
    """Checkpoints hold no accumulated gradients: save them between two steps."""
    wrappers = [node for _, node in _typed_nodes(cfg.get('optim_wrapper') or {}, '')]
    count = max((x.get('accumulative_counts', 1) for x in wrappers), default=1)
    checkpoint = cfg.get('default_hooks', {}).get('checkpoint') or {}
    interval = checkpoint.get('interval')
    if interval and interval % count:
        raise ValueError(
            'A checkpoint would be saved inside an accumulated batch and would lose '
            f'its gradients: default_hooks.checkpoint.interval={interval}, '
            f'optim_wrapper.accumulative_counts={count}. Make the first a multiple of '
            'the second.'
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
    if accepted is None:
        return
    for key in node:
        if key not in accepted | extras | _BUILDER_KEYS:
            close = get_close_matches(key, accepted | extras, n=1, cutoff=0)
            name = getattr(target, '__name__', target)
            raise ValueError(_message(f'{place}.{key}', name, *close))


def _message(key: str, target: str, *meant: str) -> str:
    advice = f"Did you mean '{meant[0]}'?" if meant else 'Remove it.'
    return f"Unknown config key '{key}': {target} has no such entry. {advice}"


def _resolve(kind: Any) -> Any:
    """The class of a ``type``; None for a short name of another toolbox."""
    if not isinstance(kind, str):
        return kind
    from mmengine.utils import get_object_from_string

    import mmadm.registry as registry

    if '.' in kind:
        try:
            return get_object_from_string(kind)
        except ImportError:
            return None
    names = (name for name in registry.__all__ if name.isupper())
    found = (getattr(registry, name).get(kind) for name in names)
    return next((target for target in found if target is not None), None)


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
