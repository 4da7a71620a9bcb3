"""The small configs: regression beside diffusion, and fine-tuning."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from mmadm.apis import load_config
from mmadm.checkpoints import find_weights, load_published
from mmadm.datasets.conversion import draw_crack_pairs
from mmadm.registry import MODELS
from mmadm.structures import DiffusionSample

SMALL = Path(__file__).parents[2] / 'configs' / 'adm' / 'small'
REGRESSIONS = sorted(SMALL.glob('regression_*.py'))


def load_without_imagenet(path: Path):
    cfg = load_config(str(path))
    if 'weights' in cfg.model.condition_encoder:
        cfg.model.condition_encoder.weights = None
    return cfg


def draw_batch(cfg) -> dict:
    """Two samples with random images and conditions."""
    head, encoder = cfg.model.head, cfg.model.condition_encoder
    # 48 channels are three colours in patches of 4 x 4.
    channels = head.in_channels // cfg.model.first_stage.patch**2
    size = 64 // cfg.model.data_preprocessor.get('condition_scale', 1)
    draw = torch.Generator().manual_seed(0)
    shapes = dict(
        image=(channels, 64, 64), condition=(encoder.get('in_channels', 3), size, size)
    )
    inputs = {
        key: list(torch.randint(256, (2, *shape), generator=draw).byte())
        for key, shape in shapes.items()
    }
    meta = [dict(sample_idx=i, seed=i, target_shape=(64, 64)) for i in range(2)]
    return dict(inputs=inputs, data_samples=[DiffusionSample(metainfo=m) for m in meta])


@pytest.mark.parametrize('path', REGRESSIONS, ids=lambda path: path.stem)
def test_regression_trains_the_image_decoder_at_time_1(path):
    cfg = load_without_imagenet(path)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    data = model.data_preprocessor(draw_batch(cfg), training=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    history = []
    for _ in range(4):
        losses = model(**data, mode='loss')
        # One bucket of times, whose upper border is 1.
        assert {key for key in losses if '_t' in key} == {
            'image_mse_t1',
            'noise_mse_t1',
        }
        assert losses['loss_noise'] < 1e-9
        loss, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert model.sampler.num_steps == 1
    assert history[-1] < history[0]


@pytest.fixture
def fine_tune(tmp_path):
    """Train finetune_cracks for an iteration of learning rate 0; returns the loss."""
    data = tmp_path / 'cracks'
    draw_crack_pairs(data, num_train=2, num_test=1, size=64)

    def run(load_from: str | None) -> tuple[torch.nn.Module, float]:
        cfg = load_config(str(SMALL / 'finetune_cracks.py'))
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
        cfg.train_dataloader.dataset.data_root = str(data / 'train')
        cfg.train_dataloader.dataset.pipeline[1].size = 64
        cfg.train_dataloader.batch_size = 2
        cfg.train_cfg.max_iters = 1
        cfg.optim_wrapper.optimizer.lr = cfg.param_scheduler.eta_min = 0.0
        cfg.default_hooks.checkpoint = None
        cfg.load_from = load_from
        cfg.work_dir = str(tmp_path / 'work')
        cfg.experiment_name = f'{tmp_path.name}_{load_from}'
        runner = Runner.from_cfg(cfg)
        model = runner.train()
        return model, runner.message_hub.get_scalar('train/loss').current()

    return run


def test_fine_tuning_begins_from_the_model_in_the_box(fine_tune):
    path = find_weights('adm_edge_small')
    model, loss = fine_tune('adm_edge_small')
    for key, value in load_published(path)[1].items():
        assert torch.equal(model.state_dict()[key], value), key
    assert fine_tune(str(path))[1] == loss
    assert loss < fine_tune(None)[1] / 2
