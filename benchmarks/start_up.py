"""Start-up: fresh processes that import parts of mmadm, and what they take.

python benchmarks/start_up.py
"""

import subprocess
import sys

from measure import make_parser, print_table, set_up, take_turns

IMPORTS = {
    'torch': 'import torch',
    'torch, MMEngine': 'import torch, mmengine.runner',
    'ADMInferencer': 'from mmadm.apis import ADMInferencer',
    'ADMInferencer, models': 'import mmadm.apis, mmadm.models',
}


def main() -> None:
    args = make_parser(__doc__.splitlines()[0], repeats=5).parse_args()
    set_up(args)
    variants = {
        name: lambda code=code: subprocess.run([sys.executable, '-c', code], check=True)
        for name, code in IMPORTS.items()
    }
    # The work is done in other processes.
    print_table(take_turns(variants, args.repeats, passing=True), 'torch')


if __name__ == '__main__':
    main()
