#!/usr/bin/env python
"""Kill toy runs at random moments, resume them, and compare with an undisturbed run.

    python -m benchmarks.kill_resume --kills 20 --scenario save

Each kill is a SIGKILL. The final weights, averages, optimizer state, learning rates,
logged losses and scores must equal those of an uninterrupted run to the last bit.
"""

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import torch

from tests.faults import (
    INTERVAL,
    assert_same,
    fork,
    kills,
    result,
    train,
    wait,
    write_toy_config,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kills', type=int, default=20, help='kills per scenario')
    parser.add_argument(
        '--scenario',
        choices=list(INTERVAL),
        nargs='+',
        default=list(INTERVAL),
        help='what a run is doing when it is killed',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments')
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        config = write_toy_config(Path(folder))
        for scenario in args.scenario:
            _torment(config, Path(folder), scenario, args.kills, args.seed)


def _torment(config: Path, folder: Path, scenario: str, wanted: int, seed: int) -> None:
    plain = folder / f'{scenario}_plain'
    options = {'default_hooks.checkpoint.interval': INTERVAL[scenario]}
    assert wait(fork(lambda: train(config, plain, options), plain / 'out.txt')) == 0
    expected, done, runs, half = result(plain), 0, 0, Counter()
    while done < wanted:
        work = folder / f'{scenario}_{runs}'
        for left in kills(config, work, scenario, min(6, wanted - done), seed + runs):
            done += 1
            half['killed while writing'] += any('.part' in name for name in left)
        assert_same(expected, result(work))
        printed = (work / 'out.txt').read_text()
        half['damaged file passed over'] += printed.count('Going on from')
        runs += 1
        shutil.rmtree(work)
    print(f'{scenario}: {done} kills in {runs} runs, all equal; {dict(half)}')


if __name__ == '__main__':
    main()
