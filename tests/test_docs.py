"""The documentation is true: its code runs, and what it names exists."""

import argparse
import ast
import functools
import importlib
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.config import DictAction

from mmadm import registry
from mmadm.apis import load_config
from mmadm.cli import commands as mmadm_commands

ROOT = Path(__file__).parent.parent
DOCS = ROOT / 'docs' / 'en'
PAGES = sorted(p for p in DOCS.rglob('*.md') if '_build' not in p.parts)
PAPER = DOCS / 'advanced_guides' / 'paper_in_code.md'

READMES = [ROOT / 'README.md', *sorted((ROOT / 'configs').rglob('README.md'))]


def each(pages: list[Path]) -> pytest.MarkDecorator:
    """One test per page."""
    names = [page.relative_to(ROOT).as_posix() for page in pages]
    return pytest.mark.parametrize('page', pages, ids=names)


every_page, every_text = each(PAGES), each(PAGES + READMES)

# Code blocks

_BLOCK = re.compile(
    r'(?:<!-- (?P<mark>not run: .+?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```',
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r'# (\S+\.py)\n')
MMADM = mmadm_commands()
_COMMANDS = {
    *('bash', 'cd', 'git', 'make', 'mim', 'pip', 'python', 'source', 'uv'),
}


def blocks(text: str, *languages: str) -> list[str]:
    """The code blocks of a page that are not marked ``<!-- not run: why -->``."""
    return [
        block['code']
        for block in _BLOCK.finditer(text)
        if block['language'] in languages and not block['mark']
    ]


def files_of(text: str) -> dict[str, str]:
    """Blocks that are files: their first line is a comment with a path."""
    code = blocks(text, 'python')
    return {match[1]: b for b in code if (match := _FILE.match(b))}


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Iterator[Path]:
    """A working directory that is importable; its registered classes are removed."""
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    children = [getattr(registry, name) for name in registry.__all__ if name.isupper()]
    known = [dict(child.module_dict) for child in children]
    modules = set(sys.modules)
    yield tmp_path
    for child, entries in zip(children, known):
        for name in set(child.module_dict) - set(entries):
            if child.module_dict[name].__module__.split('.')[0] != 'mmadm':
                child.module_dict.pop(name)
    for name in set(sys.modules) - modules:
        if Path(getattr(sys.modules[name], '__file__', None) or '').parent == tmp_path:
            del sys.modules[name]


def run_block(code: str, namespace: dict) -> None:
    """Run a block; where it is a file, load it as a config or import it."""
    match = _FILE.match(code)
    if match is None:
        exec(compile(code, 'block', 'exec'), namespace)
        return
    path = Path(match[1])
    path.write_text(code)
    if path.parts[0] == 'configs':
        load_config(str(path))
    else:
        namespace.update(vars(importlib.import_module(path.stem)))


@every_page
def test_python_blocks_run_in_order(page, scratch):
    namespace = {'__name__': page.stem}
    for code in blocks(page.read_text(), 'python'):
        run_block(code, namespace)


@pytest.mark.parametrize(
    'code, error',
    [
        ('from mmadm.models import NoSuchHead\n', ImportError),
        ('assert 1 + 1 == 3\n', AssertionError),
        (
            '# configs/adm/x.py\n'
            'from mmengine.config import read_base\n'
            'with read_base():\n'
            '    from .adm_sr_demo import *\n'
            'model.head.update(base_chanels=8)\n',
            ValueError,
        ),
    ],
)
def test_a_wrong_block_is_found(scratch, code, error):
    with pytest.raises(error):
        run_block(code, {})


def commands(text: str) -> Iterator[list[str]]:
    """The command lines of a page, without assignments before them."""
    for block in blocks(text, 'bash', 'shell', 'sh', 'console'):
        for line in block.replace('\\\n', ' ').splitlines():
            words = shlex.split(line.removeprefix('$ '), comments=True)
            while words and re.match(r'[A-Z_]+=', words[0]):
                words = words[1:]
            if words:
                yield words


@functools.cache
def options_of(script: Path) -> set[str]:
    """The options of a script's parser; a launcher has those of its program."""
    if script.suffix == '.sh':
        task = script.stem.split('_')[-1]
        return options_of(script.with_name(f'{task}.py'))
    calls = [n for n in ast.walk(ast.parse(script.read_text())) if _is_option(n)]
    options = {
        a.value for call in calls for a in call.args if isinstance(a, ast.Constant)
    }
    if any(isinstance(call.func, ast.Name) for call in calls):
        options.add('--cfg-options')
    return options


def _is_option(node: ast.AST) -> bool:
    """Whether a node is ``parser.add_argument(...)`` or ``add_cfg_options(...)``."""
    function = getattr(node, 'func', None)
    names = getattr(function, 'attr', None), getattr(function, 'id', None)
    return bool({'add_argument', 'add_cfg_options'} & {*names})


def with_file(words: list[str]) -> list[str]:
    """A line with ``mmadm`` as the one that runs the tool's file."""
    if words[0] != 'mmadm' or words[1] == '--help':
        return words
    count = 3 if words[1] == 'convert' else 2
    path = MMADM[' '.join(words[1:count])].relative_to(ROOT)
    return ['bash' if path.suffix == '.sh' else 'python', str(path), *words[count:]]


def check_command(words: list[str], written: set[str] = frozenset()) -> None:
    """Program, files, options, make targets and config keys of a line exist."""
    words = with_file(words)
    assert words[0] in _COMMANDS, words
    files = [Path(w) for w in words[1:] if w.endswith(('.py', '.sh', '.txt'))]
    # Files below data/ are the user's.
    files = [p for p in files if str(p) not in written and p.parts[0] != 'data']
    for path in files:
        assert (ROOT / path).is_file(), f'{path} in: {" ".join(words)}'
    if words[0] == 'make':
        makefile = (ROOT / 'Makefile').read_text()
        targets = re.findall(r'^([\w-]+):', makefile, re.MULTILINE)
        assert {word for word in words[1:] if '=' not in word} <= {*targets}, words
    if words[0] in ('python', 'bash') and files and files[0].parts[0] != 'configs':
        given = {word.split('=')[0] for word in words if word.startswith('--')}
        assert given <= options_of(ROOT / files[0]), ' '.join(words)
    configs = [path for path in files if path.parts[0] == 'configs']
    if '--cfg-options' in words and configs:
        load_config(str(ROOT / configs[0]), _cfg_options(words))


def _cfg_options(words: list[str]) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_known_args(words)[0].cfg_options


@every_text
def test_commands_exist_with_their_options(page):
    text = page.read_text()
    written = set(files_of(text))
    for words in commands(text):
        check_command(words, written)
        # The converter writes a config beside the weights.
        if 'tools/model_converters/authors.py' in words:
            written |= {re.sub(r'safetensors$', 'py', word) for word in words}


def test_every_tool_is_shown_with_its_command():
    shown = {
        word
        for page in PAGES
        for line in commands(page.read_text())
        for word in with_file(line)
    }
    tools = [p for p in (ROOT / 'tools').rglob('*') if p.suffix in ('.py', '.sh')]
    assert {p.relative_to(ROOT).as_posix() for p in tools} <= shown


@pytest.mark.parametrize(
    'line',
    [
        'mmadm-train configs/adm/adm_sr_demo.py',
        'python tools/trian.py configs/adm/adm_sr_demo.py',
        'python tools/train.py configs/adm/no_such.py',
        'python tools/train.py configs/adm/adm_sr_demo.py --no-such-option',
        'bash tools/dist_test.sh configs/adm/adm_sr_demo.py CKPT 2 --no-validate',
        'make no_such_target',
        'pip install -r requirements/no_such.txt',
        'python tools/train.py configs/adm/adm_sr_demo.py '
        '--cfg-options model.head.base_chanels=8',
    ],
)
def test_a_wrong_command_is_found(line):
    with pytest.raises((AssertionError, ValueError)):
        check_command(shlex.split(line))


def test_the_new_task_of_the_guide_is_tested():
    from tests.test_tools.test_cli import NEW_TASK

    text = (DOCS / 'advanced_guides' / 'new_task.md').read_text()
    _, *code = files_of(text)['configs/cracks.py'].splitlines()
    tested = NEW_TASK.format(root='data/cracks').splitlines()
    assert [line for line in code if line] == [line for line in tested if line]


# Links

_LINK = re.compile(r'\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)')


def missing_links(page: Path) -> list[str]:
    """Links of a page to files or headings that do not exist."""
    text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [
        f'{target}#{anchor}'
        for target, anchor in _LINK.findall(text)
        if not _leads_somewhere((page.parent / target) if target else page, anchor)
    ]


def _leads_somewhere(path: Path, anchor: str) -> bool:
    return path.exists() and (not anchor or anchor in _anchors(path))


@functools.cache
def _anchors(path: Path) -> set[str]:
    titles = re.findall(r'^#+ (.+)$', path.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', t.lower()).replace(' ', '-') for t in titles}


@every_text
def test_relative_links_lead_somewhere(page):
    assert missing_links(page) == []


def test_a_wrong_link_is_found(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('# One\n[a](no.md) [b](page.md#two) [c](#one) [d](page.md#one)\n')
    assert missing_links(page) == ['no.md#', 'page.md#two']


# The paper in the code

_TOKEN = re.compile(r'`([^`]+)`')
_NAME = re.compile(r'[A-Za-z]\w*(\.\w+)*')


@functools.cache
def defined_in(path: Path) -> frozenset[str]:
    """Names of functions, classes, methods and module variables of a file."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        names |= set(_names_of(node))
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            names |= {f'{node.name}.{name}' for name in _names_of(member)}
    return frozenset(names)


def _names_of(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    targets = getattr(node, 'targets', [getattr(node, 'target', None)])
    yield from (t.id for t in targets if isinstance(t, ast.Name))


def unknown_in(row: str) -> list[str]:
    """Names in backquotes of a row that do not exist.

    Paths are relative to the repository; a name is defined in a file of its row.
    """
    tokens = _TOKEN.findall(row)
    paths = [ROOT / t for t in tokens if '/' in t and t.endswith('.py')]
    lost = [str(path.relative_to(ROOT)) for path in paths if not path.is_file()]
    known = set().union(*(defined_in(path) for path in paths if path.is_file()))
    names = [t for t in tokens if _NAME.fullmatch(t) and not _is_symbol(t)]
    return lost + [name for name in names if paths and name not in known]


def _is_symbol(token: str) -> bool:
    """Letters of the paper, and what MMEngine defines."""
    return token in {'x_t', 'x0', 'H_t', 'f_t', 't', 't_min', 'OptimWrapper'}


def rows(text: str) -> list[str]:
    """The rows of all tables, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith('|')]
    return [line for line in lines if not line.startswith(('| Paper |', '|---'))]


def test_what_the_paper_page_names_exists():
    table = rows(PAPER.read_text())
    assert len(table) > 50
    assert {row: unknown_in(row) for row in table if unknown_in(row)} == {}


@pytest.mark.parametrize(
    'row, unknown',
    [
        ('| `mmadm/diffusion/no_such.py` |', ['mmadm/diffusion/no_such.py']),
        ('| `mmadm/diffusion/vp.py`: `VPProcess.no_such` |', ['VPProcess.no_such']),
        ('| `mmadm/diffusion/vp.py`: `ADMProcess` |', ['ADMProcess']),
        ('| `mmadm/diffusion/vp.py`: `VPProcess.reverse_sde`, `eta=1` |', []),
    ],
)
def test_a_wrong_name_is_found(row, unknown):
    assert unknown_in(row) == unknown


# "Eq. (6) to (11)", "Eq. 10", "Alg. 1, line 4 and 5", "Tables II, IV and VI", ...
_MORE = r'(?:(?:, | and | to )\(?{0}\)?)*'
_EQUATIONS = re.compile(r'Eq\. \(?\d+\)?' + _MORE.format(r'\d+'))
_TABLES = re.compile(r'Tables? [IV]+\b' + _MORE.format(r'[IV]+\b'))
_LINES = re.compile(
    r'(?:(?:Alg\.|Algorithm) (\d),? |# )line (\d+(?:(?: and | to )\d+)?)'
)


def _numbers(text: str) -> set[int]:
    """Numbers of an enumeration; 'a to b' is all from a to b."""
    numbers = {int(number) for number in re.findall(r'\d+', text)}
    for low, high in re.findall(r'(\d+)\)? to \(?(\d+)', text):
        numbers |= set(range(int(low), int(high) + 1))
    return numbers


def cited_lines(text: str) -> set[tuple[int, int]]:
    """(algorithm, line); a bare ``# line 3`` belongs to the algorithm before it."""
    cited, algorithm = set(), 0
    for named, lines in _LINES.findall(text):
        algorithm = int(named or algorithm)
        cited |= {(algorithm, line) for line in _numbers(lines)}
    return cited


@pytest.fixture(scope='module')
def sources() -> list[str]:
    """The text of the package and of the configs."""
    folders = (ROOT / 'mmadm', ROOT / 'configs')
    return [path.read_text() for folder in folders for path in folder.rglob('*.py')]


def test_the_code_cites_the_equations_of_the_paper(sources):
    cited = set().union(*(_numbers(e) for s in sources for e in _EQUATIONS.findall(s)))
    assert cited == set(range(1, 12))


def test_the_code_cites_the_lines_of_both_algorithms(sources):
    cited = set().union(*map(cited_lines, sources))
    assert cited >= {(1, line) for line in range(3, 8)}
    assert cited >= {(2, line) for line in range(1, 11)}


def test_the_code_cites_tables_figures_and_sections(sources):
    tables = {t for s in sources for c in _TABLES.findall(s) for t in c.split()}
    tables = {table.strip(',') for table in tables}
    assert tables >= {'I', 'II', 'III', 'IV', 'V', 'VI'}
    text = '\n'.join(sources)
    for place in ('Fig. 4', 'Fig. 7', 'Sec. V-A'):
        assert place in text


def test_the_paper_page_has_a_row_for_every_number():
    first = [row.split('|')[1] for row in rows(PAPER.read_text())]
    equations = [_numbers(cell) for cell in first if 'Eq.' in cell]
    assert set().union(*equations) == set(range(1, 12))
    wanted = {f'Table {n}' for n in ('I', 'II', 'III', 'IV', 'V', 'VI')} | {'Fig. 7'}
    assert wanted <= {cell.strip() for cell in first}
