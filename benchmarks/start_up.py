"""Start-up: fresh processes, from the interpreter to the first prediction.

    python benchmarks/start_up.py

What a step adds to the one before is what it costs. The first process of a new
environment also compiles all modules; it is in the round without timing.
"""

import os
import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage

from measure import make_parser, print_medians, set_up, take_turns

LIBRARIES = 'import torch, mmengine.infer'
INFERENCER = 'from mmadm.apis import ADMInferencer'
MODEL = f'{INFERENCER}; run = ADMInferencer("adm_sr_small", device="cpu")'
STEPS = {
    'torch': 'import torch',
    'and MMEngine': LIBRARIES,
    'and ADMInferencer': INFERENCER,
    'and a model': MODEL,
    'and a prediction': f'import numpy as np; {MODEL}; run(np.eye(32, dtype=np.uint8))',
}


def seconds_of_children() -> float:
    """What the finished processes have computed, in user and system mode."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    args = make_parser(__doc__.splitlines()[0], repeats=5).parse_args()
    set_up(args)
    environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
    environment.pop('PYTHONDONTWRITEBYTECODE', None)

    def start(code: str) -> None:
        command = [sys.executable, '-c', code]
        subprocess.run(command, check=True, capture_output=True, env=environment)

    steps = {name: lambda code=code: start(code) for name, code in STEPS.items()}
    timings = take_turns(steps, args.repeats, clock=seconds_of_children)
    print_medians('a fresh process with', timings)
    libraries, everything = (
        timings[name].median for name in ('and MMEngine', 'and a prediction')
    )
    print(f'beyond torch and MMEngine: {1e3 * (everything - libraries):.0f} ms')


if __name__ == '__main__':
    main()
