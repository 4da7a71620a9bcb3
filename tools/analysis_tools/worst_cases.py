#!/usr/bin/env python
"""List the test images on which a model scores worst, by the metrics of its config."""

import argparse
import os

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'model', type=os.path.expanduser, help='name, published file, or config file'
    )
    parser.add_argument(
        'checkpoint', nargs='?', type=os.path.expanduser, help='checkpoint of a config'
    )
    parser.add_argument(
        '--metric', required=True, help='for instance psnr_y_b4, ods_seval or mae'
    )
    parser.add_argument(
        '--lower-is-better', action='store_true', help='list the highest scores'
    )
    parser.add_argument('--count', type=int, default=5, help='images to list')
    parser.add_argument('--num-steps', type=int, help='NFE; default: of the config')
    parser.add_argument('--number', type=int, help='test the first images only')
    parser.add_argument('--out', help='JSON file of the scores of all images')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Nothing was written.'):
        import json

        from mmadm.apis import check_steps, load_model
        from mmadm.apis.comparison import scores_by_image
        from mmadm.utils.files import atomic_write

        check_steps([] if args.num_steps is None else [args.num_steps])
        source = load_model(args.model, args.checkpoint, args.cfg_options)
        scores = scores_by_image(source, args.num_steps, args.number)
        first = next(iter(scores.values()))
        if args.metric not in first:
            raise ValueError(
                f'The config has no metric {args.metric!r}. Use one of {list(first)}.'
            )
        worst = sorted(
            scores,
            key=lambda name: scores[name][args.metric],
            reverse=args.lower_is_better,
        )
        for name in worst[: args.count]:
            print(f'{scores[name][args.metric]:.4f}  {name}')
        if args.out:
            with atomic_write(args.out) as part:
                part.write_text(json.dumps(scores, indent=1))


if __name__ == '__main__':
    main()
