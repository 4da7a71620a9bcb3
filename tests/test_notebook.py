"""The notebook runs from its first cell to its last, and is stored without outputs."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / 'demo' / 'first_steps.ipynb'


@pytest.fixture(scope='module')
def cells() -> list[dict]:
    content = json.loads(NOTEBOOK.read_text())
    assert content['nbformat'] == 4
    return [cell for cell in content['cells'] if cell['cell_type'] == 'code']


def test_it_is_stored_without_outputs(cells):
    assert all(not cell['outputs'] for cell in cells)
    assert all(cell['execution_count'] is None for cell in cells)


def test_its_cells_run_in_order(cells, monkeypatch, tmp_path):
    matplotlib = pytest.importorskip('matplotlib')
    matplotlib.use('agg')
    monkeypatch.chdir(tmp_path)
    namespace = {'__name__': 'notebook'}
    for cell in cells:
        exec(compile(ast.parse(cell['source']), cell['id'], 'exec'), namespace)
    scores = namespace['scores']
    assert scores['adm_sr_small'] > scores['bicubic'] > 15
