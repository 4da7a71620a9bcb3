"""All benchmarks of speed, one after the other.

    python -m benchmarks --quick
    python -m benchmarks --full
    python -m benchmarks --device cuda --minutes 10
    python -m benchmarks --only training_step,heads --out work_dirs/benchmarks
    python -m benchmarks --page docs/en/advanced_guides/speed.md

Writes the output of each, ``results.json``, tables (``results.md``) and a plot. Ratios
are medians of alternating runs; seconds depend on the machine. ``--page`` runs nothing:
it puts the results of the folder into a page.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from .measure import RECORDS
from .summary import fill_page, plot, to_markdown

FOLDER = Path(__file__).parent
#: Name -> options of the quick run on a CPU.
QUICK: dict[str, str] = {
    'training_step': '--repeats 3 --small',
    'sampling': '--repeats 3',
    'utilisation': '--repeats 2',
    'conditional_sampling': '--repeats 3',
    'peer_sampling': '--repeats 3 --width 32',
    'heads': '--repeats 3 --base-channels 32 --size 32',
    'first_stage': '--repeats 3',
    'latent_cache': '--repeats 3 --size 64',
    'deployment': '--repeats 3 --side 64 --number 1',
    'weight_updates': '--repeats 5 --millions 3',
    'data_loading': '--repeats 1 --size 128',
    'evaluation': '--repeats 3',
    'edge_evaluation': '--repeats 1 --images 1 --thresholds 5',
    'memory': '--sides 64 96 128',
    'growth': '--repeats 3',
    'start_up': '--repeats 2',
}
#: Those that run on a GPU, the most important first, with the sizes of the paper.
ON_GPU: dict[str, str] = {
    'training_step': '--paper --compile',
    'utilisation': '--paper',
    'sampling': '--paper --compile',
    'conditional_sampling': '--arch base --base-channels 128 --size 256',
    'latent_cache': '--paper',
    'first_stage': '--base-channels 128 --size 256 --batch-size 8',
    'weight_updates': '--millions 90',
    'memory': '--base-channels 160 --sides 32 64 128',
    'heads': '--base-channels 128 --size 80 --batch 8',
    'growth': '--base-channels 64',
    'peer_sampling': '--width 160 --batch-size 128',
}
#: Tiny sizes with which the GPU's programs are tested on a CPU.
REHEARSAL: dict[str, str] = {
    'training_step': '--small --base-channels 8 --size 16 --compile',
    'utilisation': '--base-channels 32 --steps 1 --configs adm_sr_div2k',
    'sampling': '--small --base-channels 8 --size 16 --steps 1 --compile',
    'conditional_sampling': '--base-channels 8 --size 32 --steps 2',
    'latent_cache': '--base-channels 8 --stage-channels 8 --size 32',
    'first_stage': '--size 16',
    'weight_updates': '--millions 0.01 --tensors 10',
    'memory': '--base-channels 8 --sides 8 16',
    'heads': '--base-channels 16 --size 16',
    'growth': '--base-channels 8',
    'peer_sampling': '--width 32 --size 8 --steps 1',
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m benchmarks',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument('--quick', action='store_true', help='small sizes, few turns')
    sizes.add_argument(
        '--full', action='store_true', help="the programs' own sizes (default)"
    )
    parser.add_argument('--only', help='names, separated by commas')
    parser.add_argument(
        '--device', default='cpu', help="cpu, or cuda for the paper's sizes"
    )
    parser.add_argument(
        '--rehearse', action='store_true', help="the GPU's run, tiny, on a CPU"
    )
    parser.add_argument(
        '--minutes',
        type=float,
        help='what is not done by then is stopped; default: no limit, 10 on a GPU',
    )
    parser.add_argument('--out', default='work_dirs/benchmarks', help='folder')
    parser.add_argument('--page', type=Path, help='page to put the results into')
    return parser.parse_args()


def choose(args: argparse.Namespace) -> dict[str, list[str]]:
    """The benchmarks to run, in their order, with their options.

    Raises:
        ValueError: a name is unknown, or does not run on the device.
    """
    known, more = QUICK, ''
    if args.rehearse:
        known, more = REHEARSAL, '--rehearse --repeats 1'
    elif args.device != 'cpu':
        known, more = ON_GPU, f'--device {args.device}'
    elif not args.quick:
        known = dict.fromkeys(QUICK, '')
    names = args.only.split(',') if args.only else list(known)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(
            f'There are no benchmarks {unknown} for {args.device}. Use some of '
            f'{sorted(known)}.'
        )
    return {
        name: f'{sizes} {more}'.split()
        for name, sizes in known.items()
        if name in names
    }


def run(name: str, options: list[str], out: Path, seconds: float) -> dict:
    """Run one script, for so many seconds at most; its results and how it ended."""
    records = out / f'{name}.jsonl'
    records.unlink(missing_ok=True)
    paths = [str(FOLDER.parent), *filter(None, [os.environ.get('PYTHONPATH')])]
    environment = {RECORDS: str(records), 'PYTHONPATH': os.pathsep.join(paths)}
    command = [sys.executable, str(FOLDER / f'{name}.py'), *options]
    begin, computed = time.perf_counter(), _cpu_seconds()
    with open(out / f'{name}.txt', 'w') as output:
        try:
            code = subprocess.run(
                command,
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=None if math.isinf(seconds) else seconds,
            ).returncode
            failed = f'it ended with the exit code {code}' if code else ''
        except subprocess.TimeoutExpired:
            failed = f'the rest, which was stopped after {seconds:.0f} s'
    lines = records.read_text().splitlines() if records.exists() else []
    records.unlink(missing_ok=True)
    return dict(
        options=options,
        seconds=round(time.perf_counter() - begin, 1),
        cpu_seconds=round(_cpu_seconds() - computed, 1),
        failed=failed,
        records=[json.loads(line) for line in lines],
    )


def _cpu_seconds() -> float:
    """What all finished child processes have computed."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_all(scripts: Mapping[str, list[str]], out: Path, minutes: float | None) -> None:
    """Run the scripts; all results so far are written after each.

    None gets more than half of the time that is left.
    """
    out.mkdir(parents=True, exist_ok=True)
    end = math.inf if minutes is None else time.perf_counter() + 60 * minutes
    results = {}
    for name, options in scripts.items():
        left = end - time.perf_counter()
        results[name] = result = run(name, options, out, left / 2)
        print(f'{name}: {result["seconds"]} s {result["failed"]}', flush=True)
        (out / 'results.json').write_text(json.dumps(results, indent=1))
        (out / 'results.md').write_text(to_markdown(results))
    plot(results, out / 'results.png')
    print(f'\nThe tables, a plot and all outputs are in {out}.')


def main() -> None:
    args = parse_args()
    out = Path(args.out)
    if args.page:
        for file in (out / 'results.json', args.page):
            if not file.is_file():
                sys.exit(
                    f'--page puts results into a page, but there is no file {file}. '
                    'Run the benchmarks first, and give --out their folder.'
                )
        results = json.loads((out / 'results.json').read_text())
        args.page.write_text(fill_page(args.page.read_text(), results))
        return
    minutes = args.minutes
    if minutes is None and args.device != 'cpu':
        minutes = 10
    try:
        scripts = choose(args)
    except ValueError as error:
        sys.exit(str(error))
    run_all(scripts, out, minutes)


if __name__ == '__main__':
    main()
