"""Static quantisation of an exported graph to 8 bits, with a gate on its quality."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import print_log
from torch import Tensor

from mmadm.deployment.export import check_onnx
from mmadm.utils.files import atomic_write
from mmadm.utils.image_files import pair_folders
from mmadm.utils.images import read_image

from .inferencer import ADMInferencer

# Operations with weights, which are computed in 8 bits.
_LAYERS = ('Conv', 'MatMul', 'Gemm')


class Loss(NamedTuple):
    """Mean PSNR of the predictions in dB, before and after."""

    before: float
    after: float


def quantize_model(
    source: str | Path,
    target: str | Path,
    calibration: str | Path,
    inputs: str | Path,
    ground_truth: str | Path,
    max_loss: float = 0.1,
    calibration_masks: str | Path | None = None,
    masks: str | Path | None = None,
) -> Loss:
    """Write a graph whose convolutions and matrix products are computed in 8 bits.

    Weights have a scale per channel; the ranges of the activations are those of the
    calibration images. The first and the last layers stay as they are (see
    :func:`outer_layers`). The file is written only if the predictions for the given
    pairs keep their quality.

    Args:
        source: ``.onnx`` file of ``tools/deployment/export.py``.
        target: ``.onnx`` file to write.
        calibration: input images of the task, a few dozen, without ground truth.
        inputs: input images of the pairs.
        ground_truth: their ground truth, paired by name.
        max_loss: how much PSNR the predictions may lose, in dB.
        calibration_masks: for inpainting, the holes of the calibration images, paired
            by name.
        masks: likewise of the input images.

    Returns:
        the scores before and after.

    Raises:
        ImportError: ``onnx`` or ``onnxruntime`` is not installed.
        ValueError: the files are no ONNX files, or more quality is lost.
    """
    check_onnx()
    for path in (Path(source), Path(target)):
        if path.suffix != '.onnx':
            raise ValueError(
                f'Graphs in the ONNX format are quantised, but a file is {path}. '
                'Export to .onnx first.'
            )
    before = score(source, inputs, ground_truth, masks)
    feeds = _feeds(source, calibration, calibration_masks)
    with atomic_write(target, durable=True) as part:
        _quantize(source, part, feeds)
        loss = Loss(before, score(part, inputs, ground_truth, masks))
        print_log(
            f'PSNR: {loss.before:.3f} dB in float32, {loss.after:.3f} dB in 8 bits.',
            'current',
        )
        if not loss.before - loss.after <= max_loss:
            raise ValueError(
                f'8 bits lose {loss.before - loss.after:.3f} dB of PSNR; {max_loss} '
                f'are allowed. {target} was not written. Give more calibration images '
                'of the same kind, or a larger --max-loss.'
            )
    return loss


def score(
    path: str | Path,
    inputs: str | Path,
    ground_truth: str | Path,
    masks: str | Path | None = None,
) -> float:
    """Mean PSNR in dB of the predictions of an exported graph for folders of images."""
    pairs = pair_folders(inputs, ground_truth)
    holes = pair_folders(inputs, masks) if masks else None
    model = ADMInferencer(path, device='cpu', show_progress=False)
    values = []
    for name, (image, expected) in pairs.items():
        mask = holes and str(holes[name][1])
        (prediction,) = model(str(image), masks=mask)['predictions']
        kind = 'color' if prediction.ndim == 3 else 'grayscale'
        gt = read_image(expected, kind)
        if gt.shape[:2] != prediction.shape[:2]:
            raise ValueError(
                f'The prediction for {image} has {prediction.shape[:2]} pixels, but '
                f'{expected} has {gt.shape[:2]}. Pair files of one size.'
            )
        error = np.square(gt.reshape(prediction.shape).astype(float) - prediction)
        values.append(10 * np.log10(255**2 / max(error.mean(), 1e-10)))
    return float(np.mean(values))


def outer_layers(graph: Any) -> list[str]:
    """The first and the last layers, which stay in float32.

    Images and noise are rounded visibly to 256 values: these layers take an input of
    the graph, or give its output, without another layer between. In a graph of several
    steps that is so in each of them.

    Args:
        graph: an ``onnx.GraphProto``, whose nodes are in the order of computation.

    Returns:
        the names of the nodes.
    """
    # A shape is no image.
    nodes = [node for node in graph.node if node.op_type != 'Shape']
    forward = [(node, node.input, node.output) for node in nodes]
    backward = [(node, node.output, node.input) for node in reversed(nodes)]
    found: set[str] = set()
    for ends, edges in ((graph.input, forward), (graph.output, backward)):
        near = {end.name for end in ends}
        for node, before, after in edges:
            if near.isdisjoint(before):
                continue
            if node.op_type in _LAYERS:
                found.add(node.name)
            else:
                near.update(after)
    return sorted(found)


def _feeds(
    path: str | Path, calibration: str | Path, masks: str | Path | None
) -> list[dict[str, np.ndarray]]:
    """What the graph gets for the calibration images."""
    model = ADMInferencer(path, device='cpu', show_progress=False)
    feeds = []

    def record(_, args: tuple[Tensor | None, Tensor]) -> None:
        pairs = zip(('condition', 'noise'), args)
        feeds.append({name: x.numpy() for name, x in pairs if x is not None})

    hook = model.model.head.register_forward_pre_hook(record)
    model(str(calibration), masks=masks and str(masks))
    hook.remove()
    return feeds


def _quantize(source: str | Path, target: Path, feeds: Sequence[dict]) -> None:
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.feeds: Iterator[dict] = iter(feeds)

        def get_next(self) -> dict | None:
            return next(self.feeds, None)

    with TemporaryDirectory() as folder:
        prepared = Path(folder, 'prepared.onnx')
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(target),
            Reader(),
            per_channel=True,
            op_types_to_quantize=list(_LAYERS),
            nodes_to_exclude=outer_layers(onnx.load(prepared).graph),
        )
    proto = onnx.load(target)
    texts = {prop.key: prop.value for prop in onnx.load(source).metadata_props}
    texts['mmadm_graph'] = json.dumps(
        {**json.loads(texts['mmadm_graph']), 'precision': 'int8'}
    )
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, texts)
    onnx.save(proto, target)
