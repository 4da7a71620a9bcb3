"""Tables II and VI at toy size: diffusion models in one frame, on real CIFAR-10.

The rows are built from their configs in ``configs/adm/``, with smaller networks of
about the same number of parameters, and trained with the same number of the same images
in the same order. Each is sampled with several samplers, which separates the effect of
the training from that of the sampler; the paper samples all competitors but DDIM by
Euler-Maruyama. A number of steps is always the number of function evaluations (NFE).

ADM is also sampled with coefficients that were fitted to it (``FittedSampler``). Rows
that are finished in the output folder are not repeated.

The score is the Frechet distance to held-out images over the 64 pooled features of a
ResNet-56 that classifies CIFAR-10. It is not the FID: only compare it with itself.

    python benchmarks/table2_small.py --data-root data/cifar10 --weights resnet56.th
    python benchmarks/table2_small.py --rows DDPM "with x0 prediction" "with AIA" ADM
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from cifar_features import pixel_features, resnet_features, statistics
from matplotlib.ticker import NullLocator
from mmengine.optim import OptimWrapper
from PIL import Image
from torch import Tensor

from mmadm.apis import load_config
from mmadm.datasets.cifar10 import BATCHES, FOLDER, read_batch
from mmadm.diffusion import (
    ADMSampler,
    EulerMaruyamaSampler,
    FittedSampler,
    HeunSampler,
    MultistepSampler,
    PredictorCorrectorSampler,
    RhoGrid,
    Sampler,
    SSCSSampler,
    UniformGrid,
)
from mmadm.diffusion.fitted import fit
from mmadm.engine import ClampedPolyLR
from mmadm.evaluation.frechet import frechet_distance
from mmadm.models import (
    ADM,
    DiffusionPreprocessor,
    DualDecoderUNet,
    NCSNppUNet,
    PixelStage,
    TrainableEMA,
)
from mmadm.registry import MODELS, SAMPLERS
from mmadm.structures import DiffusionSample
from mmadm.utils import mix_seed

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'adm'

MARUYAMA = {'Euler-Maruyama': dict(type=EulerMaruyamaSampler)}
ODE = {
    'deterministic': dict(type=ADMSampler, eta=0.0),
    'Heun': dict(type=HeunSampler),
    'multistep': dict(type=MultistepSampler),
}
ADM_RULES = {'Algorithm 2': dict(type=ADMSampler), **ODE}
CORRECTED = {'predictor-corrector': dict(type=PredictorCorrectorSampler)}
SPLITTING = {'symmetric splitting': dict(type=SSCSSampler)}


class Row(NamedTuple):
    """A row of the tables."""

    config: str
    #: Samplers by name; each has the grid of the row, or its own where that is None.
    samplers: dict[str, dict]
    grid: dict | None = None
    #: Width as a fraction of --width. Two decoders at full width have 1.8 times the
    #: parameters of one.
    width: float = 1.0
    #: Whether samplers of --fitted-steps steps are fitted to the model as well.
    fitted: bool = False


ROWS = {
    # Table II; DDPM with deterministic steps is DDIM.
    'DDPM': Row('ablation/ddpm.py', MARUYAMA | ODE),
    'SDE, VP': Row('ablation/sde_vp_cifar10.py', MARUYAMA | CORRECTED),
    'SDE, VE': Row(
        'ablation/sde_ve_cifar10.py', MARUYAMA | CORRECTED | ODE, dict(type=UniformGrid)
    ),
    'CLD': Row('ablation/cld_cifar10.py', MARUYAMA | SPLITTING),
    'EDM': Row('ablation/edm_cifar10.py', MARUYAMA | ODE, dict(type=RhoGrid)),
    'rectified flow': Row('ablation/flow_matching_cifar10.py', ODE),
    'ADM, one decoder': Row('ablation/arch_single_decoder.py', ADM_RULES),
    'ADM': Row('adm_uncond_cifar10.py', ADM_RULES, width=0.75, fitted=True),
    # Table VI; its first row is DDPM, its last ADM.
    'with x0 prediction': Row('ablation/ddpm_x0.py', MARUYAMA | ODE),
    'with AIA': Row('ablation/aia_only.py', ADM_RULES),
    'ADM, wide': Row('adm_uncond_cifar10.py', ADM_RULES),
}
TABLE_2 = [*ROWS][:8]

# Data


def load_images(data_root: Path, size: int) -> tuple[Tensor, Tensor]:
    """Training and test images, (N, 3, size, size), uint8, downsampled by means."""
    if list(data_root.glob('*.webp')):
        with tempfile.TemporaryDirectory() as folder:
            script = data_root / 'unpack_cifar10.py'
            subprocess.run([sys.executable, script, data_root, folder], check=True)
            return load_images(Path(folder), size)
    train = [data_root / FOLDER / name for name in BATCHES['train']]
    found = [path for path in train if path.is_file()] or train[:1]
    test = [data_root / FOLDER / name for name in BATCHES['test']]
    return _read(found, size), _read(test, size)


def _read(paths: list[Path], size: int) -> Tensor:
    images = torch.cat([torch.tensor(read_batch(path)) for path in paths])
    images = F.avg_pool2d(images.permute(0, 3, 1, 2).float(), 32 // size)
    return images.round().byte()


def make_batch(images: Tensor, i: int, args: argparse.Namespace) -> dict:
    """The i-th batch: images, half of them flipped, and a seed for each.

    It depends only on ``i`` and the seed, so that all rows get the same batches.
    """
    generator = torch.Generator().manual_seed(mix_seed(args.seed, i))

    def draw(high: int) -> Tensor:
        return torch.randint(high, (args.batch_size,), generator=generator)

    chosen, flips, seeds = images[draw(len(images))], draw(2), draw(2**62)
    chosen = torch.where(flips.view(-1, 1, 1, 1) == 1, chosen.flip(-1), chosen)
    samples = [DiffusionSample(metainfo=dict(seed=seed)) for seed in seeds.tolist()]
    return dict(inputs=dict(image=list(chosen)), data_samples=samples)


# Models


def build_model(row: Row, args: argparse.Namespace) -> ADM:
    """The model of a row with a small head on patches of pixels."""
    cfg = load_config(str(CONFIGS / row.config)).model
    outputs = cfg.head.out_channels
    positions = args.patch**2
    stage = cfg.get('first_stage', dict(type=PixelStage))
    cfg.first_stage = dict(stage, patch=args.patch)
    cfg.data_preprocessor = dict(type=DiffusionPreprocessor, size_divisor=args.patch)
    # NCSN++ would have other parameters than the heads of the other rows.
    head = DualDecoderUNet if cfg.head.type is NCSNppUNet else cfg.head.type
    cfg.head.update(
        type=head,
        in_channels=cfg.head.get('in_channels', 3) * positions,
        out_channels=(
            positions * outputs
            if isinstance(outputs, int)
            else tuple(positions * channels for channels in outputs)
        ),
        base_channels=round(args.width * row.width),
        channel_mult=(1, 2),
        num_blocks=args.blocks,
        attention_levels=(0, 1),
    )
    torch.manual_seed(args.seed)
    return MODELS.build(cfg).to(args.device)


def train(model: ADM, images: Tensor, args: argparse.Namespace) -> ADM:
    """Train with Algorithm 1; returns the averaged model."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-4)
    wrapper = OptimWrapper(optimizer, clip_grad=dict(max_norm=1.0))
    schedule = ClampedPolyLR(wrapper, eta_min=args.lr / 10, end=args.iters)
    average = TrainableEMA(model, momentum=1e-3, ramp=2 / 3).to(args.device)
    model.train()
    for i in range(args.iters):
        log = model.train_step(make_batch(images, i, args), wrapper)
        average.update_parameters(model)
        schedule.step()
        if (i + 1) % 500 == 0:
            print(f'  {i + 1:6d} iterations, loss {float(log["loss"]):.4f}', flush=True)
    return average.module.eval()


@torch.no_grad()
def draw_samples(
    model: ADM, sampler: Sampler, steps: int, args: argparse.Namespace
) -> Tensor:
    """Samples (N, 3, size, size), uint8, with ``steps`` steps each."""
    model.sampler = sampler
    model.test_cfg.update(num_steps=steps, seed=mix_seed(args.seed, 1) >> 1)
    size = (args.size, args.size)
    images = []
    for start in range(0, args.samples, 250):
        indices = range(start, min(start + 250, args.samples))
        batch = [DiffusionSample(metainfo=dict(sample_idx=i)) for i in indices]
        images.append(((model.sample(size, batch) + 1) * 127.5).clamp(0, 255))
    return torch.cat(images).round().byte().cpu()


def fit_sampler(model: ADM, steps: int, args: argparse.Namespace) -> Sampler:
    """Coefficients with which few steps lead where 100 deterministic steps do."""
    process, denoise = model.process, model.denoiser(None)
    side = args.size // args.patch
    rng = torch.Generator().manual_seed(mix_seed(args.seed, 2))
    x_1 = torch.randn(32, model.state_channels, side, side, generator=rng)
    x_1 = process.initial_std * x_1.to(args.device)
    fine = ADMSampler(100, eta=0.0)
    with torch.no_grad():
        target = fine(denoise, process, lambda: x_1 / process.initial_std)
    coefficients, error = fit(
        process, denoise, x_1, target, fine.grid, steps, iterations=100
    )
    print(f'  fitted {steps} steps, mean squared error {error:.5f}', flush=True)
    return FittedSampler([coefficients], clip=1.0)


# Comparison


def run_row(
    name: str,
    images: Tensor,
    score: Callable[[Tensor], float],
    args: argparse.Namespace,
) -> dict:
    """Train, sample and score one row, and save a sheet of its samples."""
    row = ROWS[name]
    model = build_model(row, args)
    count = sum(p.numel() for p in model.head.parameters())
    print(f'{name}: {row.config}, {count:,} parameters', flush=True)

    start = time.perf_counter()
    model = train(model, images, args)
    seconds = time.perf_counter() - start
    grid = {} if row.grid is None else dict(grid=row.grid)
    scores, sheets = {}, []
    for rule, sampler in row.samplers.items():
        sampler = SAMPLERS.build(dict(sampler, clip=1.0, **grid))
        scores[rule] = {}
        for steps in args.steps:
            samples = draw_samples(model, sampler, steps, args)
            scores[rule][steps] = round(score(samples), 3)
            sheets.append(samples[:16])
        print(f'  {rule}: {scores[rule]}', flush=True)
    if row.fitted:
        scores['fitted'] = {}
        for steps in args.fitted_steps:
            samples = draw_samples(model, fit_sampler(model, steps, args), steps, args)
            scores['fitted'][steps] = round(score(samples), 3)
            sheets.append(samples[:16])
        print(f'  fitted: {scores["fitted"]}', flush=True)
    save_grid(
        sheets, args.out / f'samples_{name.replace(",", "").replace(" ", "_")}.png'
    )
    return dict(parameters=count, train_seconds=round(seconds), scores=scores)


def save_grid(rows: list[Tensor], path: Path) -> None:
    """One line of images per sampler and NFE, upsampled."""
    lines = [torch.cat(list(F.pad(row, (1, 1, 1, 1), value=255)), 2) for row in rows]
    sheet = torch.cat(lines, 1).permute(1, 2, 0).numpy()
    image = Image.fromarray(sheet)
    factor = 128 // rows[0].shape[-1] // 2
    width, height = (factor * side for side in image.size)
    image.resize((width, height), Image.Resampling.NEAREST).save(path)


def finished_rows(file: Path, settings: dict) -> dict[str, dict]:
    """The rows of an earlier run; one with other settings is not overwritten."""
    if not file.is_file():
        return {}
    report = json.loads(file.read_text())
    rows = report.pop('rows')
    if report != settings:
        sys.exit(
            f'{file} is of a run with other settings, {report}. Give another --out.'
        )
    return rows


def table(results: dict[str, dict], floor: float, args: argparse.Namespace) -> str:
    """The results as a Markdown table."""
    lines = [
        f'| | parameters | sampler | {" | ".join(map(str, args.steps))} |',
        f'|---|--:|---|{"--:|" * len(args.steps)}',
    ]
    for name, result in results.items():
        for rule, scores in result['scores'].items():
            # From a file, the numbers of steps are text.
            values = {int(steps): f'{value:.2f}' for steps, value in scores.items()}
            numbers = ' | '.join(values.get(steps, '') for steps in args.steps)
            lines.append(f'| {name} | {result["parameters"]:,} | {rule} | {numbers} |')
    real = ' | '.join([f'{floor:.2f}'] * len(args.steps))
    lines.append(f'| real images | | | {real} |')
    return '\n'.join(lines)


def plot(
    results: dict[str, dict], floor: float, title: str, args: argparse.Namespace
) -> None:
    """Distance against NFE, one colour per row, one line style per sampler."""
    figure, axes = plt.subplots(figsize=(9, 6.5), layout='constrained')
    for i, (name, result) in enumerate(results.items()):
        styles = ('-o', '--s', ':^', '-.v', '-d')
        for (rule, scores), style in zip(result['scores'].items(), styles):
            label = f'{name}, {rule}'
            steps = [int(number) for number in scores]
            axes.plot(steps, scores.values(), style, color=f'C{i}', label=label)
    axes.set(xlabel='NFE', ylabel=title, xscale='log', yscale='log')
    axes.set_title(f'real images: {floor:.2f}', fontsize=9, color='0.4')
    axes.yaxis.set_minor_formatter('{x:g}')
    axes.set_xticks(args.steps, labels=map(str, args.steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(color='0.93', which='both')
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside right upper', frameon=False, fontsize=7)
    figure.savefig(args.out / 'table2_small.png', dpi=150)
    plt.close(figure)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data-root', type=Path, default=Path('data/cifar10'))
    parser.add_argument('--weights', type=Path, help='ResNet-56 trained on CIFAR-10')
    parser.add_argument('--rows', nargs='+', choices=[*ROWS], default=TABLE_2)
    parser.add_argument('--iters', type=int, default=2500, help='per row')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--size', type=int, default=16, choices=[8, 16, 32])
    parser.add_argument('--patch', type=int, default=2, help='pixels per position')
    parser.add_argument('--width', type=int, default=32, help='of one decoder')
    parser.add_argument('--blocks', type=int, default=1, help='per level')
    parser.add_argument('--steps', type=int, nargs='+', default=[3, 5, 10, 20, 50, 100])
    parser.add_argument('--fitted-steps', type=int, nargs='+', default=[3, 5, 10])
    parser.add_argument('--samples', type=int, default=1000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/table2_small'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    images, held_out = load_images(args.data_root, args.size)
    features, title = pixel_features, 'FD (8x8 pixel means)'
    if args.weights is not None:
        features, title = resnet_features(args.weights), 'FD (ResNet-56 features)'

    reference = statistics(features(held_out[::2]))

    def score(samples: Tensor) -> float:
        return frechet_distance(statistics(features(samples)), reference)

    floor = score(held_out[1::2][: args.samples])
    print(f'{title}; {args.samples} real images have {floor:.3f}', flush=True)

    # As in the file.
    settings = json.loads(json.dumps(vars(args), default=str)) | dict(
        score=title, floor=floor
    )
    del settings['rows'], settings['threads']
    file = args.out / 'table2_small.json'
    results = finished_rows(file, settings)
    for name in args.rows:
        if name not in results:
            results[name] = run_row(name, images, score, args)
        report = dict(settings, rows=results)
        file.write_text(json.dumps(report, indent=2))
        (args.out / 'table2_small.md').write_text(table(results, floor, args) + '\n')
        plot(results, floor, title, args)
    print(f'\n{title}\n\n{table(results, floor, args)}\n\nIn {args.out}')


if __name__ == '__main__':
    main()
