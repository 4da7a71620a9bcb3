#!/usr/bin/env python
"""Convert a published KL autoencoder (latent diffusion, diffusers, the authors)."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='checkpoint with the autoencoder')
    parser.add_argument('target', help='.safetensors file to write')
    parser.add_argument(
        '--scale-factor',
        type=float,
        help='of the latents; default: that of the file, or of its project',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the source even if it runs code: only for files you trust',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmadm.checkpoints import trust_checkpoint
        from mmadm.checkpoints.converters import (
            convert_first_stage,
            first_stage_settings,
        )

        if args.trust_checkpoint:
            trust_checkpoint(args.source)
        own = convert_first_stage(args.source, args.target, args.scale_factor)
        count = sum(tensor.numel() for tensor in own.values()) - 1
        print(
            f'{count:,} parameters, scale factor {own["scale_factor"]:.5g}, '
            f'written to {args.target}'
        )
        settings = first_stage_settings(own).items()
        sizes = ', '.join(f'{key}={value}' for key, value in settings)
        print(f"KLAutoencoder({sizes}, checkpoint='{args.target}')")


if __name__ == '__main__':
    main()
