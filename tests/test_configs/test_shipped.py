"""Every config that is shipped."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmadm.apis import load_config

ROOT = Path(__file__).parent.parent.parent
SHIPPED = sorted((ROOT / 'configs').glob('[a-z]*/**/*.py'))


def _name(path: Path) -> str:
    return path.relative_to(ROOT / 'configs').as_posix()


@pytest.mark.parametrize('path', SHIPPED, ids=_name)
def test_it_loads_and_every_key_is_read_by_someone(path):
    load_config(str(path))


@pytest.mark.parametrize('path', SHIPPED, ids=_name)
def test_it_begins_with_what_it_reproduces(path):
    assert path.read_text().startswith('# ')


@pytest.mark.parametrize('path', SHIPPED, ids=_name)
def test_it_survives_being_dumped(path, tmp_path):
    cfg = load_config(str(path))
    cfg.dump(tmp_path / 'dumped.py')
    again = Config.fromfile(tmp_path / 'dumped.py')
    assert again.pretty_text == cfg.pretty_text


def _values(value, depth: int = 0):
    items = value.values() if isinstance(value, dict) else value
    for item in items if isinstance(value, dict | list | tuple) else ():
        if depth:
            yield item
        yield from _values(item, depth + 1)


@pytest.mark.parametrize('path', SHIPPED, ids=_name)
def test_no_top_level_name_is_a_copy_of_what_is_embedded(path):
    """Whoever edited such a name in a child would change nothing."""
    cfg = load_config(str(path)).to_dict()
    embedded = [v for v in _values(cfg) if isinstance(v, dict | list) and len(v) > 1]
    # Loaders and evaluators may be equal; none is part of another.
    stale = [
        key
        for key, value in cfg.items()
        if isinstance(value, dict | list) and len(value) > 1 and value in embedded
        if not key.startswith('val_')
    ]
    assert stale == []


def test_the_model_index_names_every_config_once():
    import yaml

    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    models = []
    for file in index['Import']:
        content = yaml.safe_load((ROOT / file).read_text())
        collections = {collection['Name'] for collection in content['Collections']}
        models += content['Models']
        assert {model['In Collection'] for model in content['Models']} <= collections
    assert sorted(model['Config'] for model in models) == [
        path.relative_to(ROOT).as_posix() for path in SHIPPED
    ]
    assert all(model['Name'] == Path(model['Config']).stem for model in models)


@pytest.mark.parametrize('path', SHIPPED, ids=_name)
def test_the_schedule_has_no_end_of_its_own(path):
    """Its end would have to be changed together with ``max_iters``."""
    schedule = load_config(str(path)).param_scheduler
    assert 'end' not in schedule and schedule.by_epoch is False
