"""The command that tests and publishes the models in the box, and its tables."""

import argparse
import json
import runpy
from pathlib import Path

import pytest
import yaml

from mmadm.apis import load_config
from mmadm.utils.cli import OptionsAction

ROOT = Path(__file__).parent.parent.parent
ZOO = runpy.run_path(str(ROOT / 'tools/misc/zoo.py'), run_name='zoo')
MODELS, PAGE, METAFILE = (ZOO[name] for name in ('MODELS', 'PAGE', 'METAFILE'))
SCORES = sorted(ZOO['SCORES'].glob('*.json'))


def entries(metafile: str) -> dict[str, dict]:
    return {entry['Name']: entry for entry in yaml.safe_load(metafile)['Models']}


@pytest.mark.parametrize('name', MODELS)
def test_every_model_has_a_config_and_options_that_fit_it(name):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    for part in MODELS[name].tests.values():
        words = ['--cfg-options', *part.options] if part.options else []
        options = parser.parse_args(words).cfg_options
        load_config(str(ROOT / f'configs/adm/small/{name}.py'), options)


@pytest.mark.parametrize('name', MODELS)
def test_every_model_has_its_place_in_page_and_metafile(name):
    page, metafile = PAGE.read_text(), METAFILE.read_text()
    filled = ZOO['fill_page'](page, name, 'A table.')
    assert filled.count('A table.') == 1 and name in entries(metafile)
    result = [dict(Task='T', Dataset='D', Metrics={'PSNR (NFE 5, a: b)': 27.5})]
    text = ZOO['fill_metafile'](metafile, name, 'w.safetensors', 'ab12', result)
    before, after = entries(metafile), entries(text)
    own = dict(Weights='w.safetensors', SHA256='ab12', Results=result)
    assert after[name] == {**before[name], **own}
    assert {**after, name: None} == {**before, name: None}
    assert [line for line in text.splitlines() if line.startswith('#')] != []
    again = ZOO['fill_metafile'](text, name, 'w.safetensors', 'ab12', result)
    assert again == text


def test_a_model_without_a_place_is_refused():
    with pytest.raises(ValueError, match=r'no place for the weights of adm_sr_big'):
        ZOO['fill_metafile'](METAFILE.read_text(), 'adm_sr_big', '', '', [])
    with pytest.raises(ValueError, match=r'no place for the scores of adm_sr_big'):
        ZOO['fill_page'](PAGE.read_text(), 'adm_sr_big', '')


@pytest.mark.parametrize('path', SCORES, ids=lambda path: path.stem)
def test_page_and_metafile_show_the_stored_scores(path):
    name, scores = path.stem, json.loads(path.read_text())
    table = ZOO['tables'](name, scores)
    page = PAGE.read_text()
    assert ZOO['fill_page'](page, name, table) == page
    entry = entries(METAFILE.read_text())[name]
    assert entry['Results'] == ZOO['results'](name, scores)
    assert entry['Weights'] == f'weights/{ZOO["published"](name).name}'


def test_finished_tests_are_not_repeated(tmp_path, monkeypatch):
    """Interrupted after the third run, it continues with the fourth."""
    commands = []

    def run(*command):
        if len(commands) == 3:
            raise KeyboardInterrupt
        commands.append(command)
        words = list(command)
        steps = words[words.index('--num-steps') + 1]
        out = Path(words[words.index('--out') + 1])
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({str(steps): dict(mae=0.1 * len(commands))}))

    test = ZOO['test']
    monkeypatch.setitem(test.__globals__, 'run', run)
    arguments = ('adm_saliency_small', ['config.py', 'iter_9.pth'], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        test(*arguments)
    first, commands[:] = list(commands), []
    with pytest.raises(KeyboardInterrupt):
        test(*arguments)
    assert not {*first} & {*commands}
    commands[:] = [None] * 4
    scores = test(*arguments)
    runs = MODELS['adm_saliency_small'].tests['DUTS-TE'].runs
    assert {key: tuple(map(int, value)) for key, value in scores.items()} == {
        f'DUTS-TE.{sampler}': counts for sampler, counts in runs.items()
    }
    # Another checkpoint is tested anew.
    commands[:] = [None] * 3
    with pytest.raises(KeyboardInterrupt):
        test('adm_saliency_small', ['config.py', 'iter_10.pth'], tmp_path)


def test_a_published_file_takes_the_place_of_the_older_one(tmp_path, monkeypatch):
    """But one that is equal to it, and has its name, stays."""
    publish = ZOO['publish']
    monkeypatch.setitem(publish.__globals__, 'WEIGHTS', tmp_path)
    for digest in ('1a', '1a', '2b'):
        path = tmp_path / f'adm_toy-{digest}.safetensors'
        monkeypatch.setitem(publish.__globals__, 'run', lambda *_, p=path: p.touch())
        publish('adm_toy', tmp_path / 'iter_2.pth')
        assert [*tmp_path.iterdir()] == [path] == [ZOO['published']('adm_toy')]
