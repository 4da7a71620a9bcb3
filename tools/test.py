#!/usr/bin/env python
"""Test a checkpoint on the test set of its config."""

import argparse
import os

from mmadm.diffusion import SAMPLER_PRESETS
from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'model',
        type=os.path.expanduser,
        help='config file or name of a shipped config; or, without a checkpoint, a '
        'published file or the name of a model in the box',
    )
    parser.add_argument(
        'checkpoint', nargs='?', type=os.path.expanduser, help='checkpoint file'
    )
    parser.add_argument(
        '--work-dir', type=os.path.expanduser, help='folder for the log'
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load the checkpoint even if it runs code: only for files you trust',
    )
    parser.add_argument(
        '--num-steps',
        type=int,
        nargs='+',
        help='numbers of sampling steps (one network evaluation each), tested in turn',
    )
    parser.add_argument(
        '--fitted-sampler', help='.json file of tools/analysis_tools/fit_sampler.py'
    )
    parser.add_argument(
        '--sampler',
        choices=list(SAMPLER_PRESETS),
        help='replace the sampler of the config: Algorithm 2, its deterministic form, '
        'the mean of its estimates, or the second-order solver',
    )
    parser.add_argument('--seed', type=int, help='seed of sampling')
    parser.add_argument(
        '--out', type=os.path.expanduser, help='output file or folder of --out-item'
    )
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        default='metrics',
        help='what to write: metrics as .json; or predictions as .pkl, .npz (images of '
        'one size), .json (masks as COCO results) or a folder of PNG files',
    )
    parser.add_argument('--show', action='store_true', help='show images in windows')
    parser.add_argument(
        '--show-dir', type=os.path.expanduser, help='folder for images of the test'
    )
    parser.add_argument(
        '--interval', type=int, default=1, help='show every N-th sample'
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds that a window stays open'
    )
    parser.add_argument('--amp', action='store_true', help='bfloat16 autocast')
    parser.add_argument(
        '--tta', action='store_true', help='test-time augmentation by flips'
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def merge_args(cfg, args: argparse.Namespace) -> None:
    """Apply the options that change the config."""
    from mmadm.apis import (
        merge_options,
        prepare_run,
        use_amp_in_test,
        use_ddp,
        use_sampler,
        use_tta,
    )
    from mmadm.apis.fitting import use_fitted_sampler
    from mmadm.engine import ShowDirHook

    prepare_run(cfg, args.model, args.work_dir, args.seed, args.launcher)
    if args.amp:
        use_amp_in_test(cfg)
    if args.sampler:
        use_sampler(cfg, args.sampler)
    if args.fitted_sampler:
        use_fitted_sampler(cfg, args.fitted_sampler)
    if args.tta:
        use_tta(cfg)
    if args.show_dir or args.show:
        cfg.default_hooks.show_dir = dict(
            type=ShowDirHook,
            show_dir=args.show_dir,
            interval=args.interval,
            show=args.show,
            wait_time=args.wait_time,
        )
    # Again, because --cfg-options have priority over the other options.
    merge_options(cfg, args.cfg_options)
    # Where training began: the runner would load it in place of the checkpoint.
    cfg.load_from, cfg.resume = None, False
    use_ddp(cfg)
    if args.out and args.out_item == 'pred':
        evaluators = cfg.test_evaluator
        evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
        cfg.test_evaluator = [*evaluators, dump_of(args.out)]


def dump_of(out: str) -> dict:
    """Config of the evaluator that writes predictions, by the suffix of ``out``."""
    from mmengine.evaluator import DumpResults

    from mmadm.evaluation import DumpCocoRle, DumpImages, DumpSamples

    return {
        '.pkl': dict(type=DumpResults, out_file_path=out),
        '.npz': dict(type=DumpSamples, out=out),
        '.json': dict(type=DumpCocoRle, out_file=out),
        '': dict(type=DumpImages, out_dir=out),
    }[os.path.splitext(out)[1]]


def check_out(out: str, item: str) -> None:
    """Refuse a name with the wrong suffix, or one that exists as another kind."""
    kinds, names = {
        'metrics': (['.json'], 'a file name that ends in .json'),
        'pred': (
            ['.pkl', '.npz', '.json', ''],
            'a file name that ends in .pkl, .npz or .json, or a folder',
        ),
    }[item]
    suffix = os.path.splitext(out)[1]
    taken = os.path.isdir(out) if suffix else os.path.isfile(out)
    if suffix not in kinds or taken:
        raise ValueError(
            f'The name of the output determines the format of --out-item {item}, but '
            f'got --out {out}. Give {names}.'
        )


def check_args(args: argparse.Namespace) -> None:
    """Refuse wrong arguments before anything is built."""
    from mmadm.apis import check_steps
    from mmadm.checkpoints import trust_checkpoint

    check_steps(args.num_steps or [])
    if args.out_item == 'pred' and len(args.num_steps or []) > 1:
        raise ValueError(
            f'Only one run can be written to {args.out}, but --num-steps has '
            f'{len(args.num_steps)} values. Give one number of steps, or use '
            '--show-dir.'
        )
    if args.interval < 1:
        raise ValueError(
            f'The interval of shown samples must be positive, but got --interval '
            f'{args.interval}. Give 1 to show all samples.'
        )
    if args.out:
        check_out(args.out, args.out_item)
    if args.trust_checkpoint:
        trust_checkpoint(args.checkpoint or args.model)


def report(runner, results: dict[int, dict], args: argparse.Namespace) -> None:
    """Print the table of scores; write the requested files."""
    from pathlib import Path

    from mmengine.dist import is_main_process

    from mmadm.apis import score_table, write_scores, write_trajectory
    from mmadm.engine import ShowDirHook

    if not is_main_process():
        return
    print(f'\n{score_table(results)}\n')
    if args.out and args.out_item == 'metrics':
        write_scores(results, args.out)
        print(f'Scores written to {args.out}')
    if args.show_dir:
        (hook,) = (hook for hook in runner.hooks if isinstance(hook, ShowDirHook))
        print(f'Comparison written to {hook.write_sheet()}')
        # An augmented prediction is a mean of several, which has no trajectory.
        if not args.tta:
            trajectory = Path(args.show_dir, 'trajectory.png')
            if write_trajectory(runner, trajectory):
                print(f'Sampling trajectory written to {trajectory}')


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors():
        check_args(args)
        from mmengine.runner import Runner

        from mmadm.apis import load_model, test_steps
        from mmadm.checkpoints import install_safe_loaders, put_weights
        from mmadm.utils import unwrap_model

        install_safe_loaders()
        source = load_model(args.model, args.checkpoint, args.cfg_options)
        merge_args(source.config, args)
        runner = Runner.from_cfg(source.config)
        put_weights(unwrap_model(runner.model), source.checkpoint, source.path)
        results = test_steps(runner, args.num_steps)
        report(runner, results, args)


if __name__ == '__main__':
    main()
