"""An exported graph against its model in PyTorch: the same images, and how much faster.

    python benchmarks/deployment.py
    python tools/deployment/export.py adm_edge_small edge.onnx --num-steps 5
    python benchmarks/deployment.py adm_edge_small edge.onnx --side 128

Without a file, the model is exported to ONNX, with its number of steps. The predictions
of the inferencer are compared for photographs of scikit-image, or those of --inputs,
and for ONNX files also the output of ONNX Runtime alone, which knows nothing but the
file. Then sampling is timed, with the tensors of the first image.
Runtimes that are not installed are left out.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import (
    leave_out,
    make_parser,
    print_table,
    print_values,
    set_up,
    take_turns,
)
from torch import Tensor, nn

from mmadm.apis import ADMInferencer, load_model
from mmadm.deployment import BACKENDS, export_model
from mmadm.deployment.export import SamplingGraph
from mmadm.utils import resize

PHOTOGRAPHS = ('astronaut', 'chelsea', 'coffee', 'rocket')


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=7)
    parser.add_argument(
        'model',
        nargs='?',
        default='adm_sr_small',
        help='name of a shipped model, or config file',
    )
    parser.add_argument('file', nargs='?', help='its .onnx or .pt2 file')
    parser.add_argument('--weights', help='checkpoint of a config')
    parser.add_argument('--inputs', help='folder of input images')
    parser.add_argument('--masks', help='holes for inpainting; default: a square')
    parser.add_argument('--number', type=int, default=4, help='images at most')
    parser.add_argument('--side', type=int, default=128, help='longer side of an input')
    args = parser.parse_args()
    set_up(args)
    with tempfile.TemporaryDirectory() as folder:
        args.file = args.file or export(args, Path(folder))
        compare(args)


def export(args: Any, folder: Path) -> str:
    """The model's ONNX file, or its .pt2 where the libraries are missing."""
    source = load_model(args.model, args.weights)
    try:
        return str(export_model(source, folder / 'model.onnx'))
    except ImportError as error:
        leave_out('ONNX', error)
        return str(export_model(source, folder / 'model.pt2'))


def compare(args: Any) -> None:
    """The predictions of all runtimes, then their time."""
    model = ADMInferencer(args.model, args.weights, 'cpu', show_progress=False)
    graphs = open_all(args.file)
    (steps,) = {graph.model.num_steps for graph in graphs.values()}
    options = inputs_of(model, args)
    expected = model(num_steps=steps, **options)['predictions']
    half = ADMInferencer(args.model, args.weights, 'cpu', False, dtype='bfloat16')
    found = half(num_steps=steps, **options)['predictions']
    equal = {'PyTorch, bfloat16': agreement(found, expected)}
    for name, graph in graphs.items():
        equal[name] = agreement(graph(**options)['predictions'], expected)

    feeds = record(next(iter(graphs.values())), options)
    eager, short = (sampling(x.model, steps) for x in (model, half))
    with torch.no_grad():
        images = [to_uint8(eager(*feed).numpy()) for feed in feeds]
        if Path(args.file).suffix == '.onnx':
            alone = run_alone(args.file, feeds)
            equal['ONNX Runtime alone'] = agreement(alone, images)
        runs = {'PyTorch': eager, 'PyTorch, bfloat16': autocast(short)}
        runs |= {name: graph.model.head for name, graph in graphs.items()}
        timings = take_turns(
            {name: lambda run=run: run(*feeds[0]) for name, run in runs.items()},
            args.repeats,
        )
    for index, title in enumerate(('fraction of equal values', 'largest difference')):
        values = {name: pair[index] for name, pair in equal.items()}
        print_values(f'{title}, 8-bit predictions', values)
    side = 'x'.join(map(str, images[0].shape[-2:]))
    print_table(
        timings, 'PyTorch', f'Sampling with {args.model}, {side}, {steps} steps'
    )


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
            leave_out(name, error)
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


def sampling(network: nn.Module, steps: int) -> SamplingGraph:
    network.test_cfg['num_steps'] = steps
    return SamplingGraph(network)


def autocast(run: Callable) -> Callable:
    """The same computation in bfloat16."""
    return torch.autocast('cpu', torch.bfloat16)(run.forward)


def to_uint8(image: np.ndarray) -> np.ndarray:
    return np.rint((image + 1) * 127.5).clip(0, 255).astype(np.uint8)


def agreement(found: Sequence, expected: Sequence) -> tuple[float, int]:
    """Fraction of equal 8-bit values, and the largest difference."""
    pairs = zip(found, expected, strict=True)
    levels = np.concatenate([np.abs(a.astype(int) - b).ravel() for a, b in pairs])
    return float((levels == 0).mean()), int(levels.max())


if __name__ == '__main__':
    main()
