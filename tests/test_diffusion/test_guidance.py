"""Autoguidance: the strong network moves away from the weak one."""

import pytest
import torch

from mmadm.diffusion import ADMSampler, guide
from tests.oracles import NoiseStream, PerfectDenoiser, make_images, make_process

PROCESS = make_process()


def denoiser(seed: int) -> PerfectDenoiser:
    return PerfectDenoiser(PROCESS, make_images(seed=seed))


def test_scale_of_one_is_the_strong_network_alone() -> None:
    x_t = NoiseStream()()
    for one, other in zip(
        guide(denoiser(1), denoiser(2), 1.0)(x_t, 0.4), denoiser(1)(x_t, 0.4)
    ):
        torch.testing.assert_close(one, other)


def test_image_is_extrapolated_from_the_weak_to_the_strong_network() -> None:
    """Both networks know one image each; their guided images lie on one line."""
    strong, weak = denoiser(1), denoiser(2)
    image = ADMSampler(5, correct=False)(
        guide(strong, weak, 2.5), PROCESS, NoiseStream()
    )
    expected = weak.x0 + 2.5 * (strong.x0 - weak.x0)
    torch.testing.assert_close(image, expected)
    assert strong.times == weak.times


@pytest.mark.parametrize('scale', [0.99, float('nan')])
def test_scale_below_one_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=f'scale={scale}'):
        guide(denoiser(1), denoiser(2), scale)
