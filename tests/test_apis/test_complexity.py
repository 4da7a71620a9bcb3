"""Costs measured on the meta device equal those of the real networks."""

from pathlib import Path

import pytest
import torch

from mmadm.apis import load_config
from mmadm.apis.complexity import (
    Complexity,
    Part,
    image_size,
    measure,
    overview,
    report,
    training_images,
)
from mmadm.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs' / 'adm'


@pytest.mark.parametrize(
    ('config', 'giga_macs'),
    [('adm_uncond_cifar10.py', 24.8), ('ablation/arch_single_decoder.py', 14.4)],
)
def test_a_step_costs_what_was_measured_with_the_authors_networks(config, giga_macs):
    cfg = load_config(str(CONFIGS / config))
    cost = measure(cfg.model, image_size(cfg))
    assert cost.size == (32, 32)
    assert round(cost.sampling_macs(1) / 1e9, 1) == giga_macs
    assert cost.sampling_macs(10) == 10 * cost.sampling_macs(1)


def test_the_condition_encoder_runs_once_per_image():
    cfg = load_config(str(CONFIGS / 'adm_sr_demo.py'))
    cost = measure(cfg.model, (64, 96))
    once = sum(part.macs for part in cost.parts if part.runs == 'once')
    each = sum(part.macs for part in cost.parts if part.runs == 'each')
    assert once > 0
    assert cost.sampling_macs(7) == once + 7 * each


def test_parts_add_up_to_the_model():
    cfg = load_config(str(CONFIGS / 'adm_sr_demo.py'))
    cost = measure(cfg.model, (64, 64))
    model = MODELS.build(cfg.model)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert cost.state_bytes == 20 * cost.parameters  # nothing of it is frozen
    assert 'condition encoder' in report(cost, [5])


def test_training_costs_a_forward_and_two_backward_passes():
    """All but the gradients of the inputs, which the first layers do not need."""
    cfg = load_config(str(CONFIGS / 'adm_sr_demo.py'))
    cost = measure(cfg.model, (64, 64))
    assert 2.8 < cost.training_macs / cost.sampling_macs(1) < 3
    # One operation a second, all of it used: 2 macs seconds for an image.
    days = cost.training_days(10, peak=1.0, utilization=0.5)
    assert days == pytest.approx(2 * cost.training_macs * 10 / 0.5 / 86400)
    assert training_images(cfg) == 8 * 2000
    assert training_images(load_config(str(CONFIGS / 'adm_sr_div2k.py'))) == 2_400_000


def test_frozen_parts_have_no_backward_pass():
    cfg = load_config(str(CONFIGS / 'adm_sr_latent_demo.py'))
    cost = measure(cfg.model, (64, 64))
    macs = {part.name: part.macs for part in cost.parts}
    trained = sum(m for name, m in macs.items() if 'first stage' not in name)
    encoding = macs['first stage, encoding']
    assert 2.5 < (cost.training_macs - encoding) / trained < 3


def test_the_first_stage_is_measured_with_its_images():
    cfg = load_config(str(CONFIGS / 'adm_sr_latent_demo.py'))
    cost = measure(cfg.model, (64, 64))
    decoding = next(part for part in cost.parts if part.name == 'first stage, decoding')
    assert decoding.macs > 0
    assert decoding.trained == 0


def test_activations_equal_those_of_a_real_training_step():
    """Measured again on the CPU, where tensors have addresses."""
    from mmadm.structures import DiffusionSample

    cfg = load_config(str(CONFIGS / 'adm_sr_demo.py'))
    model = MODELS.build(cfg.model).train()
    weights = {p.data_ptr() for p in model.parameters()}
    saved = {}

    def record(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    image, condition = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 16, 16)
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        model.loss(image, condition, [DiffusionSample(metainfo=dict(seed=0))])
    real = sum(storage.nbytes() for storage in saved.values())
    assert measure(cfg.model, (64, 64)).activations == pytest.approx(real, rel=0.1)


def test_the_image_size_is_that_of_the_last_transform_with_a_size():
    cfg = load_config(str(CONFIGS / 'adm_sr_demo.py'))
    assert image_size(cfg) == (64, 64)
    cfg.train_dataloader.dataset.pipeline.insert(2, dict(type='Resize', scale=(48, 32)))
    assert image_size(cfg) == (32, 48)


def test_an_autoencoder_alone_is_refused():
    cfg = load_config(str(CONFIGS.parent / 'autoencoder_kl' / 'kl_f4_demo.py'))
    with pytest.raises(ValueError, match='config has AutoencoderGAN'):
        measure(cfg.model, (64, 64))


def test_an_unknown_image_size_must_be_given():
    cfg = load_config(str(CONFIGS / 'adm_sr_demo.py'))
    cfg.train_dataloader.dataset.pipeline.pop(1)
    with pytest.raises(ValueError, match='--shape HEIGHT WIDTH'):
        image_size(cfg)


ENCODER = Part('encoder', 3_000, 0, 4 * 10**9, 'once')
HEAD = Part('head', 2_000, 2_000, 10**9, 'each')


def test_a_line_has_the_cost_of_a_step_of_sampling_and_of_training():
    large = Complexity((64, 96), (ENCODER, HEAD), 2**30, 0)
    small = Complexity((8, 8), (HEAD,), 2**29, 0)
    title, *lines = overview({'a/large.py': large, 'small.py': small}, 10).split('\n')
    assert len({len(line) for line in (title, *lines)}) == 1
    assert [line.split() for line in lines] == [
        ['a/large.py', '64x96', '5,000', '1.0', '14.0', '1.00'],
        ['small.py', '8x8', '2,000', '1.0', '10.0', '0.50'],
    ]
