"""A published file is all one needs, holds data only, and replaces nothing."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmadm.apis import load_config
from mmadm.checkpoints import (
    hash_data,
    load_published,
    publish_model,
    publish_weights,
    put_weights,
    read_checkpoint,
    resolve_model,
)
from mmadm.checkpoints.config_data import config_from_data, config_to_data
from mmadm.registry import MODELS


@pytest.fixture
def trained(toy_config, tmp_path):
    """Config and checkpoint of a model that is not trained."""
    cfg = load_config(str(toy_config), {'model.sampler.num_steps': 2})
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    # The last layers of a new network are zero, so that nothing would depend on others.
    for weight in model.head.parameters():
        weight.data.normal_(std=0.05)
    path = tmp_path / 'iter_2.pth'
    meta = dict(iter=2, epoch=0, seed=3, mmadm_version='0.1')
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return cfg, path


def test_a_published_file_is_all_one_needs(trained, tmp_path):
    cfg, source = trained
    info = dict(data='photos', terms='free', scores=dict(psnr=30.5), data_hash=None)
    path = publish_model(source, tmp_path / 'out' / 'sr.safetensors', cfg, info)
    assert path.parent == tmp_path / 'out' and path.name.startswith('sr-')
    source_bytes = sum(x.nbytes for x in read_checkpoint(source)['state_dict'].values())
    assert path.stat().st_size < 0.75 * source_bytes

    found, weights, facts = load_published(path)
    assert (facts['data'], facts['scores'], facts['seed']) == (
        'photos',
        {'psnr': 30.5},
        3,
    )
    assert (facts['sampler'], facts['num_steps']) == ('ADMSampler', 2)
    assert facts['half_precision']['mean_difference'] < 0.5
    assert 'data_hash' not in facts and facts['mmadm_version']
    assert all(x.dtype != torch.float16 for x in weights.values())
    model = MODELS.build(found.model)
    put_weights(model, dict(state_dict=weights), path)
    trained_weights = read_checkpoint(source)['state_dict']
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, trained_weights[key], rtol=1e-3, atol=1e-5)

    for name in (path, str(path)):
        resolved = resolve_model(name)
        assert resolved.info == facts and resolved.path == path
        assert resolved.config.model == found.model
    assert resolve_model(found, source).checkpoint['meta']['iter'] == 2
    assert resolve_model(path, source).checkpoint['meta']['iter'] == 2


def test_no_more_is_lost_than_half_precision_loses(trained, tmp_path, monkeypatch):
    cfg, source = trained
    monkeypatch.setattr(
        'mmadm.checkpoints.publishing._halved', lambda value: value + 0.3
    )
    with pytest.raises(ValueError, match='--full-precision'):
        publish_model(source, tmp_path / 'sr.safetensors', cfg)
    assert not list(tmp_path.glob('sr*'))
    path = publish_model(source, tmp_path / 'sr.safetensors', cfg, half=False)
    weights, expected = load_published(path)[1], read_checkpoint(source)['state_dict']
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_numbers_beyond_half_precision_stay_as_they_are():
    from mmadm.checkpoints.publishing import _halved

    assert _halved(torch.full((2, 2), 1e5)).dtype == torch.float32
    assert _halved(torch.full((2, 2), 1e4)).dtype == torch.float16
    assert _halved(torch.ones(2)).dtype == torch.float32
    assert _halved(torch.ones(2, 2, dtype=torch.int64)).dtype == torch.int64


def test_the_resolved_config_comes_back_the_same(toy_config):
    """As data, with registered names in place of classes; tuples stay tuples."""
    cfg = load_config(str(toy_config), {'model.test_cfg': dict(num_steps=2)})
    data = json.loads(json.dumps(config_to_data(cfg)))
    found = config_from_data(data, 'x')

    def named(value):
        if isinstance(value, dict):
            return {k: named(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(named, value))
        if isinstance(value, str) and value.startswith('/'):
            return f'data/{Path(value).name}'
        return value.split('.')[-1] if isinstance(value, str) else value

    expected = {k: v for k, v in cfg.to_dict().items() if k in data}
    assert named(found.to_dict()) == named(expected)
    assert data['model']['head']['type'] == 'DualDecoderUNet'
    assert found.default_scope == 'mmadm' and 'load_from' not in found


def test_paths_of_a_machine_are_not_published():
    cfg = Config(dict(model=dict(type='ADM'), a=['/home/someone/DUTS', 'data/x']))
    assert config_to_data(cfg)['a'] == ['data/DUTS', 'data/x']


def test_files_from_which_parts_began_are_not_needed():
    encoder = dict(type='ConvEncoder', weights='there.pth', init_cfg=dict(checkpoint=1))
    cfg = Config(dict(model=dict(type='ADM', condition_encoder=encoder)))
    found = config_to_data(cfg)['model']['condition_encoder']
    assert found == dict(type='ConvEncoder', weights=None, init_cfg=None)


def test_variables_of_a_config_file_are_not_published():
    cfg = Config(dict(_weights='there.npz', model=dict(type='ADM'), a=1))
    assert config_to_data(cfg).keys() == {'model', 'a', 'default_scope'}


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        (dict(x=nn.ReLU()), r'config\.x is a ReLU'),
        (dict(x=dict(type=json.JSONDecoder)), 'no registry knows'),
        (dict(x=dict(type='os.system')), 'no registry knows'),
    ],
)
def test_a_config_that_is_no_data_is_not_published(entry, message):
    with pytest.raises(ValueError, match=message):
        config_to_data(Config(dict(model=dict(type='ADM'), **entry)))


@pytest.mark.parametrize(
    'entry',
    [
        dict(type='os.system'),
        dict(type='antigravity'),
        dict(type='mmadm.models.ADM'),
        dict(type=dict(type='ADM')),
        dict(type=3),
        dict(ema_type='subprocess.Popen'),
        dict(type='ADM', _scope_='somewhere'),
        [[dict(type='builtins.eval')]],
    ],
)
def test_a_published_config_builds_registered_classes_only(entry, tmp_path):
    config = dict(model=dict(type='ADM', head=entry))
    metadata = dict(mmadm_config=json.dumps(config), mmadm_version='1', format='pt')
    path = tmp_path / 'x.safetensors'
    safetensors.torch.save_file(dict(w=torch.ones(1)), path, metadata)
    with pytest.raises(ValueError, match=r'Refused to load .*x\.safetensors'):
        load_published(path)


def test_unknown_names_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / 'innocent_name.py').write_text('raise SystemExit')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match='innocent_name'):
        config_from_data(dict(model=dict(type='innocent_name')), 'x')


def test_settings_of_a_run_are_not_taken_from_a_file():
    hostile = dict(custom_imports=dict(imports=['this']), work_dir='/', load_from='x')
    found = config_from_data(dict(model=dict(type='ADM'), **hostile), 'x')
    assert not {*hostile} & {*found} and found.default_scope == 'mmadm'


@pytest.mark.parametrize('config', ['{', '[]', '{}', '{"model": 3}', '[' * 9999])
def test_a_broken_config_is_reported(config, tmp_path):
    metadata = dict(mmadm_config=config, mmadm_version='1', format='pt')
    path = tmp_path / 'x.safetensors'
    safetensors.torch.save_file(dict(w=torch.ones(1)), path, metadata)
    with pytest.raises(ValueError, match=r'x\.safetensors'):
        load_published(path)


def test_weights_alone_need_a_config(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / 'x.pth')
    path = publish_weights(tmp_path / 'x.pth', tmp_path / 'w.safetensors')
    with pytest.raises(ValueError, match='weights without a config'):
        load_published(path)


def test_nothing_is_replaced_or_removed(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / 'x.pth')
    target = tmp_path / 'mine.safetensors'
    target.write_text('precious')
    path = publish_weights(tmp_path / 'x.pth', target)
    assert target.read_text() == 'precious' and path != target
    before = path.stat()
    assert publish_weights(tmp_path / 'x.pth', target) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns, 'it was there already'

    path.write_text('precious too')
    with pytest.raises(ValueError, match='another file of this name'):
        publish_weights(tmp_path / 'x.pth', target)
    assert path.read_text() == 'precious too'
    assert len(list(tmp_path.iterdir())) == 3


def test_the_hash_of_the_data_follows_the_content_not_the_place(toy_config, tmp_path):
    cfg = load_config(str(toy_config))
    before = hash_data(cfg)
    assert before['files'] == 5
    photos = tmp_path / 'photos'
    photos.rename(tmp_path / 'moved')
    cfg.train_dataloader.dataset.data_root = str(tmp_path / 'moved')
    assert hash_data(cfg) == before
    file = tmp_path / 'moved' / 'photo_0.png'
    file.write_bytes(file.read_bytes() + b' ')
    assert hash_data(cfg) != before


def test_the_scope_of_others_is_left_alone(trained, tmp_path):
    before = DefaultScope.get_current_instance()
    cfg, source = trained
    load_published(publish_model(source, tmp_path / 'sr.safetensors', cfg))
    assert DefaultScope.get_current_instance() is before
