#!/usr/bin/env python
"""Train a model from a config file."""

import argparse
import os

from mmadm.utils.cli import OptionsAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from a checkpoint; without a value from the newest in the work dir',
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the checkpoint even if that runs code in it: for your own files',
    )
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument(
        '--no-validate', action='store_true', help='leave out validation'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the rate by (actual batch size) / auto_scale_lr.base_batch_size',
    )
    parser.add_argument('--seed', type=int, help='seed of training and sampling')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='override entries of the config: key=value, nested keys with dots',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    # torchrun hands it over in one spelling or the other.
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
    if args.auto_scale_lr:
        scale_lr(cfg)
    if args.trust_checkpoint:
        use_trust(cfg, args.resume)
    if args.resume:
        set_resume(cfg, args.resume)
    # Once more, so that they beat the other options.
    merge_options(cfg, args.cfg_options)


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
