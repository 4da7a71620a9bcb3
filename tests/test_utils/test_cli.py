"""Options of the command line."""

from argparse import ArgumentParser

import pytest
from mmengine.config import Config

from mmadm.apis import merge_options
from mmadm.utils.cli import OptionsAction


def read(*options: str) -> dict:
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    return parser.parse_args(['--cfg-options', *options]).cfg_options


def test_plain_values_are_those_of_mmengine():
    found = read('a.b=1', 'c=[x,(1,2)]', 'd=None', 'e=True', 'f=1e-3', 'g=3,4')
    expected = {'a.b': 1, 'c': ['x', (1, 2)], 'd': None, 'e': True, 'f': 1e-3}
    assert found == expected | {'g': [3, 4]}


def test_dicts_and_lists_of_dicts_reach_the_config():
    hooks = "hooks=[{'type': 'A', 'steps': (1, 2)}, {'type': 'B'}]"
    cfg = Config(dict(hooks=[dict(type='C')], model=dict(head=dict(width=8, depth=2))))
    merge_options(cfg, read(hooks, "model.head={'width': 16}"))
    assert [hook['type'] for hook in cfg.hooks] == ['A', 'B']
    assert cfg.hooks[0]['steps'] == (1, 2)
    assert cfg.model.head == dict(width=16, depth=2)


@pytest.mark.parametrize(
    'wrong', ['hooks=[dict(type=A,b=1)]', 'hooks=[{type: A}]', 'x=[(1,2]', 'nothing']
)
def test_what_cannot_be_read_is_named(wrong, capsys):
    with pytest.raises(SystemExit) as stop:
        read('a=1', wrong)
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert f'{wrong} cannot be parsed' in said
    assert 'Write dicts in Python syntax' in said
