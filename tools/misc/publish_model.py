#!/usr/bin/env python
"""Make a small, safe file of a checkpoint's weights, for others to load."""

import argparse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('in_file', help='checkpoint of training')
    parser.add_argument('out_file', help='.safetensors file; its hash joins the name')
    args = parser.parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors():
        from mmadm.checkpoints import publish_weights

        path = publish_weights(args.in_file, args.out_file)
        print(f'Weights written to {path} ({path.stat().st_size / 1e6:.1f} MB)')


if __name__ == '__main__':
    main()
