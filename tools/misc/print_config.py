#!/usr/bin/env python
"""Print a config with everything it inherits."""

import argparse

from mmadm.utils.cli import add_cfg_options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or the name of a shipped config')
    add_cfg_options(parser)
    args = parser.parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors():
        from mmadm.apis import load_config

        print(load_config(args.config, args.cfg_options).pretty_text)


if __name__ == '__main__':
    main()
