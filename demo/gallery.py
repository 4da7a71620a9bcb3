#!/usr/bin/env python
"""Draw the README's figure: input and prediction of each trained model in the box.

The inputs are photographs from scikit-image's package; nothing is downloaded.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

#: Input as it is shown, and the arguments of the inferencer.
Example = tuple[np.ndarray, dict]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='PNG file')
    parser.add_argument('--side', type=int, default=256, help='width of each image')
    parser.add_argument('--num-steps', type=int, default=5, help='NFE of each sample')
    return parser.parse_args()


def photograph(name: str, side: int, box: tuple[int, int, int] | None = None):
    """A square of a photograph of scikit-image, ``side`` pixels wide.

    Args:
        name: of the photograph.
        side: pixels of the result.
        box: top, left and side of the square; None takes the largest one in the middle.
    """
    from skimage import data

    from mmadm.utils import resize

    image = getattr(data, name)()
    if box is None:
        short = min(image.shape[:2])
        box = (*((length - short) // 2 for length in image.shape[:2]), short)
    top, left, length = box
    square = image[top : top + length, left : left + length, :3]
    return resize(square, (side, side), 'bicubic')


def super_resolution(side: int) -> Example:
    from mmadm.utils import matlab_resize, resize

    small = matlab_resize(photograph('chelsea', side), (side // 4, side // 4))
    return resize(small, (side, side), 'nearest'), dict(inputs=small)


def edges(side: int) -> Example:
    image = photograph('coffee', side)
    return image, dict(inputs=image)


def saliency(side: int) -> Example:
    image = photograph('rocket', side)
    return image, dict(inputs=image)


def inpainting(side: int) -> Example:
    from mmadm.utils import resize
    from mmadm.visualization.images import with_holes

    # The size of its training.
    image = photograph('astronaut', 128, box=(0, 130, 190))
    hole = np.zeros((128, 128), np.uint8)
    hole[70:92, 20:110] = 255
    hole[20:60, 84:100] = 255
    shown = resize(with_holes(image, hole), (side, side), 'nearest')
    return shown, dict(inputs=image, masks=hole)


def faces(side: int) -> Example:
    noise = np.random.default_rng(0).normal(128, 60, (64, 64, 3)).clip(0, 255)
    from mmadm.utils import resize

    shown = resize(noise.astype(np.uint8), (side, side), 'nearest')
    return shown, dict(num_samples=16, batch_size=16)


#: Model -> its caption, and its example.
EXAMPLES: dict[str, tuple[str, Callable[[int], Example]]] = {
    'adm_sr_small': ('super-resolution 4x', super_resolution),
    'adm_inpaint_small': ('inpainting', inpainting),
    'adm_faces_small': ('generation', faces),
    'adm_saliency_small': ('saliency', saliency),
    'adm_edge_small': ('edges', edges),
}


def draw(model: str, side: int, num_steps: int) -> np.ndarray:
    """Input above prediction, with captions."""
    from mmadm.apis import ADMInferencer
    from mmadm.utils import resize
    from mmadm.visualization.images import captioned, column, grid

    caption, make = EXAMPLES[model]
    shown, request = make(side)
    inferencer = ADMInferencer(model, show_progress=False)
    outputs = inferencer(**request, num_steps=num_steps)['predictions']
    output = grid(outputs) if len(outputs) > 1 else outputs[0]
    if output.ndim == 2:
        output = np.repeat(output[..., None], 3, axis=2)
    output = resize(output, (side, side), 'bicubic')
    below = f'{model}, NFE {num_steps}'
    return column([captioned(shown, caption), captioned(output, below)])


def main() -> None:
    args = parse_args()
    from PIL import Image

    from mmadm.apis import trained_models
    from mmadm.visualization.images import row

    models = [name for name in EXAMPLES if name in trained_models()]
    figure = row([draw(name, args.side, args.num_steps) for name in models])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(figure).save(args.out)
    print(f'{", ".join(models)}: written to {args.out}')


if __name__ == '__main__':
    main()
