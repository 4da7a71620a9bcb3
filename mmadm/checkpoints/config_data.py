"""Configs as JSON data: classes are names in the registries, nothing is executed."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import get_object_from_string

from mmadm.registry import registered

# Settings of one machine or one run.
_NOT_PUBLISHED = ('work_dir', 'load_from', 'resume', 'launcher', 'custom_imports')
# Files from which a part of the model begins; a published file has all weights.
_STARTING_POINTS = ('weights', 'checkpoint', 'pretrained', 'init_cfg')
_TUPLE = '__tuple__'


def config_to_data(cfg: Config) -> dict:
    """A resolved config as JSON data, without what belongs to one machine or run.

    Classes become their registered names, files from which parts of the model would
    begin become None, and absolute paths ``data/<last part>``.

    Raises:
        ValueError: the config has an object that no registry knows, or that is no data.
    """
    # Names with an underscore are variables of the config file.
    content = {
        key: value
        for key, value in cfg.to_dict().items()
        if key not in _NOT_PUBLISHED and not key.startswith('_')
    }
    content['model'] = _without_starting_points(content['model'])
    return _to_data(content, 'config') | dict(default_scope='mmadm')


def config_from_data(data: Any, path: str | Path) -> Config:
    """The config of a published file; builds with registered classes only.

    Args:
        data: what :func:`config_to_data` has returned.
        path: the file, for messages.

    Raises:
        ValueError: a class is not registered, or it is no such data.
    """
    if not isinstance(data, dict) or not isinstance(data.get('model'), dict):
        raise ValueError(
            f'The config in {path} has no model. Publish the file again with '
            'tools/misc/publish_model.py --config.'
        )
    content = {k: v for k, v in data.items() if k not in _NOT_PUBLISHED}
    content = _from_data(content, 'config', path)
    return Config(content | dict(default_scope='mmadm'))


def _without_starting_points(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: None if key in _STARTING_POINTS else _without_starting_points(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(map(_without_starting_points, value))
    return value


def _is_class_key(key: str) -> bool:
    return key == 'type' or key.endswith('_type')


def _to_data(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return {
            key: _short_name(item, f'{place}.{key}')
            if _is_class_key(key) and item is not None
            else _to_data(item, f'{place}.{key}')
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        items = [_to_data(item, f'{place}[{i}]') for i, item in enumerate(value)]
        return items if isinstance(value, list) else {_TUPLE: items}
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError(
            f'A published config is data, but {place} is a {type(value).__name__}. '
            'Use numbers, text, lists and dicts, or a registered class as type.'
        )
    if isinstance(value, str) and Path(value).is_absolute():
        # Where the data were on the machine of the training is nobody's business.
        return str(Path('data', Path(value).name))
    return value


def _short_name(kind: Any, place: str) -> str:
    """The registered name of a class, given as such or by its dotted name."""
    target = kind
    if isinstance(kind, str):
        target = (
            get_object_from_string(kind)
            if '.' in kind
            else next(registered(kind), None)
        )
    name = getattr(target, '__name__', str(kind))
    if target is None or not any(found is target for found in registered(name)):
        raise ValueError(
            f'A published config names registered classes, but {place} is {kind}, '
            'which no registry knows. Register it, as with '
            '@MODELS.register_module().'
        )
    return name


def _from_data(value: Any, place: str, path: str | Path) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_TUPLE} and isinstance(value[_TUPLE], list):
            return tuple(_from_data(value[_TUPLE], place, path))
        for key, item in value.items():
            if key.startswith('_'):
                raise _refused(f'{place}.{key}', path)
            if _is_class_key(key) and not _is_known(item):
                raise _refused(f'{place}.{key}={item!r}', path)
        return {k: _from_data(v, f'{place}.{k}', path) for k, v in value.items()}
    if isinstance(value, list):
        return [_from_data(x, f'{place}[{i}]', path) for i, x in enumerate(value)]
    return value


def _is_known(kind: Any) -> bool:
    return kind is None or (isinstance(kind, str) and any(registered(kind)))


def _refused(entry: str, path: str | Path) -> ValueError:
    return ValueError(
        f'Refused to load {path}: {entry} in its config is not a registered name. '
        'Import the package that registers it first, or upgrade mmadm.'
    )
