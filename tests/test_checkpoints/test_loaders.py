"""Safe loaders are there in a run and in no other place of the process."""

import subprocess
import sys
from pathlib import Path

import mmengine
import pytest
from mmengine.runner import CheckpointLoader

from mmadm.checkpoints import install_safe_loaders, restore_loaders, safe_loaders

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def loaders_of_before():
    restore_loaders()
    yield
    restore_loaders()


def loaders() -> dict:
    return dict(CheckpointLoader._schemes)


def test_no_import_touches_the_loaders_of_mmengine():
    modules = sorted(
        '.'.join(path.relative_to(ROOT).parent.parts)
        for path in (ROOT / 'mmadm').rglob('__init__.py')
        if '.mim' not in path.parts
    )
    code = f"""
from importlib import import_module
from mmengine.runner import CheckpointLoader
before = dict(CheckpointLoader._schemes)
assert len(before) > 5
for name in {modules}:
    import_module(name)
assert dict(CheckpointLoader._schemes) == before
"""
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


def test_they_are_ours_within_a_block_only():
    before = loaders()
    with pytest.raises(KeyError), safe_loaders():
        assert not set(loaders().values()) & set(before.values())
        raise KeyError
    assert loaders() == before


def test_an_inner_block_does_not_end_the_outer_one():
    with safe_loaders():
        inside = loaders()
        with safe_loaders():
            pass
        assert loaders() == inside


def test_installing_twice_is_undone_once():
    before = loaders()
    install_safe_loaders()
    install_safe_loaders()
    assert loaders() != before
    restore_loaders()
    assert loaders() == before


def test_a_run_ends_with_the_loaders_of_before(make_runner):
    before = loaders()
    runner = make_runner(train_cfg__max_iters=1)
    assert loaders() != before
    runner.train()
    assert loaders() == before


def test_the_private_table_is_as_last_seen():
    """``CheckpointLoader._schemes``: prefix to loader, in MMEngine 0.10."""
    assert mmengine.__version__.startswith('0.10.')
    assert isinstance(CheckpointLoader._schemes, dict)
    assert '' in CheckpointLoader._schemes
