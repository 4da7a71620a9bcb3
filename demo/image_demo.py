#!/usr/bin/env python
"""Run a trained model on images, and write its predictions."""

import argparse
from os.path import expanduser
from pathlib import Path

from mmadm.diffusion import SAMPLER_PRESETS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'input',
        type=expanduser,
        help='image, folder, pattern or address (https://) of images; for '
        'unconditional models, the number of images to generate',
    )
    parser.add_argument(
        'model',
        nargs='?',
        type=expanduser,
        default='adm_sr_small',
        help='name of a shipped model, published or exported file, or config file '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--weights', type=expanduser, help='checkpoint file, for a config'
    )
    parser.add_argument(
        '--out-dir',
        type=expanduser,
        help='folder for pred/, vis/, ...; what it already has from the same model, '
        'input and options is not made again (default: out/MODEL)',
    )
    parser.add_argument(
        '--masks',
        type=expanduser,
        help='for inpainting: a mask, white where the hole is, or a folder of masks '
        'with the names of the images',
    )
    parser.add_argument('--num-steps', type=int, help='number of sampling steps')
    parser.add_argument(
        '--sampler',
        choices=list(SAMPLER_PRESETS),
        help='replace the sampler of the config',
    )
    parser.add_argument('--seed', type=int, help='seed of sampling')
    parser.add_argument(
        '--num-samples',
        type=int,
        help='predict the mean of so many samples, and write these and their standard '
        'deviation',
    )
    parser.add_argument(
        '--calibration',
        type=expanduser,
        help='file of calibrate.py: also write the ends of intervals',
    )
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--device', help='such as cpu or cuda:1; default: a GPU if any')
    parser.add_argument(
        '--dtype',
        choices=['float32', 'bfloat16'],
        default='float32',
        help='bfloat16 is faster on GPUs (default: %(default)s)',
    )
    parser.add_argument(
        '--backend',
        choices=['torch', 'onnxruntime', 'openvino'],
        help='runtime of an exported model (default: the first one that fits)',
    )
    parser.add_argument(
        '--mode',
        choices=['whole', 'slide'],
        help='sample images at once, or in overlapping windows, which needs less '
        'memory (default: windows where an image needs more memory than is free)',
    )
    parser.add_argument(
        '--window', type=int, help='side of the windows in pixels (default: 512)'
    )
    parser.add_argument(
        '--max-pixels',
        type=int,
        default=4096 * 4096,
        help='largest image, input or prediction (default: %(default)s)',
    )
    parser.add_argument(
        '--trajectory', action='store_true', help='also draw sampling trajectories'
    )
    parser.add_argument('--show', action='store_true', help='show results in windows')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Finished predictions are in --out-dir.'):
        from mmadm.apis import ADMInferencer

        inferencer = ADMInferencer(
            args.model,
            args.weights,
            args.device,
            dtype=args.dtype,
            backend=args.backend,
        )
        if inferencer.is_conditional:
            request = dict(
                inputs=args.input,
                masks=args.masks,
                max_pixels=args.max_pixels,
                num_samples=args.num_samples,
            )
        else:
            request = dict(num_samples=to_number(args.input))
        out_dir = args.out_dir or Path('out', Path(args.model).stem)
        results = inferencer.stream(
            **request,
            batch_size=args.batch_size,
            num_steps=args.num_steps,
            sampler=args.sampler,
            seed=args.seed,
            mode=args.mode,
            window=args.window,
            trajectory=args.trajectory,
            show=args.show,
            calibration=args.calibration,
            out_dir=out_dir,
            output_type='file',
        )
        for result in results:
            last = result['prediction']
        print(f'Written to {out_dir}, the last prediction to {last}')


def to_number(text: str) -> int:
    """The number of images to generate."""
    if not text.isdecimal():
        raise ValueError(
            'This model is unconditional, but the first argument is '
            f'{text!r}. Give the number of images to generate.'
        )
    return int(text)


if __name__ == '__main__':
    main()
