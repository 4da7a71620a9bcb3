#!/usr/bin/env python
"""Score a checkpoint on the benchmark of its config."""

import argparse
import os

from mmadm.utils.cli import OptionsAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='where logs and scores go')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read the checkpoint even if that runs code in it: for your own files',
    )
    parser.add_argument(
        '--num-steps',
        type=int,
        nargs='+',
        help='numbers of network calls, tested one after the other',
    )
    parser.add_argument(
        '--sampler',
        choices=['adm', 'deterministic', 'multistep'],
        help='Algorithm 2, its deterministic form, or the second-order solver with '
        'corrector; in place of the sampler of the config',
    )
    parser.add_argument('--seed', type=int, help='seed of sampling')
    parser.add_argument('--out', help='file (or folder) for --out-item')
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        default='metrics',
        help='scores as .json; or predictions as .pkl, .npz (all of one size), .json '
        '(masks, as COCO results) or a folder of PNGs',
    )
    parser.add_argument('--show', action='store_true', help='show pictures in windows')
    parser.add_argument('--show-dir', help='write pictures there')
    parser.add_argument(
        '--interval', type=int, default=1, help='show every how many samples'
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds a window stays'
    )
    parser.add_argument(
        '--amp', action='store_true', help='half precision (bfloat16 on CPUs)'
    )
    parser.add_argument('--tta', action='store_true', help='average over flips')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='override entries of the config: key=value, nested keys with dots',
    )
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
        use_ddp,
        use_sampler,
        use_tta,
    )
    from mmadm.engine import ShowDirHook

    prepare_run(cfg, args.config, args.work_dir, args.seed, args.launcher)
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.sampler:
        use_sampler(cfg, args.sampler)
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
    # Once more, so that they beat the other options.
    merge_options(cfg, args.cfg_options)
    use_ddp(cfg)
    if args.out and args.out_item == 'pred':
        evaluators = cfg.test_evaluator
        evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
        cfg.test_evaluator = [*evaluators, dump_of(args.out)]


def dump_of(out: str) -> dict:
    """What writes predictions there, by the suffix; '' is a folder."""
    from mmengine.evaluator import DumpResults

    from mmadm.evaluation import DumpCocoRle, DumpImages, DumpSamples

    return {
        '.pkl': dict(type=DumpResults, out_file_path=out),
        '.npz': dict(type=DumpSamples, out=out),
        '.json': dict(type=DumpCocoRle, out_file=out),
        '': dict(type=DumpImages, out_dir=out),
    }[os.path.splitext(out)[1]]


def check_out(out: str, item: str) -> None:
    """Refuse names whose suffix does not tell what to write, or that are taken."""
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
            f'The name tells in which form --out-item {item} is written, but --out '
            f'{out}. Give {names}.'
        )


def check_args(args: argparse.Namespace) -> None:
    """Refuse what cannot work, before anything is built."""
    from mmadm.apis import check_steps
    from mmadm.checkpoints import read_checkpoint, trust_checkpoint

    check_steps(args.num_steps or [])
    if args.out_item == 'pred' and len(args.num_steps or []) > 1:
        raise ValueError(
            f'Predictions of one run fit into {args.out}, but --num-steps asks for '
            f'{len(args.num_steps)}. Give one number of steps, or --show-dir.'
        )
    if args.interval < 1:
        raise ValueError(
            f'Every how many samples one is shown must be positive, but --interval '
            f'{args.interval}. Give 1 to show all.'
        )
    if args.out:
        check_out(args.out, args.out_item)
    if args.trust_checkpoint:
        trust_checkpoint(args.checkpoint)
    read_checkpoint(args.checkpoint)


def report(runner, results: dict[int, dict], args: argparse.Namespace) -> None:
    """Print the table; write the JSON and the pictures that were asked for."""
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
        # An augmented answer is a mean of several: it has no way of its own.
        if not args.tta:
            trajectory = Path(args.show_dir, 'trajectory.png')
            if write_trajectory(runner, trajectory):
                print(f'Way from noise to image written to {trajectory}')


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors():
        check_args(args)
        from mmengine.runner import Runner

        from mmadm.apis import load_config, load_into, test_steps
        from mmadm.checkpoints import install_safe_loaders

        install_safe_loaders()
        cfg = load_config(args.config, args.cfg_options)
        merge_args(cfg, args)
        runner = Runner.from_cfg(cfg)
        load_into(runner, args.checkpoint)
        results = test_steps(runner, args.num_steps)
        report(runner, results, args)


if __name__ == '__main__':
    main()
