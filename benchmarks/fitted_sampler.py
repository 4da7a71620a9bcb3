"""Scores of a model by sampler and NFE, with a fitted sampler among them.

    python tools/analysis_tools/fit_sampler.py adm_faces_small --out faces.json
    python benchmarks/fitted_sampler.py adm_faces_small --fitted-sampler faces.json \
        --metric frechet --out work_dirs/faces_samplers

Tests the model with each sampler, prints a table and draws a plot. Finished tests are
kept in the folder and not repeated. The metric is a name in the table that
``tools/test.py`` prints, or its beginning.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

TEST = Path(__file__).parents[1] / 'tools' / 'test.py'
SAMPLERS = ('adm', 'deterministic', 'multistep')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', nargs='+', help='model, or config and checkpoint')
    parser.add_argument('--fitted-sampler', required=True, help='its .json file')
    parser.add_argument('--num-steps', type=int, nargs='+', default=[3, 5, 10])
    parser.add_argument('--metric', required=True, help='what is compared')
    parser.add_argument('--out', type=Path, required=True, help='folder')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='of the test')
    return parser.parse_args()


def test(args: argparse.Namespace, name: str, options: list, steps: list) -> dict:
    """Scores by NFE."""
    path = args.out / f'{name}.json'
    if not path.exists():
        words = ['--num-steps', *steps, '--out', path, '--work-dir', args.out]
        if args.cfg_options:
            words += ['--cfg-options', *args.cfg_options]
        command = [sys.executable, TEST, *args.model, *options, *words]
        subprocess.run(list(map(str, command)), check=True)
    scores = json.loads(path.read_text())
    (metric,) = (k for k in next(iter(scores.values())) if k.startswith(args.metric))
    return {int(number): entry[metric] for number, entry in scores.items()}


def plot(scores: dict[str, dict[int, float]], metric: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4), layout='constrained')
    axes = figure.subplots()
    for name, row in scores.items():
        axes.plot(*zip(*sorted(row.items())), marker='o', markersize=4, label=name)
    axes.set(xlabel='NFE', ylabel=metric)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tables = json.loads(Path(args.fitted_sampler).read_text())['tables']
    fitted = sorted(len(table['times']) for table in tables)
    scores = {
        name: test(args, name, ['--sampler', name], args.num_steps) for name in SAMPLERS
    }
    options = ['--fitted-sampler', args.fitted_sampler]
    scores['fitted'] = test(args, 'fitted', options, fitted)
    numbers = sorted({number for row in scores.values() for number in row})
    print('| NFE |', *(f'{number} |' for number in numbers))
    print('|---|' + '--:|' * len(numbers))
    for name, row in scores.items():
        print(f'| {name} |', *(f'{row[n]:.3f} |' if n in row else '|' for n in numbers))
    plot(scores, args.metric, args.out / 'scores.png')


if __name__ == '__main__':
    main()
