"""Whole checkpoints in the authors' layout answer as their networks did."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from safetensors import safe_open
from torch import nn

from mmadm.apis import load_config
from mmadm.checkpoints import load_weights
from mmadm.checkpoints.converters import convert_authors, relation_keys
from mmadm.checkpoints.converters.head_keys import relation_names, unconditional_names
from mmadm.models import (
    ADM,
    FourierFilter,
    KLAutoencoder,
    NCSNppUNet,
    SingleDecoderRelationUNet,
)
from mmadm.models.windows import WholeImage
from mmadm.registry import MODELS
from tests.golden import assert_golden, authors_weights, waves

CONFIGS = Path(__file__).parents[3] / 'configs' / 'adm'
X = waves((2, 3, 16, 16), 0.61, 0.4, 1.2)
T = torch.tensor([0.3, 0.9])
# Rows of the authors' networks; the same as those of the heads alone.
ADM_UNCOND = (
    (0.07158205, 1.157366, 1530.391, -1.361951, -1.646448, -1.133932),
    (-0.01307546, 0.7626127, 1020.037, 0.709844, 0.742921, 0.824663),
)
ADM_UNCOND_SINGLE = (
    ADM_UNCOND[0],
    (0.03798221, 0.6609592, 854.991, 0.114716, 0.084046, 0.282668),
)
DDM_UNCOND = (
    (0.04170199, 0.6885311, 908.7791, -0.879899, -1.042152, -0.755819),
    (-0.01419428, 0.6676636, 882.4544, 0.604110, 0.631443, 0.695105),
)
# Of one decoder that weakens its skips, with noise b(t) = t.
ADM_UNCOND_TUNED = (
    (0.05463685, 1.22394, 1628.719, -1.554537, -1.880913, -1.374621),
    (0.03455341, 0.7483847, 980.4018, -0.239926, -0.393637, -0.045529),
)
ADM_SONG = (
    (0.0715197, 0.5694429, 691.4097, -0.958601, -1.132496, -0.870996),
    (-0.01390627, 0.7176763, 948.6015, 0.584904, 0.738298, 0.598593),
)
EDGE = (
    (-0.01829388, 0.4318263, 523.8404, 0.669973, 0.749972, 0.557247),
    (0.172048, 0.6505378, 883.2505, 0.766229, 0.877171, 0.719264),
)


def uncond_config(single: bool = False) -> Config:
    """CIFAR-10's config at the size of the golden rows."""
    name = 'ablation/arch_single_decoder' if single else 'adm_uncond_cifar10'
    cfg = load_config(str(CONFIGS / f'{name}.py'))
    cfg.model.head.update(
        base_channels=64, channel_mult=(1, 2), num_blocks=1, attention_levels=(1,)
    )
    return cfg


def uncond_weights(single: bool = False, **changes) -> dict:
    """What the authors' diffusion class has as its state dict."""
    settings = dict(uncond_config(single).model.head, augment_dim=9)
    head = MODELS.build(settings | changes)
    names = unconditional_names(sides=(16, 8), num_blocks=1)
    if isinstance(head, NCSNppUNet):
        names = {k: v for k, v in names.items() if not k.startswith('model.out_')}
    weights = authors_weights(head, names, frequencies='freqs')
    loss = {'perceptual_loss.net.slice1.0.weight': torch.zeros(3)}
    return {f'model.{key}': v for key, v in weights.items()} | loss


def edge_config() -> Config:
    """DiffusionEdge's config at the size of the golden rows; Swin as it is."""
    cfg = load_config(str(CONFIGS / 'edge_diffusionedge_bsds.py'))
    cfg.model.head.update(base_channels=16)
    cfg.model.first_stage.update(base_channels=32, num_blocks=1)
    return cfg


def edge_weights(swin: nn.Module, stage: KLAutoencoder) -> dict:
    """What DiffusionEdge's class has as its state dict, both stages in it."""
    gate = dict(type=FourierFilter, size=(2, 2))
    head = MODELS.build(dict(edge_config().model.head, gate=gate))
    names = relation_names(levels=4)
    weights = {f'model.{k}': v for k, v in authors_weights(head, names).items()}
    weights |= of_their_class(swin, stage)
    unused = ('first_stage_model.loss.logvar', 'betas', 'posterior_variance')
    weights |= dict.fromkeys(unused, torch.zeros(10))
    return weights | dict(scale_factor=torch.tensor(0.3))


def of_their_class(swin: nn.Module, stage: KLAutoencoder) -> dict:
    """What surrounds the U-Net of a conditional latent model."""
    weights = {}
    for key, value in swin.state_dict().items():
        # Their network is torchvision's, cut in two.
        first, *rest = key.removeprefix('features.').split('.')
        if key.startswith('features.0.'):
            key = '.'.join(['first_coonv', *rest])
        elif key.startswith('features.'):
            key = '.'.join(['features', str(int(first) - 1), *rest])
        weights[f'model.init_conv_mask.{key}'] = value
    for key, value in stage.state_dict().items():
        if key != 'scale_factor':
            weights[f'first_stage_model.{key}'] = value
    return weights


def load(target: Path) -> ADM:
    """The model of the written config with the written weights."""
    model = MODELS.build(Config.fromfile(target.with_suffix('.py')).model)
    load_weights(model, target)
    model.eval()
    return model


@pytest.fixture
def trainer_file(tmp_path):
    """Write a file as the authors' trainers do: raw and averaged weights."""

    def write(weights: dict, **entries) -> Path:
        raw = {key: torch.zeros_like(value) for key, value in weights.items()}
        ema = {f'ema_model.{key}': value for key, value in weights.items()}
        ema |= {f'online_model.{key}': value for key, value in raw.items()}
        path = tmp_path / 'model-7.pt'
        content = dict(step=7, model=raw | entries, ema=ema | {'initted': True})
        content['ema'] |= {f'ema_model.{key}': value for key, value in entries.items()}
        torch.save(content, path)
        return path

    return write


@pytest.mark.parametrize(
    ('generation', 'single', 'golden'),
    [
        ('adm_public', False, ADM_UNCOND),
        ('adm_public', True, ADM_UNCOND_SINGLE),
        ('ddm_public', False, DDM_UNCOND),
    ],
)
def test_unconditional_models(generation, single, golden, trainer_file, tmp_path):
    source = trainer_file(uncond_weights(single), eps=torch.tensor(5e-4))
    target = tmp_path / 'converted.safetensors'
    # The number of decoders is the file's.
    cfg = uncond_config()
    convert_authors(source, cfg, target, generation)
    model = load(target)
    with torch.no_grad():
        outputs = model.denoise(X, T, None)
    for output, expected in zip(outputs, golden, strict=True):
        assert_golden(output, expected)
    assert model.process.t_min == pytest.approx(5e-4)
    with safe_open(target, 'pt') as file:
        assert file.metadata()['generation'] == generation
    other = 'ddm_public' if generation == 'adm_public' else 'adm_public'
    convert_authors(source, uncond_config(), tmp_path / 'other.safetensors', other)
    with pytest.raises(ValueError, match='another scaling'):
        load_weights(model, tmp_path / 'other.safetensors')


def test_noise_and_skip_tuning_are_given(trainer_file, tmp_path):
    """As of the authors' ``_sd_3``; the file tells neither."""
    source = trainer_file(uncond_weights(single=True), eps=torch.tensor(1e-3))
    cfg, target = uncond_config(), tmp_path / 'converted.safetensors'
    cfg.model.head.skip_scale = 0.5
    convert_authors(source, cfg, target, 'adm_public', noise='linear')
    with torch.no_grad():
        outputs = load(target).denoise(X, T, None)
    for output, expected in zip(outputs, ADM_UNCOND_TUNED, strict=True):
        assert_golden(output, expected)


def test_their_ncsnpp_is_known_by_its_weights(trainer_file, tmp_path):
    weights = uncond_weights(type=NCSNppUNet, base_channels=32)
    source = trainer_file(weights, eps=torch.tensor(1e-3))
    cfg, target = uncond_config(), tmp_path / 'converted.safetensors'
    cfg.model.head.base_channels = 32
    convert_authors(source, cfg, target, 'adm_public')
    with torch.no_grad():
        outputs = load(target).denoise(X, T, None)
    for output, expected in zip(outputs, ADM_SONG, strict=True):
        assert_golden(output, expected)


def test_diffusion_edge_with_swin_and_first_stage(tmp_path):
    from torchvision.models import swin_b

    torch.manual_seed(0)
    swin = swin_b().eval()
    stage = KLAutoencoder(in_channels=1, base_channels=32, num_blocks=1).eval()
    # A published file has no average.
    source, target = tmp_path / 'bsds.pt', tmp_path / 'edges.safetensors'
    torch.save(dict(model=edge_weights(swin, stage)), source)
    convert_authors(source, edge_config(), target, 'diffusion_edge')
    with safe_open(target, 'pt') as file:
        assert file.metadata()['averaged'] == 'False'
    model = load(target)

    features = [
        waves((2, 128 * 2**i, 16 // 2**i, 16 // 2**i), 0.3 + 0.1 * i, 0.2 * i)
        for i in range(4)
    ]
    image, latent = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        for output, expected in zip(model.denoise(X, T, features), EDGE, strict=True):
            assert_golden(output, expected)
        deepest = swin.features(image).permute(0, 3, 1, 2)
        torch.testing.assert_close(
            model.encode_condition(image)[-1], deepest, atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(
            model.first_stage.decode(latent), stage.decode(latent / 0.3)
        )


def test_diffusion_edge_also_predicts_whole_images():
    path = CONFIGS / 'edge_diffusionedge_bsds.py'
    windows = load_config(str(path)).model.test_cfg
    assert (windows.mode, windows.crop, windows.stride) == ('slide_chains', 320, 240)
    # As the config's first comment and the page on published weights say.
    whole = load_config(str(path), {'model.test_cfg': None})
    with torch.device('meta'):
        model = MODELS.build(whole.model)
    assert isinstance(model.sampling_mode, WholeImage)


def test_a_conditional_model_of_one_decoder(trainer_file, tmp_path):
    """Two decoders in the config; the file has one, and decides."""
    from torchvision.models import swin_t

    cfg = load_config(str(CONFIGS / 'authors' / 'saliency_duts.py'))
    cfg.model.condition_encoder.update(arch='tiny')
    widths = (96, 192, 384, 768)
    cfg.model.head.update(base_channels=16, condition_channels=widths)
    # The file has none.
    cfg.model.head.gate = dict(type='FourierFilter', size=(10, 10))
    cfg.model.first_stage.update(base_channels=32, num_blocks=1)
    head = SingleDecoderRelationUNet(base_channels=16, condition_channels=widths).eval()
    theirs = authors_weights(head, relation_names(levels=4))
    head.load_state_dict(relation_keys(theirs))
    stage = KLAutoencoder(in_channels=1, base_channels=32, num_blocks=1)
    others = of_their_class(swin_t(), stage) | dict(scale_factor=torch.tensor(0.25))
    weights = {f'model.{key}': value for key, value in theirs.items()} | others
    source = trainer_file(weights, eps=torch.tensor(1e-4))
    target = tmp_path / 'saliency.safetensors'
    convert_authors(source, cfg, target, 'adm_public')
    assert target.stat().st_mode & 0o777 == source.stat().st_mode & 0o777

    model = load(target)
    assert model.process.t_min == 1e-4
    features = [torch.randn(2, width, 8, 8) for width in widths]
    with torch.no_grad():
        phi, eps = model.denoise(X, T, features)
        (raw,) = head(X, T.log(), features)
    t = T.view(-1, 1, 1, 1)
    torch.testing.assert_close(phi, (t - 1) * X + t / (1 + t).sqrt() * raw)
    torch.testing.assert_close(eps, (X - (t - 1) * phi) / t.sqrt())


def test_raw_weights_are_taken_on_demand(trainer_file, tmp_path):
    source = trainer_file(uncond_weights(), eps=torch.tensor(1e-3))
    target = tmp_path / 'raw.safetensors'
    convert_authors(source, uncond_config(), target, 'adm_public', averaged=False)
    assert not any(p.any() for p in load(target).parameters())


@pytest.mark.parametrize(
    ('entries', 'generation', 'message'),
    [
        (dict(eps=torch.tensor(1e-3)), 'diffusion_edge', 'has a smallest time "eps"'),
        ({}, 'adm_public', 'lacks a smallest time "eps"'),
        ({}, 'edm', "generation='edm'"),
        (
            dict(eps=torch.tensor(1e-3), extra=torch.zeros(1)),
            'adm_public',
            '1 that .* for instance extra',
        ),
    ],
)
def test_another_generation_or_another_program_is_refused(
    entries, generation, message, trainer_file, tmp_path
):
    source = trainer_file(uncond_weights(), **entries)
    with pytest.raises(ValueError, match=message):
        convert_authors(source, uncond_config(), tmp_path / 'x.safetensors', generation)


@pytest.mark.parametrize('generation', ['ddm_public', 'diffusion_edge'])
def test_linear_noise_is_of_one_generation(generation, tmp_path):
    with pytest.raises(ValueError, match=f"const_2 .* generation='{generation}'"):
        convert_authors(
            tmp_path / 'model.pt',
            uncond_config(),
            tmp_path / 'x.safetensors',
            generation,
            noise='linear',
        )


def test_a_first_stage_without_its_scale_is_refused(tmp_path):
    source, cfg = tmp_path / 'bsds.pt', load_config(str(CONFIGS / 'adm_edge_bsds.py'))
    keys = ('model.downs.0.0.mlp.1.weight', 'first_stage_model.encoder.conv_in.bias')
    torch.save(dict(model=dict.fromkeys(keys, torch.zeros(1))), source)
    with pytest.raises(ValueError, match='no scale_factor'):
        convert_authors(source, cfg, tmp_path / 'x.safetensors', 'diffusion_edge')


def test_the_config_that_was_given_is_not_replaced(trainer_file, tmp_path):
    source = trainer_file(uncond_weights(), eps=torch.tensor(1e-3))
    uncond_config().dump(tmp_path / 'mine.py')
    cfg = Config.fromfile(tmp_path / 'mine.py')
    with pytest.raises(ValueError, match=r'replace the given config: .*mine\.py'):
        convert_authors(source, cfg, tmp_path / 'mine.safetensors', 'adm_public')


@pytest.mark.parametrize('failure', [KeyboardInterrupt, OSError])
def test_weights_and_config_are_written_both_or_neither(
    failure, trainer_file, tmp_path, monkeypatch
):
    def spoilt(tensors, path, metadata):
        Path(path).write_bytes(b'half of it')
        raise failure

    monkeypatch.setattr('safetensors.torch.save_file', spoilt)
    source = trainer_file(uncond_weights(), eps=torch.tensor(1e-3))
    target = tmp_path / 'converted.safetensors'
    with pytest.raises(failure):
        convert_authors(source, uncond_config(), target, 'adm_public')
    assert list(tmp_path.iterdir()) == [source]


def test_another_task_is_refused(trainer_file, tmp_path):
    source = trainer_file(uncond_weights(), eps=torch.tensor(1e-3))
    cfg = load_config(str(CONFIGS / 'adm_sr_div2k.py'))
    with pytest.raises(ValueError, match='unconditional model, but the model of the'):
        convert_authors(source, cfg, tmp_path / 'x.safetensors', 'adm_public')
    cfg = load_config(str(CONFIGS / 'adm_uncond_celebahq256.py'))
    with pytest.raises(ValueError, match='no first stage'):
        convert_authors(source, cfg, tmp_path / 'x.safetensors', 'adm_public')
    cfg = load_config(str(CONFIGS.parent / 'autoencoder_kl' / 'kl_f4_demo.py'))
    with pytest.raises(ValueError, match='the model of the config is'):
        convert_authors(source, cfg, tmp_path / 'x.safetensors', 'adm_public')


def test_another_size_is_refused_with_both_sides(trainer_file, tmp_path):
    source = trainer_file(uncond_weights(), eps=torch.tensor(1e-3))
    cfg = uncond_config()
    cfg.model.head.base_channels = 32
    with pytest.raises(ValueError, match=r'model \(.*32.*\), file \(.*64.*\)'):
        convert_authors(source, cfg, tmp_path / 'x.safetensors', 'adm_public')


def test_a_foreign_file_is_refused(tmp_path):
    torch.save({'conv.weight': torch.zeros(3)}, tmp_path / 'foreign.pt')
    with pytest.raises(ValueError, match="Not a checkpoint of the authors' trainers"):
        convert_authors(
            tmp_path / 'foreign.pt',
            uncond_config(),
            tmp_path / 'x.safetensors',
            'adm_public',
        )
