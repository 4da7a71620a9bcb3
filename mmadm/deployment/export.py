"""Export: condition encoder, all sampling steps and decoding as one graph."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from mmadm.checkpoints import put_weights
from mmadm.registry import MODELS
from mmadm.utils import fold_weights, require_torch
from mmadm.utils.files import atomic_write

from .graph_file import SUFFIXES, Description, GraphFacts
from .runtimes import BACKENDS, TEXTS, Runtime

#: Largest difference of the image, in [-1, 1], that the runtime may make.
TOLERANCE = 1e-3
#: Side of the images of the trace, in pixels; other sizes are compared afterwards.
_TRACED = (192, 256)


class SamplingGraph(nn.Module):
    """Condition and noise to images: the whole of the sampling, as a function.

    Args:
        model: an ADM, in evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, condition: Tensor | None, noise: Tensor) -> Tensor:
        """Conditions (N, C', H', W') and noise (N, K, C, h, w) to (N, C, H, W)."""
        draws = iter(noise.unbind(1))
        return self.model.prepare(condition, layout=None)(lambda: next(draws))


class UnconditionalGraph(SamplingGraph):
    """:class:`SamplingGraph` without condition."""

    def forward(self, noise: Tensor) -> Tensor:
        return super().forward(None, noise)


def export_model(
    source: Any,
    target: str | Path,
    num_steps: int | None = None,
    window: int | None = None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model as one graph that a runtime executes without mmadm.

    The graph is run at several sizes, and its images are compared with the model's,
    before the file gets its name.

    Args:
        source: config and checkpoint, as :func:`mmadm.apis.load_model` gives them.
        target: ``.onnx`` or ``.pt2`` file.
        num_steps: NFE; None takes the config's.
        window: side of the images of a graph of fixed size; larger images are then
            sampled in windows, smaller ones are padded. None: any size.
        info: facts to write beside those of a published model.

    Returns:
        the path of the file.

    Raises:
        ImportError: ``onnx`` and ``onnxscript`` are needed, but are not installed, or
            PyTorch is too old.
        ValueError: the suffix is unknown, the size does not fit the model, or the
            graph's images differ from those of the model.
    """
    require_torch('2.10', 'Export')
    target = Path(target)
    if target.suffix not in SUFFIXES:
        raise ValueError(
            f'Models are exported to {" or ".join(SUFFIXES)}, but the file is to be '
            f'{target}. Give a name with one of these suffixes.'
        )
    if target.suffix == '.onnx':
        check_onnx()
    cfg = source.config
    model = build_model(cfg, source.checkpoint, num_steps)
    facts = _facts(model, window)
    graph = (SamplingGraph if facts.is_conditional else UnconditionalGraph)(model)
    program, facts = _trace(graph, model, facts)
    description = Description(cfg, facts, {**source.info, **(info or {})})
    with atomic_write(target, durable=True) as part:
        _WRITERS[target.suffix](program, description, part)
        _compare(graph, model, facts, _runtime(target.suffix)(part, 'cpu', 'float32'))
    return target


def build_model(
    cfg: Config, checkpoint: Mapping | None, num_steps: int | None = None
) -> nn.Module:
    """The model with its weights, for whole images, in evaluation mode."""
    settings = dict(cfg.model, test_cfg=dict(cfg.model.get('test_cfg') or {}))
    for key in ('mode', 'crop', 'stride', 'blend', 'batch', 'num_samples'):
        settings['test_cfg'].pop(key, None)
    if num_steps is not None:
        settings['test_cfg']['num_steps'] = num_steps
    stage = settings.get('first_stage') or {}
    if stage.get('tile'):
        # Tiles would be for the sizes of the trace; large images have windows.
        settings['first_stage'] = dict(stage, tile=None)
    model = MODELS.build(settings)
    if checkpoint is not None:
        put_weights(model, checkpoint, 'the checkpoint')
    fold_weights(model)
    return model.eval().requires_grad_(False)


def check_onnx() -> None:
    """Raise an ImportError where the libraries that write ONNX are missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'Export to ONNX needs {error.name}, which is not installed. Run: pip '
            'install onnx onnxscript onnxruntime; or export to a .pt2 file.'
        ) from error


def example(
    facts: GraphFacts, model: nn.Module, size: tuple[int, int], batch: int = 1
) -> list[Tensor]:
    """Drawn inputs of the graph for images of a size."""
    generator = torch.Generator().manual_seed(0)
    height, width = (side // facts.factor for side in size)
    shape = (batch, facts.num_draws, facts.state_channels, height, width)
    noise = torch.randn(shape, generator=generator)
    if not facts.is_conditional:
        return [noise]
    scale = model.data_preprocessor.condition_scale
    height, width = (side // scale for side in size)
    shape = (batch, facts.condition_channels, height, width)
    return [2 * torch.rand(shape, generator=generator) - 1, noise]


def _facts(model: nn.Module, window: int | None) -> GraphFacts:
    cell = model.data_preprocessor.cell
    if window is not None and (window < cell or window % cell):
        raise ValueError(
            f'The window must be a multiple of {cell} pixels, the size_divisor and '
            f'condition_scale of the model, but window={window}. Give a multiple.'
        )
    steps = model.test_cfg.get('num_steps') or model.sampler.num_steps
    encoder, mean = model.condition_encoder, model.data_preprocessor.mean
    channels = getattr(encoder, 'in_channels', max(3, len(mean))) if encoder else 0
    facts = GraphFacts(
        num_steps=steps,
        num_draws=1,
        sampler=repr(model.sampler),
        state_channels=model.state_channels,
        factor=model.factor,
        is_conditional=model.is_conditional,
        condition_channels=channels,
        window=window,
        cell=cell,
    )
    return replace(facts, num_draws=_count_draws(facts, model))


@torch.no_grad()
def _count_draws(facts: GraphFacts, model: nn.Module) -> int:
    """How often the sampler draws noise.

    This run also computes the numbers of the time grid, which are cached: in the trace
    they are constants.
    """
    *condition, noise = example(facts, model, _sizes(facts, model)[0])
    count = 0

    def draw() -> Tensor:
        nonlocal count
        count += 1
        return noise[:, 0]

    model.prepare(condition[0] if condition else None, layout=None)(draw)
    return count


def _sizes(facts: GraphFacts, model: nn.Module) -> list[tuple[int, int]]:
    """Sizes of images at which the graph is traced (the first one) and compared."""
    if facts.window is not None:
        return [(facts.window, facts.window)]
    cell = model.data_preprocessor.cell
    first = tuple(max(1, side // cell) * cell for side in _TRACED)
    # An odd number of cells, and another ratio of the sides.
    odd = tuple((side // cell // 2 * 2 + 3) * cell for side in first)
    smallest = tuple(-(-side // cell) * cell for side in facts.min_size)
    return [first, odd[::-1], smallest]


def _trace(
    graph: SamplingGraph, model: nn.Module, facts: GraphFacts
) -> tuple[torch.export.ExportedProgram, GraphFacts]:
    """The graph, and the facts with the size of the smallest image."""
    # What torch.export raises. Their import takes seconds, as that of the export.
    from torch._dynamo.exc import UserError
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    size, cell = _sizes(facts, model)[0], model.data_preprocessor.cell
    inputs = example(facts, model, size, batch=2)

    def export(batch: Any, *sides: Any) -> torch.export.ExportedProgram:
        shapes = []
        for x in inputs:
            cells = {
                i: _times(cell * x.shape[i] // length, side)
                for i, length, side in zip((-2, -1), size, sides)
            }
            shapes.append({0: batch, **{x.dim() + i: n for i, n in cells.items()}})
        with _quiet(), torch.no_grad():
            return torch.export.export(graph, (*inputs,), dynamic_shapes=(*shapes,))

    auto = torch.export.Dim.AUTO
    try:
        if facts.window:
            return export(auto), facts
        try:
            # A whole number of cells: sizes on the levels of a U-Net are then products.
            # Those of any number are nested divisions, with which the trace takes
            # minutes.
            return export(*map(torch.export.Dim, ('batch', 'rows', 'columns'))), facts
        except UserError:
            # The network treats small images differently, or needs them larger.
            program = export(auto, auto, auto)
            return program, _with_min_size(facts, program)
    except (UserError, GuardOnDataDependentSymNode) as error:
        problem = f'The network cannot be traced by torch.export: {_reason(error)}'
        raise ValueError(_refusal(facts, problem)) from error


def _times(factor: int, dim: Any) -> Any:
    is_plain = factor == 1 or dim is torch.export.Dim.AUTO
    return dim if is_plain else factor * dim


def _with_min_size(
    facts: GraphFacts, program: torch.export.ExportedProgram
) -> GraphFacts:
    """The smallest image, from the bounds that the trace has found."""
    noise = next(
        node.meta['val']
        for node in program.graph.nodes
        if node.op == 'placeholder' and node.name.startswith('noise')
    )
    bounds = {str(name): int(r.lower) for name, r in program.range_constraints.items()}
    sides = [bounds.get(str(side), 1) * facts.factor for side in noise.shape[-2:]]
    return replace(facts, min_size=tuple(sides))


def _write_onnx(
    program: torch.export.ExportedProgram, description: Description, path: Path
) -> None:
    import onnx

    names = ['condition', 'noise'] if description.facts.is_conditional else ['noise']
    with _quiet():
        written = torch.onnx.export(
            program,
            input_names=names,
            output_names=['image'],
            dynamo=True,
            verbose=False,
            external_data=False,
        )
    proto = written.model_proto
    # Where each node stood in the Python code, with the paths of this machine.
    inside = [node for function in proto.functions for node in function.node]
    nodes = [*proto.graph.node, *inside]
    for part in (*nodes, *proto.graph.value_info, proto.graph):
        del part.metadata_props[:]
        part.doc_string = ''
    proto.producer_name, proto.producer_version = 'mmadm', description.version
    proto.doc_string = (
        f'{description.facts.num_steps} steps: {description.facts.sampler}'
    )
    onnx.helper.set_model_props(proto, description.to_texts())
    onnx.save(proto, path)


def _write_pt2(
    program: torch.export.ExportedProgram, description: Description, path: Path
) -> None:
    # Pickled, and of no use.
    program.example_inputs = None
    for node in program.graph.nodes:
        # With the paths of this machine.
        node.meta.pop('stack_trace', None)
    texts = {TEXTS: json.dumps(description.to_texts())}
    torch.export.save(program, str(path), extra_files=texts)


_WRITERS = {'.onnx': _write_onnx, '.pt2': _write_pt2}


def _runtime(suffix: str) -> type[Runtime]:
    return next(kind for kind in BACKENDS.values() if kind.suffix == suffix)


@torch.no_grad()
def _compare(
    graph: SamplingGraph, model: nn.Module, facts: GraphFacts, runtime: Runtime
) -> None:
    """Refuse a graph whose images differ, at any of the sizes."""
    for size in _sizes(facts, model):
        inputs = example(facts, model, size)
        expected = graph(*inputs)
        place = f'The exported graph does not work at {size[0]} x {size[1]} pixels'
        try:
            image = runtime(*([None] * (2 - len(inputs)) + inputs))
            difference = float((image - expected).abs().max())
        except Exception as error:
            problem = f'{place}: {_reason(error)}'
            raise ValueError(_refusal(facts, problem)) from error
        if not difference <= TOLERANCE:
            problem = f'{place}: its images differ by {difference:.2g} from the model'
            raise ValueError(_refusal(facts, problem))
        print_log(
            f'At {size[0]} x {size[1]} pixels the exported graph differs from the '
            f'model by {difference:.1e} (images in [-1, 1]).',
            'current',
        )


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _refusal(facts: GraphFacts, problem: str) -> str:
    advice = (
        'Export a graph of fixed size with --window.'
        if facts.window is None
        else 'Report this model, or replace what depends on the values of tensors.'
    )
    return f'{problem}. Nothing was written. {advice}'


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' progress and hints, which users cannot act on."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'torch.fx')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
