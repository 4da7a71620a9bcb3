"""Content of the wheel, declared requirements, and the version check."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

import mmadm
from tests.conftest import draw_photo

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp('wheel')
    # A build folder of its own: that of the checkout may have old files, and another
    # process of the tests may be building in it.
    options = folder / 'build.cfg'
    options.write_text(f'[build]\nbuild_base = {folder / "build"}\n')
    build = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation']
    subprocess.run(
        [*build, '-q', '-w', folder, ROOT],
        check=True,
        capture_output=True,
        env=dict(os.environ, DIST_EXTRA_CONFIG=str(options)),
    )
    (path,) = folder.glob('mmadm-*.whl')
    return zipfile.ZipFile(path)


def test_the_wheel_contains_package_configs_tools_and_weights(wheel):
    inside = set(wheel.namelist())
    for source, target, pattern in (
        ('mmadm', 'mmadm', '*.py'),
        ('configs', 'mmadm/.mim/configs', '*.py'),
        ('configs', 'mmadm/configs', '*.py'),
        ('tools', 'mmadm/.mim/tools', '*.py'),
        ('demo', 'mmadm/.mim/demo', '*.py'),
        ('weights', 'mmadm/.mim/weights', '*.safetensors'),
    ):
        files = (ROOT / source).rglob(pattern)
        expected = {
            f'{target}/{path.relative_to(ROOT / source).as_posix()}'
            for path in files
            if '.mim' not in path.parts
        }
        assert expected - inside == set()
    assert 'mmadm/.mim/tools/dist_train.sh' in inside
    assert not [name for name in inside if 'tests/' in name or '__pycache__' in name]


def test_the_wheel_declares_the_requirements(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith('METADATA'))
    lines = wheel.read(name).decode().splitlines()
    needed = {line[15:] for line in lines if line.startswith('Requires-Dist: ')}
    needed = {item for item in needed if 'extra ==' not in item}
    listed = {
        line.replace(' ', '')
        for file in ('mminstall', 'runtime')
        for line in (ROOT / 'requirements' / f'{file}.txt').read_text().split()
    }

    def normalised(items):
        return {''.join(sorted(item.replace(' ', ''))) for item in items}

    assert normalised(needed) == normalised(listed)


OWN_CONFIG = """\
from mmengine.config import read_base
with read_base():
    from mmadm.configs.adm.adm_sr_demo import *
train_cfg.update(max_iters=17)
"""


def test_the_wheel_alone_runs_commands_in_an_empty_folder(wheel, tmp_path):
    site, empty = tmp_path / 'site', tmp_path / 'empty'
    wheel.extractall(site)
    empty.mkdir()
    Image.fromarray(draw_photo(0, 8, 12)).save(empty / 'photo.png')
    (empty / 'own.py').write_text(OWN_CONFIG)
    (name,) = (n for n in wheel.namelist() if n.endswith('entry_points.txt'))
    assert 'mmadm = mmadm.cli:main' in wheel.read(name).decode()

    def run(*command: str) -> str:
        process = subprocess.run(
            [sys.executable, '-m', 'mmadm', *command],
            cwd=empty,
            env=dict(os.environ, PYTHONPATH=str(site), OMP_NUM_THREADS='1'),
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr[-2000:]
        return process.stdout

    run('infer', 'photo.png', '--num-steps', '1')
    assert Image.open(empty / 'out/adm_sr_small/pred/photo.png').size == (48, 32)
    assert 'max_iters=17' in run('print_config', 'own.py')


def imported(*folders: str) -> dict[str, str]:
    """Top-level modules that the files of folders import, each with one of them."""
    found = {}
    for folder in folders:
        for path in (ROOT / folder).rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                else:
                    continue
                found |= {name.split('.')[0]: str(path) for name in names}
    return found


def declared(*files: str) -> set[str]:
    """Names of the distributions in requirement files."""
    texts = [(ROOT / 'requirements' / f'{file}.txt').read_text() for file in files]
    names = re.findall(r'^[\w.-]+', '\n'.join(texts), re.MULTILINE)
    return {name.lower().replace('_', '-') for name in names}


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason='packages_distributions() misses many'
)
@pytest.mark.parametrize(
    ('folders', 'files'),
    [
        (('mmadm', 'tools', 'configs'), ('mminstall', 'runtime', 'optional', 'web')),
        (('demo',), ('mminstall', 'runtime', 'web')),
        (('benchmarks',), ('mminstall', 'runtime', 'optional', 'benchmarks')),
        (('tests',), ('mminstall', 'runtime', 'optional', 'web', 'tests')),
    ],
    ids=str,
)
def test_every_imported_library_is_declared(folders, files):
    """A library that another one happens to install may be gone tomorrow."""
    providers = metadata.packages_distributions()
    known = declared(*files)
    scripts = {path.stem for folder in folders for path in (ROOT / folder).glob('*.py')}
    own = {*sys.stdlib_module_names, *scripts, 'mmadm', 'benchmarks', 'tests'}
    undeclared = {
        module: path
        for module, path in imported(*folders).items()
        if module not in own
        and not {
            name.lower().replace('_', '-') for name in providers.get(module, [module])
        }
        & known
    }
    assert undeclared == {}


def check_versions(monkeypatch, installed: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, 'version', version)
    mmadm._check_dependencies()


GOOD = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6',
    'torch': '2.13.0+cpu',
}


def test_tested_versions_pass_silently(monkeypatch, recwarn):
    check_versions(monkeypatch, GOOD)
    check_versions(monkeypatch, {**GOOD, 'torch': '2.7.1'})
    assert not list(recwarn)


def test_upstream_alone_passes(monkeypatch, recwarn):
    upstream = {'mmengine': '0.10.7', 'mmcv-lite': '2.2.0', 'mmpretrain': '1.2.0'}
    check_versions(monkeypatch, {**upstream, 'torch': '2.15.0'})
    assert not list(recwarn)


@pytest.mark.parametrize('name', GOOD)
def test_too_old_and_missing_are_errors_with_a_command(monkeypatch, name):
    with pytest.raises(ImportError, match=rf'{name} 0\.1\.0 is installed.*pip install'):
        check_versions(monkeypatch, {**GOOD, name: '0.1.0'})
    missing = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(ImportError, match=rf'none of .*{name}.*pip install'):
        check_versions(monkeypatch, missing)


@pytest.mark.parametrize('name', GOOD)
def test_newer_only_warns(monkeypatch, name):
    with pytest.warns(UserWarning, match=f'{name} 9.0.0 is newer'):
        check_versions(monkeypatch, {**GOOD, name: '9.0.0'})


def test_fork_and_upstream_together_are_reported_with_the_repair(monkeypatch):
    with pytest.warns(UserWarning, match='pip uninstall -y mmengine && pip install'):
        check_versions(monkeypatch, {**GOOD, 'mmengine': '0.10.7'})


def test_no_compiled_operator_is_used():
    sources = [path.read_text() for path in (ROOT / 'mmadm').rglob('*.py')]
    assert not [source for source in sources if 'mmcv.ops' in source]
