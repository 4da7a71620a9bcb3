"""All benchmarks of speed, one after the other.

    python -m benchmarks --quick
    python -m benchmarks --only training_step,heads --out work_dirs/benchmarks

Writes the output of each, ``results.json``, a table (``results.md``) and a plot. Ratios
are medians of alternating runs; seconds depend on the machine.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
#: Name -> additional options of the quick run.
BENCHMARKS: dict[str, list[str]] = {
    'conditional_sampling': ['--repeats', '3'],
    'heads': ['--repeats', '3', '--base-channels', '32', '--size', '32'],
    'training_step': ['--repeats', '3', '--small'],
    'latent_cache': ['--repeats', '3', '--size', '64'],
    'data_loading': ['--repeats', '1', '--size', '128'],
    'weight_updates': ['--repeats', '5', '--millions', '3'],
    'growth': ['--repeats', '3'],
    'start_up': ['--repeats', '3'],
    'diffusers_sampling': ['--repeats', '3', '--width', '32'],
}
#: Those with an option --device.
ON_GPU = {
    *('training_step', 'heads', 'conditional_sampling', 'weight_updates', 'growth'),
    *('latent_cache', 'diffusers_sampling'),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m benchmarks', description=__doc__)
    parser.add_argument('--quick', action='store_true', help='small sizes, few turns')
    parser.add_argument('--only', help='names, separated by commas')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--out', default='work_dirs/benchmarks', help='folder')
    return parser.parse_args()


def run(name: str, options: list[str], out: Path) -> dict:
    """Run one script; its tables and how it ended."""
    tables = out / f'{name}.jsonl'
    tables.unlink(missing_ok=True)
    environment = dict(os.environ, MMADM_BENCHMARK_TABLES=str(tables))
    root = str(FOLDER.parent)
    environment['PYTHONPATH'] = os.pathsep.join(
        [root, *filter(None, [os.environ.get('PYTHONPATH')])]
    )
    begin = time.perf_counter()
    command = [sys.executable, str(FOLDER / f'{name}.py'), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    text = done.stdout + (done.stderr if done.returncode else '')
    (out / f'{name}.txt').write_text(text)
    lines = tables.read_text().splitlines() if tables.exists() else []
    tables.unlink(missing_ok=True)
    reason = '' if done.returncode == 0 else (text.strip().splitlines() or ['?'])[-1]
    return dict(
        options=options,
        seconds=round(time.perf_counter() - begin, 1),
        failed=reason,
        tables=[json.loads(line) for line in lines],
    )


def to_markdown(results: dict[str, dict]) -> str:
    """One line per variant: how much faster it is than the one it is compared with."""
    lines = ['| Benchmark | Variant | Median ms | Faster by |', '|---|---|--:|--:|']
    for name, result in results.items():
        if result['failed']:
            lines.append(f'| {name} | not run: {result["failed"]} | | |')
        for table in result['tables']:
            against = table['timings'][table['against']]['median']
            lines += [
                f'| {name} | {variant} | {1e3 * timing["median"]:.2f} | '
                f'{against / timing["median"]:.2f} |'
                for variant, timing in table['timings'].items()
            ]
    return '\n'.join(lines) + '\n'


def plot(results: dict[str, dict], path: Path) -> None:
    """Bars of all ratios, with the quartiles of the variant."""
    import matplotlib.pyplot as plt

    bars = []
    for name, result in results.items():
        for table in result['tables']:
            against = table['timings'][table['against']]['median']
            for variant, timing in table['timings'].items():
                if variant != table['against']:
                    ratios = [against / timing[k] for k in ('median', 'high', 'low')]
                    bars.append((f'{name}: {variant}', *ratios))
    if not bars:
        return
    labels, medians, lows, highs = zip(*bars[::-1])
    errors = [
        [m - low for m, low in zip(medians, lows)],
        [high - m for m, high in zip(medians, highs)],
    ]
    figure, axis = plt.subplots(figsize=(8, 1 + 0.3 * len(bars)), layout='constrained')
    axis.barh(labels, medians, xerr=errors)
    axis.axvline(1, color='black', linewidth=1)
    axis.set_xlabel('times as fast as what it is compared with')
    figure.savefig(path)


def main() -> None:
    args = parse_args()
    names = args.only.split(',') if args.only else list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.exit(f'Unknown benchmarks: {unknown}. Use some of {sorted(BENCHMARKS)}.')
    if args.device != 'cpu':
        names = [name for name in names if name in ON_GPU]
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in names:
        options = BENCHMARKS[name] if args.quick else []
        if name in ON_GPU:
            options = [*options, '--device', args.device]
        results[name] = run(name, options, out)
        print(f'{name}: {results[name]["seconds"]} s {results[name]["failed"]}')
        (out / 'results.json').write_text(json.dumps(results, indent=1))
    (out / 'results.md').write_text(to_markdown(results))
    plot(results, out / 'results.png')
    print(to_markdown(results))


if __name__ == '__main__':
    main()
