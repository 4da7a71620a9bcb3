#!/usr/bin/env python
"""Convert torchvision's Swin to MMPretrain's layout, for ``SwinEncoder`` and others."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help="torchvision's file, as swin_b-68c6b09e.pth")
    parser.add_argument('target', help='.safetensors file to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmadm.checkpoints.converters import convert_swin

        arch = convert_swin(args.source, args.target)
        print(f'Swin of size {arch}, written to {args.target}')


if __name__ == '__main__':
    main()
