"""Error of samplers against the number of function evaluations (NFE).

The denoiser is exact, the posterior mean of a Gaussian mixture whose centres are the
1,797 handwritten digits of scikit-learn (8x8, in [-1, 1]), so the error is that of the
solver and the grid only. Left panel: Frechet distance between samples and the mixture.
Right panel: distance to the exact end of the probability-flow ODE from the same noise,
where order p has slope p.

    python benchmarks/solver_convergence.py --out work_dirs/solver_convergence.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from mmadm.diffusion import (
    ADMProcess,
    ADMSampler,
    EqualStepGrid,
    MultistepSampler,
    Sampler,
    UniformSigmaGrid,
)
from mmadm.diffusion.samplers import Denoiser, NoiseSource


class GaussianMixture:
    """Exact denoiser for a mixture of equal Gaussians: E[phi | x_t], E[eps | x_t].

    Exact for each attenuation that is linear in its parameters, drawn ones taken as
    normal: given a component, image, drawn parameters and noise are then normal, and
    ``x_t`` is a linear function of them.

    Args:
        centres: the means, (M, C*H*W).
        std: standard deviation around each.
        process: the diffusion process.
    """

    def __init__(self, centres: Tensor, std: float, process: ADMProcess) -> None:
        attenuation = process.attenuation
        # phi of (image, drawn parameters...) is linear: one basis vector for each.
        unit = torch.eye(attenuation.num_params, dtype=centres.dtype)
        self.basis = attenuation.solve(*unit[..., None, None, None])
        drawn = [attenuation.free_variance] * attenuation.num_free
        self.variances = centres.new_tensor([std**2, *drawn])
        self.centres = centres
        self.process = process

    def __call__(self, x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        time = torch.tensor(t, dtype=x_t.dtype)
        b = self.process.noise.std(time)
        gains = self.process.attenuation.integral(self.basis, time).flatten()
        gains[0] += 1
        variance = (gains**2 * self.variances).sum() + b**2

        x = x_t.flatten(1)
        centres = gains[0] * self.centres
        logits = (x @ centres.T - (centres**2).sum(1) / 2) / variance
        mean = logits.softmax(1) @ self.centres
        rest = (x - gains[0] * mean) / variance

        parts = [g * v * rest for g, v in zip(gains, self.variances)]
        parts[0] = parts[0] + mean
        basis = self.basis.flatten(1).T.tolist()
        phi = [sum(w * part for w, part in zip(row, parts)) for row in basis]
        return torch.cat([y.view_as(x_t) for y in phi], 1), (b * rest).view_as(x_t)


class FrechetDistance:
    """Squared Frechet distance of samples to the exact moments of the mixture."""

    def __init__(self, centres: Tensor, std: float) -> None:
        self.mean = centres.mean(0)
        own = std**2 * torch.eye(centres.shape[1], dtype=centres.dtype)
        self.cov = torch.cov(centres.T, correction=0) + own
        values, vectors = torch.linalg.eigh(self.cov)
        self.root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T

    def __call__(self, samples: Tensor) -> float:
        samples = samples.flatten(1)
        cov = torch.cov(samples.T)
        cross = torch.linalg.eigvalsh(self.root @ cov @ self.root).clamp(min=0)
        shift = (samples.mean(0) - self.mean).square().sum()
        return float(shift + cov.trace() + self.cov.trace() - 2 * cross.sqrt().sum())


class DataPrediction2M(Sampler):
    """DPM-Solver++ 2M, for comparison: image prediction, linear in the log-SNR.

    Only for the constant attenuation; the first and the last step are of order 1.
    """

    def reverse(
        self,
        process: ADMProcess,
        denoise: Denoiser,
        x_t: Tensor,
        num_steps: int,
        noise: NoiseSource,
    ) -> Tensor:
        previous = None
        times = torch.tensor(self.times(process, num_steps), dtype=torch.float64)
        signal, b = 1 - times, process.noise.std(times)
        steps = torch.log(signal / b).diff()
        for i, t in enumerate(times[:-1]):
            x0 = target = process.image(denoise(x_t, float(t))[0])
            if i > 0 and times[i + 1] > 0:
                target = x0 + steps[i] / steps[i - 1] / 2 * (x0 - previous)
            previous = x0
            x_t = b[i + 1] / b[i] * (x_t - signal[i] * target) + signal[i + 1] * target
        return x_t


def digits() -> Tensor:
    """The 1,797 digits, (1797, 64), in [-1, 1], float64."""
    return torch.from_numpy(load_digits().data) / 8 - 1


def source(seed: int, count: int) -> NoiseSource:
    """Source of standard normal noise (count, 1, 8, 8) with one generator."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 1, 8, 8)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


def rules() -> dict[str, Sampler]:
    """The rows of the table."""

    def order(p: int, corrector: bool = False, **options) -> Sampler:
        options = {'grid': UniformSigmaGrid(), **options}
        return MultistepSampler(order=p, corrector=corrector, **options)

    equal, sigma = EqualStepGrid(), UniformSigmaGrid()
    return {
        'uniform t, Algorithm 2': ADMSampler(grid=equal),
        'uniform t, deterministic': ADMSampler(grid=equal, eta=0.0),
        'uniform t, order 2': order(2, grid=equal),
        'Algorithm 2': ADMSampler(grid=sigma),
        'deterministic': ADMSampler(grid=sigma, eta=0.0),
        'DPM-Solver++ 2M': DataPrediction2M(grid=sigma),
        'order 2': order(2),
        'order 2 + corrector': order(2, True),
        'order 2 + corrector, log-SNR': order(2, True, variable='log_snr'),
        'order 2 + corrector, eta 1': order(2, True, eta=1.0),
        'order 3': order(3),
        'order 3 + corrector': order(3, True),
    }


# Lines of both panels and their style; the table has further rows.
LINES = {
    'uniform t, Algorithm 2': dict(color='0.6', ls='--', marker='o'),
    'Algorithm 2': dict(color='0.35', ls='-', marker='o'),
    'deterministic': dict(color='#4477aa', ls='-', marker='s'),
    'order 2': dict(color='#ee8866', ls='--', marker='^'),
    'order 2 + corrector': dict(color='#cc3311', ls='-', marker='^'),
    'order 3': dict(color='#66ccaa', ls='--', marker='D'),
    'order 3 + corrector': dict(color='#117755', ls='-', marker='D'),
}


def frechet_table(args: argparse.Namespace) -> dict[str, list[float]]:
    """Frechet distance of each sampler for each NFE."""
    process, centres = ADMProcess(), digits()
    network = GaussianMixture(centres, args.std, process)
    distance = FrechetDistance(centres, args.std)

    def score(sampler: Sampler, steps: int) -> float:
        return distance(
            sampler(network, process, source(args.seed, args.samples), steps)
        )

    return {
        name: [score(sampler, steps) for steps in args.steps]
        for name, sampler in rules().items()
    }


def ode_errors(args: argparse.Namespace) -> dict[str, list[float]]:
    """Root mean square distance to the end of the ODE, for deterministic samplers."""
    process = ADMProcess()
    network = GaussianMixture(digits(), args.smooth_std, process)
    count = args.samples // 10

    def draw(sampler: Sampler, steps: int) -> Tensor:
        return sampler(network, process, source(args.seed, count), steps)

    deterministic = {n: s for n, s in rules().items() if n in LINES and s.eta == 0}
    end = draw(deterministic['order 3 + corrector'], 16 * max(args.ode_steps))
    return {
        name: [float((draw(s, n) - end).square().mean().sqrt()) for n in args.ode_steps]
        for name, s in deterministic.items()
    }


def print_table(title: str, steps: list[int], rows: dict[str, list[float]]) -> None:
    print(f'\n{title}\n')
    print(f'| NFE | {" | ".join(map(str, steps))} |')
    print(f'|---|{"--:|" * len(steps)}')
    for name, values in rows.items():
        print(f'| {name} | {" | ".join(f"{v:.3g}" for v in values)} |')


def plot(
    args: argparse.Namespace, frechet: dict[str, list], errors: dict[str, list]
) -> None:
    """Two panels, log-log: Frechet distance, and error of the ODE."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout='constrained')
    for name, style in LINES.items():
        style = dict(style, ms=5, lw=1.6)
        left.plot(args.steps, frechet[name], label=name, **style)
        if name in errors:
            right.plot(args.ode_steps, errors[name], **style)

    left.set(title='Samples against the mixture', ylabel='Frechet distance')
    right.set(title='Against the exact ODE, smooth mixture', ylabel='RMS error')
    for p, name in enumerate(('deterministic', 'order 2', 'order 3'), 1):
        draw_slope(right, args.ode_steps, errors[name], p)
    for axes, steps in ((left, args.steps), (right, args.ode_steps)):
        axes.set(xscale='log', yscale='log', xlabel='NFE')
        axes.set_xticks(steps, map(str, steps))
        axes.minorticks_off()
        axes.grid(color='0.93')
        axes.spines[['top', 'right']].set_visible(False)
    levels = [0.15, 0.2, 0.3, 0.5, 0.8]
    left.set_yticks(levels, map(str, levels))
    figure.legend(
        loc='outside right center',
        frameon=False,
        title='grid uniform in sigma\nunless stated otherwise',
    )

    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=150)
    print(f'\nPlot: {args.out}')


def draw_slope(axes: plt.Axes, steps: list[int], errors: list[float], p: int) -> None:
    """Draw a dotted line of slope p through the last point."""
    guide = [errors[-1] * (steps[-1] / n) ** p for n in steps[-3:]]
    axes.plot(steps[-3:], guide, color='0.5', ls=':', lw=1.2, zorder=0)
    axes.annotate(
        f'slope {p}',
        (steps[-1], guide[-1]),
        (6, -3),
        color='0.4',
        textcoords='offset points',
        fontsize=9,
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--steps', type=int, nargs='+', default=[5, 8, 10, 20])
    parser.add_argument('--ode-steps', type=int, nargs='+', default=[4, 8, 16, 32, 64])
    parser.add_argument('--samples', type=int, default=1000, help='samples per score')
    parser.add_argument(
        '--std', type=float, default=0.15, help='standard deviation around each digit'
    )
    parser.add_argument(
        '--smooth-std', type=float, default=1.0, help='the same in the right panel'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/solver_convergence.png')
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    frechet = frechet_table(args)
    print_table('Frechet distance', args.steps, frechet)
    errors = ode_errors(args)
    print_table('RMS error against the ODE', args.ode_steps, errors)
    plot(args, frechet, errors)


if __name__ == '__main__':
    main()
