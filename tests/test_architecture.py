"""The boundaries between the rooms, read off the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / 'mmadm'

# Room (longest path wins) -> what of mmadm it may import, and which libraries.
ALLOWED = {
    'diffusion': ({'diffusion', 'registry'}, {'torch'}),
    'models/heads': ({'models.heads', 'registry'}, {'torch', 'mmengine'}),
    'models/condition_encoders': (
        {'models.condition_encoders', 'registry', 'checkpoints', 'utils'},
        {'torch', 'mmengine', 'mmpretrain'},
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
        {'diffusion', 'models', 'registry', 'structures', 'utils'},
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
        {'evaluation', 'registry', 'utils'},
        {
            *('torch', 'mmengine', 'numpy', 'scipy', 'skimage', 'PIL', 'cv2'),
            *('numba', 'torch_fidelity', 'lpips', 'pycocotools'),
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
            *('apis', 'checkpoints', 'engine', 'registry', 'structures', 'utils'),
            *('diffusion.grids', 'diffusion.presets', 'visualization'),
        },
        {'torch', 'mmengine', 'numpy', 'PIL', 'rich', 'safetensors'},
    ),
    'checkpoints': (
        {'checkpoints', 'utils', 'version'},
        {'torch', 'mmengine', 'numpy', 'safetensors'},
    ),
    'checkpoints/converters': (
        {'checkpoints', 'models.condition_encoders', 'registry', 'utils'},
        {'torch', 'mmengine', 'safetensors'},
    ),
    'utils': (
        {'checkpoints', 'registry', 'utils'},
        {'torch', 'mmengine', 'numpy', 'scipy', 'PIL', 'safetensors', 'lpips'},
    ),
}


def _imports(path: Path) -> set[str]:
    """Dotted names that a file imports, relative ones made absolute."""
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
    rooms = [room for room in ALLOWED if place.startswith(f'{room}/')]
    return ALLOWED[max(rooms, key=len)] if rooms else None


def _foreign(path: Path) -> list[str]:
    rooms, libraries = _rule(path)
    standard = set(sys.stdlib_module_names)
    foreign = []
    for name in _imports(path):
        top = name.split('.')[0]
        if top == 'mmadm':
            inside = name.removeprefix('mmadm').removeprefix('.')
            allowed = any(inside == r or inside.startswith(f'{r}.') for r in rooms)
        else:
            allowed = top in libraries | standard
        if not allowed:
            foreign.append(name)
    return sorted(foreign)


FILES = [path for path in sorted(PACKAGE.rglob('*.py')) if _rule(path) is not None]


@pytest.mark.parametrize('path', FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_rooms_import_only_what_they_may(path):
    assert _foreign(path) == []


def test_every_room_is_watched():
    rooms = {path.parent.relative_to(PACKAGE).parts[0] for path in FILES}
    folders = {p.name for p in PACKAGE.iterdir() if (p / '__init__.py').is_file()}
    assert rooms == folders


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


def _modules_after(statement: str) -> set[str]:
    code = f'import sys; {statement}; print(*sys.modules)'
    run = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_importing_mmadm_imports_no_library():
    heavy = {'torch', 'mmengine', 'mmcv', 'numpy', 'cv2'}
    assert not _modules_after('import mmadm') & heavy


def test_importing_the_models_leaves_heavy_libraries_alone():
    heavy = {'torchvision', 'mmpretrain', 'skimage', 'matplotlib.pyplot'}
    assert not _modules_after('import mmadm.models') & heavy
