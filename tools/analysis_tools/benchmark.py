#!/usr/bin/env python
"""Measure the speed and the memory of sampling: by number of steps and image size.

The inputs are random images; they are read from no file. Without a checkpoint the
weights are random, which changes no speed.
"""

import argparse

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'model', help='config file, published file, or name of a shipped one'
    )
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file, for a config')
    parser.add_argument(
        '--num-steps',
        type=int,
        nargs='+',
        default=[1, 5, 10],
        help='numbers of sampling steps (NFE)',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        action='append',
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the images; may be given several times; default: that of the '
        'training pipeline',
    )
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--repeats', type=int, default=5, help='batches that count (default: 5)'
    )
    parser.add_argument(
        '--warmup', type=int, default=1, help='batches before them (default: 1)'
    )
    parser.add_argument('--device', default='cpu', help='for instance cuda')
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument('--out', help='JSON file for the numbers')
    add_cfg_options(parser)
    return parser.parse_args()


def build(args: argparse.Namespace):
    """Config and model; with random weights where the config comes without any."""
    from mmadm.apis import load_config, merge_options
    from mmadm.apis.config_check import check_config
    from mmadm.checkpoints import put_weights, resolve_model
    from mmadm.registry import MODELS

    source = resolve_model(args.model, args.checkpoint, load_config)
    merge_options(source.config, args.cfg_options)
    check_config(source.config)
    model = MODELS.build(source.config.model)
    if source.checkpoint is not None:
        put_weights(model, source.checkpoint, source.path)
    return source.config, model


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        from dataclasses import asdict

        import torch
        from mmengine.fileio import dump

        from mmadm.apis import check_steps
        from mmadm.apis.benchmark import benchmark_sampling, speed_table
        from mmadm.apis.complexity import image_size
        from mmadm.utils import check_device
        from mmadm.utils.files import atomic_write

        check_steps(args.num_steps)
        check_device(args.device)
        cfg, model = build(args)
        model.to(args.device).eval()
        speeds = []
        kind = torch.device(args.device).type
        with torch.autocast(kind, torch.bfloat16, enabled=args.amp):
            for shape in args.shape or [image_size(cfg)]:
                speeds += benchmark_sampling(
                    model,
                    shape,
                    args.num_steps,
                    args.batch_size,
                    args.repeats,
                    args.warmup,
                )
        place = f'{torch.get_num_threads()} CPU threads'
        if kind == 'cuda':
            place = torch.cuda.get_device_name(args.device)
        precision = 'bfloat16 autocast' if args.amp else 'float32'
        print(f'{place}, {precision}, torch {torch.__version__}')
        print(speed_table(speeds))
        if args.out:
            with atomic_write(args.out) as part:
                dump([asdict(speed) for speed in speeds], part, file_format='json')


if __name__ == '__main__':
    main()
