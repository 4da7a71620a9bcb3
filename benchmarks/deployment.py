"""An exported graph against its model in PyTorch: the same images, and how much faster.

    python tools/deployment/export.py adm_sr_small sr.onnx --num-steps 5
    python benchmarks/deployment.py adm_sr_small sr.onnx --side 128

The predictions of the inferencer are compared for photographs of scikit-image, or those
of --inputs, and for ONNX files also the output of ONNX Runtime alone, which knows
nothing but the file. Then sampling is timed, with the tensors of the first image.
Runtimes that are not installed are left out.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import make_parser, print_table, set_up, take_turns
from torch import Tensor

from mmadm.apis import ADMInferencer
from mmadm.deployment import BACKENDS
from mmadm.deployment.export import SamplingGraph
from mmadm.utils import resize

PHOTOGRAPHS = ('astronaut', 'chelsea', 'coffee', 'rocket')


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=7)
    parser.add_argument('model', help='name of a shipped model, or config file')
    parser.add_argument('file', help='its .onnx or .pt2 file')
    parser.add_argument('--weights', help='checkpoint of a config')
    parser.add_argument('--inputs', help='folder of input images')
    parser.add_argument('--masks', help='holes for inpainting; default: a square')
    parser.add_argument('--number', type=int, default=4, help='images at most')
    parser.add_argument('--side', type=int, default=128, help='longer side of an input')
    args = parser.parse_args()
    set_up(args)

    model = ADMInferencer(args.model, args.weights, 'cpu', show_progress=False)
    graphs = open_all(args.file)
    (steps,) = {graph.model.num_steps for graph in graphs.values()}
    options = inputs_of(model, args)
    expected = model(num_steps=steps, **options)['predictions']
    half = ADMInferencer(args.model, args.weights, 'cpu', False, dtype='bfloat16')
    found = half(num_steps=steps, **options)['predictions']
    report('PyTorch, bfloat16', found, expected)
    for name, graph in graphs.items():
        report(name, graph(**options)['predictions'], expected)

    feeds = record(next(iter(graphs.values())), options)
    network = model.model
    network.test_cfg['num_steps'] = steps
    eager = SamplingGraph(network)
    with torch.no_grad():
        images = [to_uint8(eager(*feed).numpy()) for feed in feeds]
        if Path(args.file).suffix == '.onnx':
            report('ONNX Runtime alone', run_alone(args.file, feeds), images)
        runs = {'PyTorch': eager, 'PyTorch, bfloat16': autocast(eager)}
        runs |= {name: graph.model.head for name, graph in graphs.items()}
        timings = take_turns(
            {name: lambda run=run: run(*feeds[0]) for name, run in runs.items()},
            args.repeats,
        )
    print(f'Sampling of {tuple(images[0].shape)}:')
    print_table(timings, 'PyTorch')


def open_all(path: str) -> dict[str, ADMInferencer]:
    """The file in each runtime that is installed."""
    graphs = {}
    for name, runtime in BACKENDS.items():
        fits = Path(path).suffix == runtime.suffix
        try:
            for dtype in runtime.precisions if fits else ():
                graphs[f'{name}, {dtype}'] = ADMInferencer(
                    path, None, 'cpu', False, dtype, name
                )
        except ImportError as error:
            print(f'{name} is left out: {error}')
    return graphs


def inputs_of(model: ADMInferencer, args: Any) -> dict[str, Any]:
    """Arguments of the inferencer."""
    if not model.is_conditional:
        return dict(num_samples=args.number)
    if args.inputs:
        paths = sorted(x for x in Path(args.inputs).iterdir() if x.is_file())
        images = [str(path) for path in paths[: args.number]]
    else:
        images = [photograph(x, args.side) for x in PHOTOGRAPHS[: args.number]]
    if not model.takes_masks:
        return dict(inputs=images)
    return dict(inputs=images, masks=args.masks or [square(x) for x in images])


def photograph(name: str, side: int) -> np.ndarray:
    """A photograph of scikit-image, whose longer side has so many pixels."""
    from skimage import data

    image = getattr(data, name)()
    scale = side / max(image.shape[:2])
    size = tuple(round(scale * length) for length in image.shape[:2])
    return resize(image, size, 'bicubic')


def square(image: np.ndarray | str) -> np.ndarray:
    """A hole of a third of the image's sides, in its middle."""
    from mmadm.utils.images import read_image

    image = read_image(image, 'color') if isinstance(image, str) else image
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 1
    return mask


def record(graph: ADMInferencer, options: dict) -> list[tuple[Tensor | None, Tensor]]:
    """What the graph gets for each image."""
    feeds = []
    hook = graph.model.head.register_forward_pre_hook(
        lambda _, args: feeds.append(args)
    )
    graph(**options)
    hook.remove()
    return feeds


def run_alone(path: str, feeds: Sequence) -> list[np.ndarray]:
    """The images of ONNX Runtime, converted as the file's description says."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    print(session.get_modelmeta().custom_metadata_map['mmadm_interface'])
    names = [x.name for x in session.get_inputs()]
    arrays = [[x.numpy() for x in feed if x is not None] for feed in feeds]
    return [to_uint8(session.run(None, dict(zip(names, x)))[0]) for x in arrays]


def autocast(run: Callable) -> Callable:
    """The same computation in bfloat16."""
    return torch.autocast('cpu', torch.bfloat16)(run.forward)


def to_uint8(image: np.ndarray) -> np.ndarray:
    return np.rint((image + 1) * 127.5).clip(0, 255).astype(np.uint8)


def report(name: str, found: Sequence, expected: Sequence) -> None:
    pairs = zip(found, expected, strict=True)
    levels = np.concatenate([np.abs(a.astype(int) - b).ravel() for a, b in pairs])
    equal = (levels == 0).mean()
    print(f'{name}: {equal:.4%} of the values equal, {levels.max()} off at most')


if __name__ == '__main__':
    main()
