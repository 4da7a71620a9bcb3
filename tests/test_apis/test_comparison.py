"""Models are compared by several samples of each test image."""

import json

import pytest
import torch

from mmadm.apis import load_config, load_model, test_steps
from mmadm.apis.comparison import compare_model, scores_by_image
from mmadm.registry import MODELS
from tests.test_tools.test_cli import call, refused


@pytest.fixture
def weights(toy_config, tmp_path):
    """Random weights of the toy model."""
    torch.manual_seed(0)
    model = MODELS.build(load_config(str(toy_config)).model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.save(model.state_dict(), tmp_path / 'toy.pth')
    return tmp_path / 'toy.pth'


def test_one_sample_has_the_scores_of_a_test(toy_config, weights, make_runner):
    source = load_model(str(toy_config), str(weights))
    found = compare_model(source, num_samples=2, num_steps=2)
    runner = make_runner(load_from=str(weights))
    runner.model.load_state_dict(torch.load(weights))
    expected = test_steps(runner, [2])[2]
    keys = [key for key in expected if ':' not in key and key in found]
    assert 'psnr_rgb' in keys
    assert {k: found[k] for k in keys} == pytest.approx({k: expected[k] for k in keys})
    # Two samples differ; their mean is nearer and less sharp.
    assert found['diversity'] > 0
    assert found['mean_psnr_rgb'] > found['psnr_rgb']
    assert found['mean_sharpness'] < found['sharpness']


def test_the_tool_writes_a_result_for_each_model(toy_config, weights, tmp_path, capsys):
    out, tool = tmp_path / 'out.json', 'analysis_tools/compare_models.py'
    common = ('--num-samples', 1, '--number', 1, '--num-steps', 1, '--out', out)
    data = (f'data_root={tmp_path}', 'data_prefix.img_path=photos')
    options = [f'test_dataloader.dataset.{option}' for option in data]
    models = (toy_config, weights, 'adm_sr_small')
    call(tool, *models, *common, '--cfg-options', *options)
    results = json.loads(out.read_text())
    assert list(results) == [str(weights), 'adm_sr_small']
    assert all('sharpness' in result for result in results.values())
    assert 'psnr_y_b4' in results['adm_sr_small']
    assert 'sharpness' in capsys.readouterr().out
    message = refused(capsys, tool, toy_config, weights, '--num-samples', 0)
    assert "{'num_samples': 0}" in message


def test_single_images_have_no_score_of_sets(toy_config, weights):
    source = load_model(str(toy_config), str(weights))
    evaluator = source.config.test_evaluator
    source.config.test_evaluator = [
        evaluator,
        dict(type='FrechetDistance', network='adm_edge_small'),
    ]
    both = scores_by_image(source, num_steps=1, number=2)
    source.config.test_evaluator = evaluator
    assert both == scores_by_image(source, num_steps=1, number=2)


def test_the_worst_images_are_listed_first(toy_config, weights, tmp_path, capsys):
    out, tool = tmp_path / 'out.json', 'analysis_tools/worst_cases.py'
    common = (tool, toy_config, weights, '--num-steps', 1, '--metric')
    call(*common, 'psnr_rgb', '--count', 2, '--out', out)
    scores = {key: s['psnr_rgb'] for key, s in json.loads(out.read_text()).items()}
    assert sorted(scores) == [f'photo_{i}.png' for i in range(5)]
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split()[1] for line in lines] == sorted(scores, key=scores.get)[:2]
    # Their mean is the score of the test set.
    source = load_model(str(toy_config), str(weights))
    whole = compare_model(source, num_samples=1, num_steps=1)
    assert whole['psnr_rgb'] == pytest.approx(sum(scores.values()) / 5)
    assert "no metric 'mae'" in refused(capsys, *common, 'mae')
