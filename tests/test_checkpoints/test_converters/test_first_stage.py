"""Published autoencoders give the same answers here."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmadm.checkpoints.converters import (
    convert_first_stage,
    diffusers_first_stage,
    first_stage_settings,
    ldm_first_stage,
)
from mmadm.models import KLAutoencoder
from tests.golden import assert_golden, formula, waves
from tests.test_tools.test_cli import call, refused


def tiny(**options) -> KLAutoencoder:
    return KLAutoencoder(base_channels=32, num_blocks=1, **options).eval()


#: Ours -> diffusers', written down independently of the converter.
DIFFUSERS = {
    r'\.down\.(\d)\.block\.(\d)': r'.down_blocks.\1.resnets.\2',
    r'\.down\.(\d)\.downsample': r'.down_blocks.\1.downsamplers.0',
    r'\.up\.0\.block\.(\d)': r'.up_blocks.2.resnets.\1',
    r'\.up\.1\.block\.(\d)': r'.up_blocks.1.resnets.\1',
    r'\.up\.2\.block\.(\d)': r'.up_blocks.0.resnets.\1',
    r'\.up\.1\.upsample': '.up_blocks.1.upsamplers.0',
    r'\.up\.2\.upsample': '.up_blocks.0.upsamplers.0',
    r'\.mid\.block_1': '.mid_block.resnets.0',
    r'\.mid\.block_2': '.mid_block.resnets.1',
    r'\.mid\.attn_1\.norm': '.mid_block.attentions.0.group_norm',
    r'\.mid\.attn_1\.([qkv])\b': r'.mid_block.attentions.0.to_\1',
    r'\.mid\.attn_1\.proj_out': '.mid_block.attentions.0.to_out.0',
    r'\.nin_shortcut': '.conv_shortcut',
    r'\.norm_out': '.conv_norm_out',
}


def diffusers_weights() -> dict[str, Tensor]:
    """A state dict in diffusers' layout, its weights formulas of its names."""
    weights = {}
    for name, tensor in tiny().state_dict().items():
        if name == 'scale_factor':
            continue
        for ours, theirs in DIFFUSERS.items():
            name = re.sub(ours, theirs, name)
        attention = 'attentions' in name and tensor.dim() == 4
        weights[name] = formula(name, tensor.shape[: 2 if attention else None])
    return weights


def test_diffusers_autoencoder_equals_the_one_of_diffusers():
    """Its version 0.42.1, ``AutoencoderKL`` of widths 32, 64, 128, same formulas."""
    stage = tiny()
    stage.load_state_dict(diffusers_first_stage(diffusers_weights(), 0.25))
    assert stage.scale_factor == torch.tensor(0.25)
    with torch.no_grad():
        moments = stage.moments(waves((2, 3, 32, 32), 0.61, 0.4, 0.9))
        code = waves((2, 3, 8, 8), 0.61, 0.4, 0.9)
        answer = stage.decode(code * stage.scale_factor)
    mean, logvar = moments.chunk(2, dim=1)
    golden = (0.03753532, 0.1400933, 47.10911, 0.1554772, 0.1422689, 0.1191098)
    assert_golden(mean, golden)
    golden = (-0.1904654, 0.1722087, 80.49701, 0.1229036, 0.1135033, 0.1147492)
    assert_golden(logvar, golden)
    golden = (-0.02587378, 0.5361528, 1518.051, 0.2557646, 0.6890247, 0.7739689)
    assert_golden(answer, golden)


def test_older_diffusers_names_of_attention_are_known_too():
    new = diffusers_weights()
    old_names = {
        'to_q': 'query',
        'to_k': 'key',
        'to_v': 'value',
        'to_out.0': 'proj_attn',
    }
    old = {}
    for name, tensor in new.items():
        for theirs, before in old_names.items():
            name = name.replace(theirs, before)
        old[name] = tensor
    assert old.keys() != new.keys()
    a, b = diffusers_first_stage(new), diffusers_first_stage(old)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture
def diffusers_folder(tmp_path):
    """Write a folder as diffusers does, with settings that are a text."""

    def write(settings: str) -> Path:
        folder = tmp_path / 'vae'
        folder.mkdir()
        weights = {
            key: value.contiguous() for key, value in diffusers_weights().items()
        }
        save_file(weights, folder / 'diffusion_pytorch_model.safetensors')
        (folder / 'config.json').write_text(settings)
        return folder

    return write


@pytest.mark.parametrize('file', ['', 'diffusion_pytorch_model.safetensors'])
def test_a_folder_of_diffusers_has_its_scale(file, diffusers_folder, tmp_path):
    settings = dict(act_fn='silu', norm_num_groups=32, scaling_factor=0.18215)
    folder, target = diffusers_folder(json.dumps(settings)), tmp_path / 'x.safetensors'
    own = convert_first_stage(folder / file, target)
    assert own['scale_factor'] == torch.tensor(0.18215)
    # What is given wins.
    own = convert_first_stage(folder / file, target, 0.2)
    assert own['scale_factor'] == torch.tensor(0.2)
    with safe_open(target, 'pt') as file:
        assert file.metadata()['source'] == 'diffusion_pytorch_model.safetensors'


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ('{"norm_num_groups": 16}', 'norm_num_groups=16, but ours has 32'),
        ('{"shift_factor": 0.1}', r'shift_factor=0\.1, but ours has None'),
        ('{"latents_std": [1]}', r'latents_std=\[1\], but ours has None'),
        ('{"act_fn": ', r'config\.json is no JSON'),
        ('[1]', r'config\.json is no JSON with a dict'),
    ],
)
def test_settings_that_ours_cannot_have_are_refused(
    settings, message, diffusers_folder, tmp_path
):
    folder = diffusers_folder(settings)
    with pytest.raises(ValueError, match=message):
        convert_first_stage(folder, tmp_path / 'x.safetensors')
    assert not (tmp_path / 'x.safetensors').exists()


def test_a_missing_scale_is_the_default_of_its_project(diffusers_folder, tmp_path):
    """diffusers' documentation: ``scaling_factor=0.18215``; latent diffusion's: 1."""
    folder, target = diffusers_folder('{"act_fn": "silu"}'), tmp_path / 'x.safetensors'
    expected = torch.tensor(0.18215)
    assert convert_first_stage(folder, target)['scale_factor'] == expected
    (folder / 'config.json').unlink()
    assert convert_first_stage(folder, target)['scale_factor'] == expected
    assert diffusers_first_stage(diffusers_weights())['scale_factor'] == expected
    weights = of_both_stages(tiny())
    del weights['scale_factor']
    with pytest.raises(ValueError, match='--scale-factor'):
        ldm_first_stage(weights)
    alone = {k: v for k, v in tiny().state_dict().items() if k != 'scale_factor'}
    assert ldm_first_stage(alone)['scale_factor'] == 1


def test_a_folder_of_something_else_says_what_it_has(tmp_path):
    folder = tmp_path / 'pipeline'
    (folder / 'vae').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r'pipeline: it has vae\. Give'):
        convert_first_stage(folder, tmp_path / 'x.safetensors')


@pytest.mark.parametrize('scale', [0.0, -1.0, float('nan'), float('inf')])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=f'scale_factor={scale:g}'):
        ldm_first_stage(tiny().state_dict(), scale)


def of_both_stages(stage: KLAutoencoder) -> dict[str, Tensor]:
    """As the authors store latent models."""
    own = {k: v for k, v in stage.state_dict().items() if k != 'scale_factor'}
    weights = {f'first_stage_model.{key}': value for key, value in own.items()}
    others = ('model.init_conv.0.weight', 'first_stage_model.loss.logvar', 'eps')
    return (
        weights
        | dict.fromkeys(others, torch.ones(1))
        | dict(scale_factor=torch.tensor(0.165))
    )


def test_the_authors_checkpoints_keep_their_scale():
    stage = tiny()
    weights = of_both_stages(stage)
    converted = ldm_first_stage(weights)
    other = tiny()
    other.load_state_dict(converted)
    assert other.scale_factor == torch.tensor(0.165)
    assert torch.equal(other.encoder.conv_in.weight, stage.encoder.conv_in.weight)
    assert ldm_first_stage(weights, 0.2)['scale_factor'] == torch.tensor(0.2)


@pytest.mark.parametrize('layout', ['ldm', 'trainer', 'both stages', 'diffusers'])
def test_the_tool_writes_what_the_first_stage_loads(layout, tmp_path, capsys):
    stage = tiny()
    own = {k: v for k, v in stage.state_dict().items() if k != 'scale_factor'}
    averaged = {f'ema_model.{k}': v for k, v in own.items()}
    online = {f'online_model.{k}': v + 1 for k, v in own.items()}
    file = {
        'ldm': dict(state_dict=own | {'loss.logvar': torch.zeros(())}),
        'trainer': dict(step=7, model=online, ema=averaged | online),
        'both stages': dict(model=of_both_stages(stage)),
        'diffusers': diffusers_weights(),
    }[layout]
    source, target = tmp_path / 'theirs.ckpt', tmp_path / 'ours.safetensors'
    torch.save(file, source)
    call('model_converters/first_stage.py', source, target, '--scale-factor', 0.5)
    assert 'scale factor 0.5' in capsys.readouterr().out
    loaded = tiny(checkpoint=str(target))
    loaded.init_weights()
    assert loaded.scale_factor == 0.5
    expected = formula('encoder.conv_in.weight', (32, 3, 3, 3))
    if layout != 'diffusers':
        expected = stage.encoder.conv_in.weight
    assert torch.equal(loaded.encoder.conv_in.weight, expected)


def test_files_without_an_autoencoder_are_refused(tmp_path, capsys):
    source, target = tmp_path / 'unet.pth', tmp_path / 'ours.safetensors'
    torch.save({'model.conv.weight': torch.zeros(1)}, source)
    tool = 'model_converters/first_stage.py'
    message = refused(capsys, tool, source, target)
    assert 'No KL autoencoder' in message and 'model.conv.weight' in message
    message = refused(capsys, tool, source, tmp_path / 'ours.pth')
    assert '.safetensors' in message and 'ours.pth' in message
    message = refused(capsys, tool, tmp_path / 'none.ckpt', target)
    assert 'none.ckpt' in message
    assert not target.exists()


@pytest.mark.parametrize('key', ['encoder.conv_in.weight', 'decoder.norm_out.bias'])
def test_a_file_that_lacks_a_weight_is_refused_before_it_is_converted(key, tmp_path):
    weights = tiny().state_dict()
    del weights[key]
    torch.save(weights, tmp_path / 'theirs.ckpt')
    with pytest.raises(ValueError, match=re.escape(key)):
        convert_first_stage(tmp_path / 'theirs.ckpt', tmp_path / 'ours.safetensors')
    assert [path.name for path in tmp_path.iterdir()] == ['theirs.ckpt']


def test_the_sizes_are_read_off_the_weights(tmp_path, capsys):
    settings = dict(
        in_channels=1,
        base_channels=32,
        channel_mult=(1, 3),
        num_blocks=2,
        latent_channels=4,
    )
    source, target = tmp_path / 'theirs.ckpt', tmp_path / 'ours.safetensors'
    torch.save(KLAutoencoder(**settings).state_dict(), source)
    call('model_converters/first_stage.py', source, target)
    assert 'channel_mult=(1, 3), num_blocks=2' in capsys.readouterr().out
    with safe_open(target, 'pt') as file:
        assert file.metadata()['source'] == 'theirs.ckpt'
        assert file.metadata()['in_channels'] == '1'
    stage = KLAutoencoder(checkpoint=str(target), **settings)
    stage.init_weights()
    assert first_stage_settings(stage.state_dict()) == settings
