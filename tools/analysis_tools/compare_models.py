#!/usr/bin/env python
"""Compare conditional models: scores, sharpness, diversity and calibration.

Draws several samples of each test image, for instance with a diffusion model and with a
regression of the same network (configs/adm/small/regression_*.py).
"""

import argparse

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'models',
        nargs='+',
        help='names of shipped models, published files, or configs (.py), each '
        'followed by its checkpoint',
    )
    parser.add_argument(
        '--num-samples', type=int, default=4, help='samples of each image'
    )
    parser.add_argument(
        '--num-steps', type=int, help='NFE of a sample; default: of each config'
    )
    parser.add_argument('--number', type=int, help='use the first images only')
    parser.add_argument('--out', help='JSON file of the results')
    add_cfg_options(
        parser,
        help='override entries of all configs: key=value, nested keys with dots',
    )
    return parser.parse_args()


def with_checkpoints(words: list[str]) -> list[tuple[str, str | None]]:
    """Models with their checkpoints: a config is followed by one."""
    models, rest = [], iter(words)
    for word in rest:
        is_config = word.endswith('.py')
        models.append((word, next(rest, None) if is_config else None))
    return models


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        import json

        from mmadm.apis import check_steps, load_model
        from mmadm.apis.comparison import compare_model
        from mmadm.utils.files import atomic_write

        check_steps([] if args.num_steps is None else [args.num_steps])
        sources = {
            checkpoint or model: load_model(model, checkpoint, args.cfg_options)
            for model, checkpoint in with_checkpoints(args.models)
        }
        results = {}
        for name, source in sources.items():
            results[name] = compare_model(
                source, args.num_samples, args.num_steps, args.number
            )
            print(f'\n{name}')
            for key, value in results[name].items():
                print(f'  {key}: {value:.4f}')
        if args.out:
            with atomic_write(args.out) as part:
                part.write_text(json.dumps(results, indent=1))


if __name__ == '__main__':
    main()
