#!/usr/bin/env python
"""Quantise an exported ONNX model to 8 bits, if its predictions stay good."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', help='.onnx file of tools/deployment/export.py')
    parser.add_argument('out_file', help='.onnx file to write')
    parser.add_argument(
        '--calibration', required=True, help='folder of a few dozen input images'
    )
    parser.add_argument(
        '--inputs', required=True, help='folder of input images that are scored'
    )
    parser.add_argument(
        '--ground-truth', required=True, help='their ground truth, paired by name'
    )
    parser.add_argument(
        '--calibration-masks',
        help='for inpainting: folder of the holes of the calibration images',
    )
    parser.add_argument('--masks', help='likewise of the images that are scored')
    parser.add_argument(
        '--max-loss',
        type=float,
        default=0.1,
        help='PSNR in dB that may be lost (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from mmadm.apis.quantization import quantize_model

        before, after = quantize_model(
            args.model,
            args.out_file,
            args.calibration,
            args.inputs,
            args.ground_truth,
            args.max_loss,
            args.calibration_masks,
            args.masks,
        )
        print(f'Written to {args.out_file}: {before:.3f} dB before, {after:.3f} after')


if __name__ == '__main__':
    main()
