#!/usr/bin/env python
"""Print the machine and the versions of all that mmadm uses, for a report of a bug."""

import argparse


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    from mmadm.utils.collect_env import collect_env

    for key, value in collect_env().items():
        print(f'{key}: {value}')


if __name__ == '__main__':
    main()
