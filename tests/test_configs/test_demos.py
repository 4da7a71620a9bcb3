"""The demos at toy width: one step of training, and predictions of two steps."""

from pathlib import Path

import pytest
import torch

from mmadm.apis import load_config
from mmadm.registry import MODELS
from mmadm.structures import DiffusionSample

ADM = Path(__file__).parents[2] / 'configs' / 'adm'
DEMOS = sorted(ADM.glob('*_demo.py'))


@pytest.mark.parametrize('path', DEMOS, ids=lambda path: path.stem)
def test_it_trains_all_its_weights_and_predicts(path):
    cfg = load_config(str(path))
    cfg.model.condition_encoder.update(channels=(8, 16))
    cfg.model.head.update(base_channels=8, condition_channels=(8, 16))
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for parameter in trained.values():
        torch.nn.init.normal_(parameter, std=0.1)

    shape = dict(dtype=torch.uint8)
    inputs = dict(
        image=[torch.randint(256, (3, 16, 24), **shape) for _ in range(2)],
        condition=[torch.randint(256, (3, 4, 6), **shape) for _ in range(2)],
    )
    samples = [
        DiffusionSample(metainfo=dict(sample_idx=i, target_shape=(16, 24)))
        for i in range(2)
    ]
    data = dict(inputs=inputs, data_samples=samples)
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    model.parse_losses(losses)[0].backward()
    idle = [n for n, p in trained.items() if p.grad is None or not p.grad.any()]
    assert [name for name in idle if not name.endswith('gate.key.bias')] == []

    model.eval().test_cfg['num_steps'] = 2
    for sample in model.test_step(data):
        assert sample.pred_img.shape == (3, 16, 24)
        assert sample.pred_img.dtype == torch.uint8
