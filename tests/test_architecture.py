"""The boundaries between the packages of mmadm: what each one may import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / 'mmadm'

# Package (the longest path applies): what of mmadm, and which libraries, its files may
# import.
ALLOWED = {
    'diffusion': ({'diffusion', 'registry'}, {'torch'}),
    'models/heads': ({'models.heads', 'registry'}, {'torch', 'mmengine'}),
    'models/condition_encoders': (
        {'models.condition_encoders', 'registry', 'checkpoints', 'utils'},
        {'torch', 'mmengine', 'mmpretrain', 'timm'},
    ),
    'models/autoencoders': (
        {'checkpoints', 'models.autoencoders', 'registry', 'utils'},
        {'torch', 'mmengine', 'safetensors'},
    ),
    'models/losses': (
        {'models.losses', 'registry', 'utils'},
        {'torch', 'mmengine'},
    ),
    'models': (
        {'checkpoints', 'diffusion', 'models', 'registry', 'structures', 'utils'},
        {'torch', 'mmengine'},
    ),
    'datasets': (
        {'datasets', 'registry', 'structures', 'utils'},
        {
            *('torch', 'mmengine', 'mmcv', 'numpy', 'scipy', 'PIL', 'cv2'),
            *('pycocotools', 'rich'),
        },
    ),
    'evaluation': (
        {'checkpoints', 'evaluation', 'registry', 'utils'},
        {
            *('torch', 'mmengine', 'numpy', 'scipy', 'skimage', 'PIL', 'cv2'),
            *('numba', 'torch_fidelity', 'lpips', 'pycocotools', 'torchvision'),
        },
    ),
    'engine': (
        {
            *('checkpoints', 'engine', 'registry', 'structures', 'utils', 'version'),
            'visualization',
        },
        {'torch', 'mmengine', 'numpy', 'safetensors'},
    ),
    'visualization': (
        {'visualization', 'registry', 'structures', 'utils'},
        {'torch', 'mmengine', 'numpy', 'PIL', 'cv2', 'matplotlib'},
    ),
    'apis': (
        {
            *('apis', 'checkpoints', 'deployment', 'engine', 'registry'),
            *('structures', 'utils'),
            *('diffusion.fitted', 'diffusion.grids', 'diffusion.presets'),
            *('version', 'visualization'),
        },
        {
            'torch',
            'mmengine',
            'numpy',
            'cv2',
            'PIL',
            'rich',
            'safetensors',
            'onnx',
            'onnxruntime',
        },
    ),
    'deployment': (
        {'checkpoints', 'deployment', 'registry', 'utils', 'version'},
        {'torch', 'mmengine', 'onnx', 'onnxruntime', 'onnxscript'},
    ),
    'web': (
        {'diffusion.presets', 'utils', 'visualization', 'web'},
        {'PIL', 'gradio', 'numpy', 'starlette'},
    ),
    'checkpoints': (
        {'checkpoints', 'package', 'registry', 'utils', 'version'},
        {'torch', 'mmengine', 'numpy', 'safetensors'},
    ),
    'checkpoints/converters': (
        {'checkpoints', 'models.condition_encoders', 'registry', 'utils'},
        {'torch', 'mmengine', 'safetensors'},
    ),
    'utils': (
        {'checkpoints', 'registry', 'utils', 'version'},
        {'torch', 'mmengine', 'numpy', 'scipy', 'PIL', 'safetensors', 'lpips'},
    ),
}


def _imports(path: Path) -> set[str]:
    """The absolute names of the imports of a file."""
    names = set()
    parts = path.relative_to(ROOT).with_suffix('').parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ''
            if node.level:
                module = '.'.join(
                    [*parts[: len(parts) - node.level], *module.split('.')]
                )
            names.add(module.rstrip('.'))
    return names


def _rule(path: Path) -> tuple[set[str], set[str]] | None:
    place = path.relative_to(PACKAGE).as_posix()
    found = [package for package in ALLOWED if place.startswith(f'{package}/')]
    return ALLOWED[max(found, key=len)] if found else None


def _foreign(path: Path) -> list[str]:
    packages, libraries = _rule(path)
    standard = set(sys.stdlib_module_names)
    foreign = []
    for name in _imports(path):
        top = name.split('.')[0]
        if top == 'mmadm':
            inside = name.removeprefix('mmadm').removeprefix('.')
            allowed = any(inside == p or inside.startswith(f'{p}.') for p in packages)
        else:
            allowed = top in libraries | standard
        if not allowed:
            foreign.append(name)
    return sorted(foreign)


FILES = [path for path in sorted(PACKAGE.rglob('*.py')) if _rule(path) is not None]


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_file_imports_only_what_its_package_may(path):
    assert _foreign(path) == []


def test_every_package_has_a_rule():
    packages = {path.parent.relative_to(PACKAGE).parts[0] for path in FILES}
    folders = {p.name for p in PACKAGE.iterdir() if (p / '__init__.py').is_file()}
    assert packages == folders


def test_a_forbidden_import_is_noticed(monkeypatch):
    bad = {'mmadm.models.adm', 'mmcv', 'torch', 'math', 'mmadm.registry'}
    monkeypatch.setattr(f'{__name__}._imports', lambda path: bad)
    assert _foreign(PACKAGE / 'diffusion' / 'process.py') == [
        'mmadm.models.adm',
        'mmcv',
    ]


def test_no_task_or_data_set_is_named_in_the_model():
    text = (PACKAGE / 'models' / 'adm.py').read_text().lower()
    words = ('cifar', 'celeba', 'div2k', 'duts', 'bsds', 'saliency', 'inpaint', 'edge')
    assert [word for word in words if word in text] == []


# A module in a fresh process: the parts of mmadm, and the large libraries, that its
# import may load, also indirectly. mmengine and torch are everywhere.
_BASE = {'package', 'registry', 'structures', 'utils', 'version'}
LOADED = {
    'registry': ({'registry', 'version'}, set()),
    'structures': ({'structures', 'version'}, set()),
    'utils': ({'utils', 'version'}, {'PIL'}),
    'diffusion': ({'diffusion', 'registry', 'version'}, set()),
    'models': (_BASE | {'checkpoints', 'diffusion', 'models'}, {'PIL'}),
    'datasets': (_BASE | {'datasets'}, {'PIL', 'cv2', 'mmcv'}),
    'evaluation': (_BASE | {'checkpoints', 'evaluation'}, {'PIL', 'scipy'}),
    'visualization': (_BASE | {'visualization'}, {'PIL', 'cv2'}),
    'checkpoints': (_BASE | {'checkpoints'}, {'PIL'}),
    'engine': (_BASE | {'checkpoints', 'engine', 'visualization'}, {'PIL', 'cv2'}),
    'apis': (
        _BASE
        | {'apis', 'checkpoints', 'deployment', 'diffusion', 'engine', 'visualization'},
        {'PIL', 'cv2'},
    ),
    'web': ({'version', 'web'}, set()),
    'package': ({'package', 'version'}, set()),
    'cli': ({'cli', 'package', 'version'}, set()),
    'deployment': (_BASE | {'checkpoints', 'deployment'}, {'PIL'}),
}
LARGE = {
    *('PIL', 'cv2', 'matplotlib', 'mmcv', 'mmpretrain', 'numba', 'pandas', 'scipy'),
    *('skimage', 'sklearn', 'tensorboard', 'timm', 'torch_fidelity', 'torchvision'),
}


def _run(code: str) -> str:
    """What a fresh process prints."""
    command = [sys.executable, '-c', code]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def _modules_after(statement: str) -> set[str]:
    return set(_run(f'import sys; {statement}; print(*sys.modules)').split())


@pytest.fixture(scope='module')
def loaded() -> dict[str, set[str]]:
    """Module -> all that its import loads, each in a process of its own.

    What takes long to import, and loads none of ``LARGE``, is imported once before.
    """
    lines = _run(f"""
import os, sys
import torch.distributed.fsdp
for module in {list(LOADED)}:
    if not os.fork():
        __import__(f'mmadm.{{module}}')
        print(module, *sys.modules, flush=True)
        os._exit(0)
    os.wait()
""").splitlines()
    return {module: set(names) for module, *names in map(str.split, lines)}


@pytest.mark.parametrize('module', LOADED)
def test_an_import_loads_only_what_it_may(module, loaded):
    names = loaded[module]
    parts = {name.split('.')[1] for name in names if name.startswith('mmadm.')}
    allowed, libraries = LOADED[module]
    assert parts - allowed == set()
    assert names & LARGE - libraries == set()


def test_a_prediction_loads_no_library_of_evaluation_or_figures():
    names = _modules_after(
        'import numpy; from mmadm.apis import ADMInferencer; '
        'run = ADMInferencer("adm_sr_small", device="cpu", show_progress=False); '
        'run(numpy.zeros((8, 8), "uint8"), num_steps=1)'
    )
    assert names & LARGE <= {'PIL', 'cv2', 'mmcv', 'scipy'}
    assert 'scipy.ndimage' not in names


def test_every_module_has_a_rule_of_what_it_loads():
    modules = {path.stem for path in PACKAGE.glob('*.py')}
    packages = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    assert LOADED.keys() == (modules | packages) - {'__init__', '__main__', 'version'}


def test_importing_mmadm_loads_no_library():
    libraries = LARGE | {'torch', 'mmengine', 'numpy'}
    assert not _modules_after('import mmadm') & libraries


def test_an_import_changes_no_library():
    """MMEngine's checkpoint loaders, and torch's, are those of before."""
    code = (
        'import torch, mmengine.runner as runner\n'
        'def state():\n'
        '    loaders = dict(runner.CheckpointLoader._schemes)\n'
        '    globals_ = torch.serialization.get_safe_globals()\n'
        '    return loaders, torch.load, torch.hub.load_state_dict_from_url, globals_\n'
        'before = state()\n'
        f'import {", ".join(f"mmadm.{module}" for module in LOADED)}\n'
        'print(state() == before)'
    )
    assert _run(code).strip() == 'True'


def test_it_imports_where_the_system_is_no_posix():
    """As on Windows: without ``fcntl`` and the signals of users."""
    code = (
        'import signal, sys\n'
        'sys.modules["fcntl"] = None\n'
        'del signal.SIGUSR1, signal.SIGUSR2\n'
        f'import {", ".join(f"mmadm.{module}" for module in LOADED)}\n'
        'print(mmadm.engine.StopSignalHook().priority)'
    )
    assert _run(code).strip()
