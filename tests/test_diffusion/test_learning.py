"""Algorithms 1 and 2 together: a small network learns a distribution in seconds."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    OptimalWeighting,
    Preconditioner,
    UniformSigmaGrid,
)
from tests.oracles import NoiseStream, draw_phi

MEANS = torch.tensor([[-0.7, -0.5], [0.8, -0.4], [0.1, 0.7]])
FRACTIONS = torch.tensor([0.2, 0.3, 0.5])
SPREAD = 0.08


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread: on a busy machine several threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TwoHeads(nn.Module):
    """An image as two channels of one pixel; one small head for phi, one for eps."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(nn.Linear(6, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU()),
        )
        self.heads = nn.Linear(width, 4)

    def forward(self, x: Tensor, c_noise: Tensor) -> tuple[Tensor, Tensor]:
        t = c_noise.exp().expand(len(x))
        time = [c_noise.expand(len(x)) / 4, t, t.sqrt(), (1 - t).sqrt()]
        features = torch.cat([x.flatten(1), torch.stack(time, dim=1)], dim=1)
        out = self.heads(self.trunk(features))[:, :, None, None]
        return out[:, :2], out[:, 2:]


def draw_images(count: int) -> Tensor:
    """A mixture of three Gaussians, (N, 2, 1, 1)."""
    chosen = torch.multinomial(FRACTIONS, count, replacement=True)
    points = MEANS[chosen] + SPREAD * torch.randn(count, 2)
    return points[:, :, None, None]


def train(process: ADMProcess, preconditioner: Preconditioner, steps: int) -> TwoHeads:
    """Algorithm 1."""
    network, weighting = TwoHeads(), OptimalWeighting()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        x0 = draw_images(512)
        t = process.t_min + (1 - process.t_min) * torch.rand(len(x0))
        phi, eps = draw_phi(process, x0), torch.randn_like(x0)
        x_t = process.diffuse(x0, phi, eps, t)

        phi_theta, eps_theta = preconditioner(network, process, x_t, t)
        w_phi, w_eps = weighting(t, preconditioner.coefficients(process, t))
        loss = (w_phi * (phi_theta - phi).square().mean((2, 3))).mean()
        loss = loss + (w_eps * (eps_theta - eps).square().mean((1, 2, 3))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


@torch.no_grad()
def sample(
    network: TwoHeads, process: ADMProcess, preconditioner: Preconditioner, **sampler
) -> Tensor:
    """4,000 points in ten steps.

    Uniform in the noise level: with steps uniform in t even the exact conditional means
    of this mixture miss its means by 0.09.
    """

    def denoise(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        return preconditioner(network, process, x_t.float(), torch.tensor([t]))

    noise = NoiseStream(4000, 2, 1, 1)
    images = ADMSampler(10, UniformSigmaGrid(), **sampler)(denoise, process, noise)
    return images.flatten(1).float()


def test_ten_steps_recover_means_and_weights_of_a_mixture() -> None:
    torch.manual_seed(0)
    process, preconditioner = ADMProcess(t_min=1e-3), Preconditioner(0.6)
    network = train(process, preconditioner, steps=2000)

    for eta in (0.0, 1.0):
        points = sample(network, process, preconditioner, eta=eta)
        distance, nearest = torch.cdist(points, MEANS).min(dim=1)
        assert (distance < 3 * SPREAD).float().mean() > 0.85
        for k, (mean, fraction) in enumerate(zip(MEANS, FRACTIONS, strict=True)):
            own = points[nearest == k]
            torch.testing.assert_close(own.mean(0), mean, rtol=0, atol=0.06)
            assert abs(len(own) / len(points) - fraction) < 0.04
