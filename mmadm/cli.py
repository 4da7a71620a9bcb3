"""The command ``mmadm``: runs the tools by their names, wherever mmadm is installed.

It knows no option: a tool parses its own ones, as when its file is run.
"""

import ast
import os
import runpy
import sys
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path

from .package import package_folder
from .version import __version__

# Commands whose names are not those of their files.
_DEMOS = dict(infer='image_demo.py', web='web_demo.py')
_GROUPS = {
    'Run a model': ('infer', 'web'),
    'Train and test': ('train', 'test', 'dist_train', 'dist_test'),
    'Convert data sets and checkpoints': ('convert ',),
}


def commands() -> dict[str, Path]:
    """The file of each command, ``'convert NAME'`` for converters."""
    root = package_folder()
    found = {name: root / 'demo' / file for name, file in _DEMOS.items()}
    for path in sorted((root / 'tools').rglob('*')):
        if path.suffix in ('.py', '.sh'):
            is_converter = path.parent.name.endswith('_converters')
            found['convert ' * is_converter + path.stem] = path
    return {name: path for name, path in found.items() if path.is_file()}


def models() -> list[str]:
    """Names of the models in the box, from those of their files."""
    files = (package_folder() / 'weights').glob('*.safetensors')
    return sorted(file.stem.rpartition('-')[0] for file in files)


def summary(path: Path) -> str:
    """What a tool does: the first line of its docstring, or its first comment."""
    if path.suffix == '.sh':
        return _comment(path)[0]
    return (ast.get_docstring(ast.parse(path.read_text())) or '').split('\n')[0]


def _comment(path: Path) -> list[str]:
    """The comment at the start of a shell script: usage and environment."""
    _, *lines = path.read_text().splitlines()
    return [line[2:] for line in takewhile(lambda line: line.startswith('# '), lines)]


def overview(found: dict[str, Path]) -> str:
    """The help text: all commands in groups."""
    lines = [
        'usage: mmadm COMMAND [arguments]',
        '       mmadm COMMAND --help',
        '',
        'Diffusion models with Analytical image Attenuation (ADM). Configs and models',
        'are given by file, or by the name of a shipped one. Models in the box:',
        f'{", ".join(models())}.',
    ]
    left = dict(found)
    for title, names in (*_GROUPS.items(), ('More tools', ('',))):
        own = {
            name: left.pop(name)
            for start in names
            for name in list(left)
            if name == start or (start in ('', 'convert ') and name.startswith(start))
        }
        lines += ['', f'{title}:', *(f'  {n:25} {summary(p)}' for n, p in own.items())]
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; see :func:`overview`.

    Args:
        arguments: those of the command line.

    Returns:
        2 where there is no such command; a tool exits with its own code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    found = commands()
    if not arguments or arguments[0] in ('-h', '--help'):
        print(overview(found))
        return 0
    if arguments[0] in ('-V', '--version'):
        print(f'mmadm {__version__}')
        return 0
    length = 2 if arguments[0] == 'convert' else 1
    name = ' '.join(arguments[:length]).replace('-', '_')
    if name not in found:
        return _report_unknown(name, found)
    _run(found[name], arguments[length:])
    return 0


def _report_unknown(name: str, found: dict[str, Path]) -> int:
    close = [] if name == 'convert' else get_close_matches(name, found, n=3)
    if name.startswith('convert'):
        close = close or [other for other in found if other.startswith('convert ')]
    hint = f'Similar ones are {close}; ' if close else ''
    print(
        f'Error: unknown command: {name}. {hint}mmadm --help lists all.',
        file=sys.stderr,
    )
    return 2


def _run(path: Path, arguments: list[str]) -> None:
    if path.suffix == '.sh':
        if arguments[:1] in (['-h'], ['--help']):
            print('\n'.join(_comment(path)))
            return
        # Its python is that of this environment.
        folder = str(Path(sys.executable).parent)
        path_variable = os.pathsep.join([folder, os.environ.get('PATH', '')])
        environment = dict(os.environ, PATH=path_variable)
        os.execvpe('bash', ['bash', str(path), *arguments], environment)
    sys.argv = [str(path), *arguments]
    # As for a script: what lies beside it can be imported.
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name='__main__')
