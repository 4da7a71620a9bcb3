"""Sampling with an exported graph in each runtime, against the model in PyTorch.

    python tools/deployment/export.py adm_sr_small sr.onnx --num-steps 5
    python benchmarks/deployment.py adm_sr_small sr.onnx --size 128

The inputs are the same tensors, and the images are compared. Runtimes that are not
installed are left out.
"""

import torch
from measure import make_parser, print_table, set_up, take_turns

from mmadm.apis import load_model
from mmadm.deployment import open_graph
from mmadm.deployment.export import SamplingGraph, build_model, example


def main() -> None:
    parser = make_parser(__doc__.splitlines()[0], repeats=7)
    parser.add_argument('model', help='name of a shipped model')
    parser.add_argument('file', help='its .onnx file')
    parser.add_argument('--size', type=int, default=128, help='side of the images')
    parser.add_argument('--batch-size', type=int, default=1)
    args = parser.parse_args()
    set_up(args)

    graphs = {}
    for name, backend, precision in (
        ('ONNX Runtime', 'onnxruntime', 'float32'),
        ('OpenVINO', 'openvino', 'float32'),
        ('OpenVINO, bfloat16', 'openvino', 'bfloat16'),
    ):
        try:
            graphs[name] = open_graph(args.file, backend, args.device, precision)
        except ImportError as error:
            print(f'{name} is left out: {error}')
    facts = next(iter(graphs.values())).facts
    source = load_model(args.model)
    model = build_model(source.config, source.checkpoint, facts.num_steps)
    inputs = example(facts, model, (args.size, args.size), args.batch_size)
    eager = SamplingGraph(model)
    if not facts.is_conditional:
        inputs = [None, *inputs]
    variants = {'PyTorch': eager, **graphs}

    with torch.no_grad():
        images = {name: graph(*inputs) for name, graph in variants.items()}
        timings = take_turns(
            {
                name: lambda graph=graph: graph(*inputs)
                for name, graph in variants.items()
            },
            args.repeats,
            args.device,
        )
    print_table(timings, 'PyTorch')
    for name, image in images.items():
        levels = (image - images['PyTorch']).abs() * 127.5
        print(
            f'{name}: {levels.mean():.4f} grey levels off, {levels.max():.3f} at most'
        )


if __name__ == '__main__':
    main()
