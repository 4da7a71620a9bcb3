#!/usr/bin/env python
"""Copy the weights and the config of a shipped model into a folder.

The weights of the models in the box are files of the package; others are downloaded.
"""

import argparse
from os.path import expanduser


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('models', nargs='+', help='names, such as adm_sr_small')
    parser.add_argument(
        '--dest',
        type=expanduser,
        default='.',
        help='folder for the files (default: the current one)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Copied files are complete.'):
        import shutil
        from pathlib import Path

        from mmadm.apis import load_config
        from mmadm.checkpoints import find_weights
        from mmadm.utils.files import atomic_write

        for name in args.models:
            config = load_config(name)
            weights = find_weights(name)
            with atomic_write(Path(args.dest, weights.name)) as part:
                shutil.copyfile(weights, part)
            with atomic_write(Path(args.dest, f'{name}.py')) as part:
                config.dump(part)
            print(f'{weights.name} and {name}.py written to {args.dest}')


if __name__ == '__main__':
    main()
