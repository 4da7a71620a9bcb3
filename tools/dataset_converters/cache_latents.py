#!/usr/bin/env python
"""Encode the training images of a config once, with its frozen first stage."""

import argparse

from mmengine.config import Config

from mmadm.utils.cli import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('config', help='config of the training, without the cache')
    parser.add_argument('--out', required=True, help='folder of the cache')
    parser.add_argument(
        '--batch-size', type=int, default=8, help='images that are encoded together'
    )
    parser.add_argument(
        '--num-workers', type=int, default=2, help='processes that read images ahead'
    )
    parser.add_argument(
        '--dtype',
        choices=['float32', 'float16'],
        default='float32',
        help='of the stored numbers',
    )
    parser.add_argument(
        '--device', help='such as cuda or cpu; by default cuda if available'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def make_encoder(cfg: Config, device: str):
    """The config's first stage as a function of 8-bit images, and its hash."""
    import torch

    from mmadm.registry import MODELS
    from mmadm.utils.latent_cache import weights_hash

    stage = MODELS.build(cfg.model.get('first_stage') or dict(type='PixelStage'))
    if not hasattr(stage, 'moments'):
        raise ValueError(
            f'{type(stage).__name__} has no moments to cache, so that a cache gains '
            'nothing. Give a config whose first_stage is a KLAutoencoder.'
        )
    stage.init_weights()
    stage.to(device).eval()
    preprocessor = MODELS.build(cfg.model.data_preprocessor).to(device)

    def encode(images: torch.Tensor) -> torch.Tensor:
        data = dict(inputs=dict(image=list(images)), data_samples=[])
        return stage.moments(torch.stack(preprocessor(data)['inputs']['image']))

    return encode, weights_hash(stage)


def main() -> None:
    args = parse_args()
    from mmadm.utils.cli import readable_errors

    with readable_errors('Run it again to continue.'):
        import torch

        from mmadm.apis import load_config
        from mmadm.datasets.conversion.latents import cache_latents
        from mmadm.registry import DATASETS
        from mmadm.utils.device import check_device

        device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
        check_device(device)
        cfg = load_config(args.config, args.cfg_options)
        if 'model' not in cfg or not cfg.get('train_dataloader'):
            raise ValueError(
                f'{args.config} has no model or no train_dataloader. Give the config '
                'of a training.'
            )
        encode, first_stage = make_encoder(cfg, device)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        folder = cache_latents(
            dataset,
            encode,
            first_stage,
            args.out,
            args.batch_size,
            args.num_workers,
            args.dtype,
        )
        print(f'Latents written to {folder}. Use them in the config by')
        print('train_dataloader.dataset = dict(type=CachedLatents,')
        print(f'    folder={str(folder)!r}, dataset=train_dataloader.dataset)')


if __name__ == '__main__':
    main()
