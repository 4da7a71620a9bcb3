"""The paper's networks at toy width: their graphs predict as they do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmadm.apis import load_config
from mmadm.deployment import export_model
from mmadm.models import ConvEncoder, DualDecoderUNet, PixelStage
from tests.conftest import TOY_SWIN, draw_photo
from tests.test_configs.test_tasks import narrow

from .test_export import CONFIGS, check_equal, predict, random_source, without_onnx

pytestmark = without_onnx


def toy(name: str) -> Config:
    """A config of the paper at toy width, one step."""
    cfg = load_config(str(CONFIGS / f'{name}.py'))
    narrow(cfg)
    cfg.model.test_cfg = dict(num_steps=1)
    return cfg


def relation_head() -> Config:
    """The authors' conditional head, in pixels; latents are in another test."""
    cfg = toy('adm_sr_div2k')
    cfg.model.first_stage = dict(type=PixelStage, patch=4)
    cfg.model.condition_encoder = dict(type=ConvEncoder, channels=(8, 8))
    cfg.model.head.update(
        in_channels=48,
        out_channels=(48, 48),
        channel_mult=(1, 2),
        condition_channels=(8, 8),
        condition_windows=(8, 4),
        feature_windows=(4, 2),
    )
    return cfg


def swin_encoder() -> Config:
    """The paper's condition encoder, with a small head."""
    cfg = toy('adm_edge_bsds')
    cfg.model.first_stage = dict(type=PixelStage, patch=4)
    cfg.model.data_preprocessor.update(size_divisor=32)
    cfg.model.head = dict(
        type=DualDecoderUNet,
        in_channels=16,
        out_channels=(16, 16),
        base_channels=8,
        channel_mult=(1, 1, 1, 1),
        num_blocks=1,
        attention_levels=(),
        condition_channels=TOY_SWIN,
    )
    return cfg


@pytest.mark.parametrize('make', [relation_head, swin_encoder])
def test_a_conditional_network_of_the_paper(make, toy_swin, tmp_path):
    # A graph of fixed size: for any size, their windows make the trace slow.
    cfg, side = make(), 64
    side //= cfg.model.data_preprocessor.get('condition_scale', 1)
    check_graph(cfg, [draw_photo(0, side, side)], tmp_path, window=64)


def test_unconditional_latents(tmp_path):
    cfg = toy('adm_uncond_celebahq256')
    check_graph(cfg, None, tmp_path, num_samples=3)


def check_graph(
    cfg: Config,
    inputs: list[np.ndarray] | None,
    folder: Path,
    window: int | None = None,
    **options: int,
) -> None:
    """The graph predicts like the model."""
    source = random_source(cfg)
    weights = folder / 'weights.pth'
    torch.save(source.checkpoint, weights)
    graph = export_model(source, folder / 'model.onnx', window=window)
    expected = predict(cfg, inputs, weights, **options)
    check_equal(predict(graph, inputs, **options), expected)
