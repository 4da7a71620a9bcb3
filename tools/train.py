#!/usr/bin/env python
"""Train a model from a config file."""

import argparse
import os

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'config',
        type=os.path.expanduser,
        help='config file, or the name of a shipped config',
    )
    parser.add_argument(
        '--work-dir', type=os.path.expanduser, help='folder for logs and checkpoints'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        type=os.path.expanduser,
        help='resume from this checkpoint; without a value, from the newest one of the '
        'work directory',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load the checkpoint even if it runs code: only for files you trust',
    )
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument(
        '--no-validate', action='store_true', help='train without validation'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by batch size / auto_scale_lr.base_batch_size; '
        'the batch size counts all processes and accumulated batches',
    )
    parser.add_argument('--seed', type=int, help='seed of training and of sampling')
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    # Versions of torchrun differ in the spelling.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def merge_args(cfg, args: argparse.Namespace) -> None:
    """Apply the options that change the config."""
    from mmadm.apis import (
        merge_options,
        prepare_run,
        scale_lr,
        set_resume,
        use_amp,
        use_trust,
    )

    prepare_run(cfg, args.config, args.work_dir, args.seed, args.launcher)
    if args.amp:
        use_amp(cfg)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.trust_checkpoint:
        use_trust(cfg, args.resume)
    if args.resume:
        set_resume(cfg, args.resume)
    # Again, because --cfg-options have priority over the other options.
    merge_options(cfg, args.cfg_options)
    if args.auto_scale_lr:
        scale_lr(cfg)


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors():
        from mmengine.runner import Runner

        from mmadm.apis import load_config
        from mmadm.checkpoints import install_safe_loaders

        install_safe_loaders()
        cfg = load_config(args.config, args.cfg_options)
        merge_args(cfg, args)
        Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
