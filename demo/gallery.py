#!/usr/bin/env python
"""Draw the README's figure: what the models in the box predict.

The inputs are photographs from scikit-image's package; nothing is downloaded.
"""

import argparse
from pathlib import Path

import numpy as np

#: Model, photograph, caption of its input, number of steps.
ROWS = (
    ('adm_sr_small', 'chelsea', 'input, 4x enlarged', 5),
    ('adm_edge_small', 'coffee', 'input', 5),
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='PNG file')
    parser.add_argument('--side', type=int, default=320, help='width of each image')
    return parser.parse_args()


def photograph(name: str, side: int) -> np.ndarray:
    """A photograph of scikit-image, its middle as a square of ``side`` pixels."""
    from skimage import data

    from mmadm.utils import resize

    image = getattr(data, name)()
    short = min(image.shape[:2])
    top, left = ((length - short) // 2 for length in image.shape[:2])
    square = image[top : top + short, left : left + short]
    return resize(square, (side, side), 'bicubic')


def example(model: str, name: str, caption: str, steps: int, side: int) -> np.ndarray:
    """Input and prediction side by side, with captions."""
    from mmadm.apis import ADMInferencer
    from mmadm.utils import matlab_resize, resize
    from mmadm.visualization.images import captioned, row

    image = photograph(name, side)
    condition = image
    if model == 'adm_sr_small':
        condition = matlab_resize(image, (side // 4, side // 4))
        image = resize(condition, (side, side), 'bicubic')
    inferencer = ADMInferencer(model, show_progress=False)
    (output,) = inferencer(condition, num_steps=steps)['predictions']
    if output.ndim == 2:
        output = np.repeat(output[..., None], 3, axis=2)
    return row([captioned(image, caption), captioned(output, f'{model}, NFE {steps}')])


def main() -> None:
    args = parse_args()
    from PIL import Image

    from mmadm.visualization.images import column

    figure = column([example(*entry, args.side) for entry in ROWS])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(figure).save(args.out)
    print(f'Figure written to {args.out}')


if __name__ == '__main__':
    main()
