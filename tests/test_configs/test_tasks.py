"""The six benchmarks: sizes of the paper, and each at toy width on its own data."""

import functools
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmadm.apis import load_config
from mmadm.apis.complexity import image_size
from mmadm.evaluation import InceptionFeatures, InceptionMetrics, measure_reference
from mmadm.models import (
    KLAutoencoder,
    RelationUNet,
    SingleDecoderRelationUNet,
    SwinEncoder,
)
from mmadm.registry import MODELS
from tests.conftest import TOY_SWIN, draw_photo

from . import layouts

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'adm'

# Config: parameters of the head, as counted of the authors' networks; image side,
# batch, learning rates and iterations of Table I; smallest time.
TABLE_I = {
    'adm_uncond_cifar10': (150_134_896, 32, 128, (1e-4, 1e-5), 800_000, 1e-3),
    'adm_uncond_celebahq256': (96_120_592, 256, 48, (1e-4, 1e-5), 400_000, 1e-3),
    'adm_inpaint_celebahq256': (157_620_832, 256, 48, (4e-5, 4e-6), 400_000, 1e-4),
    'adm_sr_div2k': (137_020_368, 512, 12, (5e-5, 5e-6), 200_000, 1e-4),
    'adm_saliency_duts': (137_020_368, 384, 16, (5e-5, 5e-6), 200_000, 1e-4),
    'adm_edge_bsds': (137_020_368, 320, 16, (5e-5, 5e-6), 200_000, 1e-4),
}
# Part of a config's name: its data, and what its test reports at least.
TASKS = {
    # Toys score what needs no download.
    'cifar10_toy': (layouts.cifar10, 'frechet_adm_edge_small3'),
    'inpaint_toy': (layouts.celeba_hq, 'frechet_paired_adm_edge_small3'),
    'celebahq256_toy': (layouts.celeba_hq, 'frechet_adm_edge_small3'),
    'sr_toy': (layouts.sr_toy, 'psnr_y_b4'),
    'cifar10': (layouts.cifar10, 'fid3_random_weights'),
    'inpaint': (layouts.celeba_hq, 'fid_paired3_random_weights'),
    'celebahq256': (layouts.celeba_hq, 'fid3_random_weights'),
    'div2k': (layouts.div2k, 'psnr_rgb'),
    'duts': (layouts.duts, 'mae'),
    'saliency': (layouts.duts, 'mae'),
    'bsds': (layouts.bsds500, 'ods_seval'),
    'edge': (layouts.bsds500, 'ods_seval'),
}
ABLATIONS = [
    path
    for path in sorted((CONFIGS / 'ablation').glob('*.py'))
    if path.stem.endswith(('div2k', 'duts', 'bsds', 'celebahq256'))
]


def count_parameters(module: dict) -> int:
    with torch.device('meta'):
        return sum(p.numel() for p in MODELS.build(module).parameters())


@pytest.mark.parametrize('name', TABLE_I)
def test_config_has_the_numbers_of_table_i(name):
    parameters, side, batch, (lr, lr_min), iterations, t_min = TABLE_I[name]
    cfg = load_config(str(CONFIGS / f'{name}.py'))
    assert image_size(cfg) == (side, side)
    assert count_parameters(cfg.model.head) == parameters
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == batch
    assert (cfg.optim_wrapper.optimizer.lr, cfg.param_scheduler.eta_min) == (lr, lr_min)
    assert cfg.train_cfg.max_iters == iterations
    assert cfg.model.process.t_min == t_min


def test_diffusion_edge_has_the_size_of_its_weights():
    cfg = load_config(str(CONFIGS / 'edge_diffusionedge_bsds.py'))
    own = sum(map(count_parameters, (cfg.model.head, cfg.model.condition_encoder)))
    # With torchvision's last norm and classifier, which nothing uses.
    assert own + 87_768_224 - 86_741_176 == 224_910_438


@pytest.mark.parametrize('path', ABLATIONS, ids=lambda path: path.stem)
def test_ablation_differs_from_its_task_in_the_model_alone(path):
    parent = path.read_text().split('from ..')[1].split(' import')[0]
    own = load_config(str(path)).to_dict()
    parent = load_config(str(CONFIGS / f'{parent}.py')).to_dict()
    assert own.pop('model') != parent.pop('model')
    assert own == parent


def narrow(cfg: Config) -> None:
    """Toy width and size, one step."""
    model = cfg.model
    if model.get('first_stage', {}).get('type') is KLAutoencoder:
        model.first_stage.update(
            base_channels=32, channel_mult=(1, 1, 1), num_blocks=1, checkpoint=None
        )
    encoder = model.get('condition_encoder')
    if encoder and encoder.type is SwinEncoder:
        encoder.update(arch='tiny', weights=None)  # the fixture toy_swin's
        model.head.update(condition_channels=TOY_SWIN)
    relation = model.head.type in (RelationUNet, SingleDecoderRelationUNet)
    model.head.update(base_channels=16 if relation else 8)
    if not relation and not encoder:
        model.head.update(channel_mult=(1, 2), num_blocks=1, attention_levels=(1,))
    model.test_cfg = dict(num_steps=2)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=2, num_workers=0)
        loader.pop('persistent_workers', None)
        if 'num_samples' in loader.dataset:
            side = min(loader.dataset.get('target_shape', (32,))[0], 64)
            loader.dataset.update(num_samples=3, target_shape=(side, side))
        for transform in loader.dataset.get('pipeline', ()):
            for key in ('size', 'crop_size'):
                if key in transform:
                    transform[key] = (64, 64)
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    cfg.default_hooks.pop('ema')


def task_of(name: str) -> tuple:
    """The entry of ``TASKS``."""
    return next(task for part, task in TASKS.items() if part in name)


@pytest.fixture(scope='module')
def statistics(tmp_path_factory) -> Path:
    """Of three images of several sizes, by a network of random weights."""
    path = tmp_path_factory.mktemp('statistics') / 'pictures.npz'
    pictures = [draw_photo(i, 32 + i, 32) for i in range(3)]
    measure_reference(pictures, 3, InceptionFeatures('random')).save(path)
    return path


@pytest.fixture
def run(tmp_path, statistics, monkeypatch, toy_swin):
    """Train one step with validation, then test: the scores."""
    return functools.partial(_run, tmp_path, statistics, monkeypatch)


def _run(tmp_path, statistics, monkeypatch, name: str, real: Path | None) -> dict:
    data = tmp_path / 'data'
    data.mkdir()
    task_of(name)[0](data, real)
    monkeypatch.chdir(tmp_path)
    cfg = load_config(str(CONFIGS / f'{name}.py'))
    narrow(cfg)
    evaluators = cfg.test_evaluator
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if evaluator.type is InceptionMetrics:
            evaluator.update(weights='random', reference=str(statistics))
            evaluator.update(reference_count=3)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.experiment_name = f'{tmp_path.parent.name}_{tmp_path.name}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.test()


@pytest.mark.parametrize('name', TABLE_I)
def test_it_trains_and_is_scored_at_toy_width(name, run):
    check(name, run(name, None))


@pytest.mark.parametrize('name', TABLE_I)
def test_it_trains_and_is_scored_on_real_data(name, run, data_root):
    check(name, run(name, data_root))


@pytest.mark.parametrize(
    'name',
    [
        *(path.stem for path in sorted(CONFIGS.glob('*_toy.py'))),
        'edge_diffusionedge_bsds',
        *(f'ablation/{path.stem}' for path in ABLATIONS),
        *(
            f'authors/{path.stem}'
            for path in sorted((CONFIGS / 'authors').glob('*.py'))
        ),
    ],
)
def test_its_relatives_train_and_are_scored(name, run):
    check(name, run(name, None))


def check(name: str, scores: dict) -> None:
    """All numbers, and the paper's score is among them."""
    assert torch.tensor(list(scores.values())).isfinite().all()
    assert any(key.endswith(task_of(name)[1]) for key in scores), scores
    assert 'toy' not in name or not any('fid' in key for key in scores)
