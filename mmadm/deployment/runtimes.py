"""Runtimes of exported graphs: PyTorch, ONNX Runtime and OpenVINO.

The latter two are optional dependencies (``requirements/optional.txt``).
"""

import json
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from .graph_file import SUFFIXES, Description, GraphFacts, read_description

#: Name of the description in a ``.pt2`` file.
TEXTS = 'mmadm.json'
# What a .pt2 file of mmadm has inside, below its root.
_ENTRY = re.compile(
    r'data/(weights|constants)/((weight|tensor)_\d+|\w+_config\.json)'
    r'|models/model\.json|extra/mmadm\.json|archive_format|archive_version|byteorder'
    r'|\.data/(version|serialization_id)'
)
# Expressions of sizes, as SymPy prints them: classes such as FloorDiv, numbers, and
# symbols such as 's27' with their assumptions. Functions that run code have names in
# lower case.
_ARITHMETIC = re.compile(
    r"((?<![\w.'])("
    r"'(s|u|zuf|zf)\d+'|'[\d.e+-]+'|[a-z_]+=(True|False|None|\d+)"
    r'|[A-Z][A-Za-z]*|(s|u|zuf)\d+|\d+(\.\d+)?'
    r")(?![\w'])|[\s+\-*/%(),<>=!&|])*"
)


class Runtime(ABC):
    """Base class of runtimes: a loaded graph.

    Args:
        path: the exported file.
        device: 'cpu', 'cuda', ...
        precision: of the computation, one of ``precisions``.
    """

    #: Suffix of the files that it reads.
    suffix = '.onnx'
    #: What it can compute a graph of float32 in.
    precisions: tuple[str, ...] = ('float32',)

    @abstractmethod
    def __init__(self, path: str | Path, device: str, precision: str) -> None: ...

    path: Path
    #: What the file says about itself.
    description: Description
    #: As of :class:`mmadm.checkpoints.ModelSource`: the weights are in the graph.
    checkpoint = None

    @property
    def config(self) -> Config:
        """The config of the model."""
        return self.description.config

    @property
    def info(self) -> dict[str, Any]:
        """Facts of the model: data and their terms, licence, scores, ..."""
        return self.description.info

    @property
    def facts(self) -> GraphFacts:
        """What is needed to run the graph."""
        return self.description.facts

    @abstractmethod
    def __call__(self, condition: Tensor | None, noise: Tensor) -> Tensor:
        """Images (N, C, H, W), float32, on the CPU or the device of ``noise``."""


class TorchRuntime(Runtime):
    """A ``.pt2`` file of ``torch.export``, in PyTorch."""

    suffix = '.pt2'

    def __init__(self, path: str | Path, device: str, precision: str) -> None:
        check_no_code(path)
        texts = {TEXTS: ''}
        program = torch.export.load(str(path), extra_files=texts)
        self.description = read_description(_parsed(texts[TEXTS]), path)
        if torch.device(device).type != 'cpu':
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        # Convolutions are faster with it, as in prepare_inference.
        self.graph = program.module().to(memory_format=torch.channels_last)

    def __call__(self, condition: Tensor | None, noise: Tensor) -> Tensor:
        with torch.no_grad():
            return self.graph(*_inputs(condition, noise).values())


class OnnxRuntime(Runtime):
    """An ``.onnx`` file in ONNX Runtime."""

    def __init__(self, path: str | Path, device: str, precision: str) -> None:
        onnxruntime = _optional('onnxruntime', path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        providers = ['CPUExecutionProvider']
        if torch.device(device).type == 'cuda':
            providers.insert(0, 'CUDAExecutionProvider')
        with _readable(path):
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=providers
            )
            texts = self.session.get_modelmeta().custom_metadata_map
        self.description = read_description(texts, path)

    def __call__(self, condition: Tensor | None, noise: Tensor) -> Tensor:
        inputs = _inputs(condition, noise)
        arrays = {name: x.cpu().numpy() for name, x in inputs.items()}
        return torch.from_numpy(self.session.run(None, arrays)[0])


class OpenVINORuntime(Runtime):
    """An ``.onnx`` file in OpenVINO, on the CPU."""

    precisions = ('float32', 'bfloat16')

    def __init__(self, path: str | Path, device: str, precision: str) -> None:
        openvino = _optional('openvino', path)
        with _readable(path):
            core = openvino.Core()
            model = core.read_model(str(path))
            self.description = read_description(_rt_info(model), path)
            settings = {
                # Its default is the fastest precision of the processor.
                'INFERENCE_PRECISION_HINT': dict(float32='f32', bfloat16='bf16')[
                    precision
                ],
                'INFERENCE_NUM_THREADS': torch.get_num_threads(),
            }
            self.model = core.compile_model(model, 'CPU', settings)

    def __call__(self, condition: Tensor | None, noise: Tensor) -> Tensor:
        inputs = _inputs(condition, noise)
        arrays = {name: x.cpu().numpy() for name, x in inputs.items()}
        return torch.from_numpy(self.model(arrays)[0].copy())


#: Name -> runtime.
BACKENDS: dict[str, type[Runtime]] = {
    'torch': TorchRuntime,
    'onnxruntime': OnnxRuntime,
    'openvino': OpenVINORuntime,
}


def is_graph_file(path: Any) -> bool:
    """Whether this names an exported file."""
    return isinstance(path, str | Path) and Path(path).suffix in SUFFIXES


def open_graph(
    path: str | Path,
    backend: str | None = None,
    device: str = 'cpu',
    precision: str = 'float32',
) -> Runtime:
    """Load an exported file.

    Args:
        path: ``.onnx`` or ``.pt2`` file.
        backend: a name in :data:`BACKENDS`; None takes 'onnxruntime' for ``.onnx``
            files and 'torch' for ``.pt2`` files.
        device: where it runs.
        precision: in which it computes: 'float32', or with OpenVINO 'bfloat16'.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the runtime is not installed.
        ValueError: the file is broken, was not exported by mmadm, or does not fit the
            backend.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'Exported model not found: {path}. Export one with '
            'tools/deployment/export.py.'
        )
    if backend is None:
        backend = 'torch' if path.suffix == TorchRuntime.suffix else 'onnxruntime'
    if backend not in BACKENDS or BACKENDS[backend].suffix != path.suffix:
        fitting = [
            k for k, runtime in BACKENDS.items() if runtime.suffix == path.suffix
        ]
        raise ValueError(
            f'No backend={backend!r} for {path.suffix} files: {path}. Use one of '
            f'{fitting}.'
        )
    if precision not in BACKENDS[backend].precisions:
        raise ValueError(
            f'{backend} computes exported graphs in the precision in which they were '
            f'exported, but {precision} was given with {path}. Leave it out, use '
            "backend='openvino', or run the model itself."
        )
    graph = BACKENDS[backend](path, device, precision)
    graph.path = path
    return graph


def check_no_code(path: str | Path) -> None:
    """Refuse a ``.pt2`` file with anything but numbers and a graph.

    ``torch.export.load`` unpickles what a file declares as pickled, loads compiled
    libraries, and evaluates the expressions of sizes. The files that mmadm writes have
    no pickles and no libraries, and their expressions are arithmetic.

    Raises:
        ValueError: there is more, or the file is no such archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            suspicious = [
                x.filename for x in archive.infolist() if _is_code(archive, x)
            ]
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, AttributeError) as error:
        raise ValueError(
            f'Exported model is truncated or broken: {path} ({error}). Copy or export '
            'it again.'
        ) from error
    if suspicious or not any(name.endswith('/models/model.json') for name in names):
        raise ValueError(
            f'The file could run code: {path} has {suspicious[:3]}, which mmadm does '
            'not write. Export it again with tools/deployment/export.py.'
        )


def _is_code(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is none of those that are known to be data."""
    inside = entry.filename.partition('/')[2]
    if inside == 'data/sample_inputs/model.pt':
        return entry.file_size > 0
    if inside.endswith('_config.json'):
        payloads = json.loads(archive.read(entry)).get('config', {}).values()
        if any(payload.get('use_pickle') for payload in payloads):
            return True
    if inside == 'models/model.json':
        texts = _expressions(json.loads(archive.read(entry)))
        if not all(map(_ARITHMETIC.fullmatch, texts)):
            return True
    return not _ENTRY.fullmatch(inside)


def _expressions(value: Any) -> Iterator[str]:
    """All ``expr_str`` in the graph."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == 'expr_str':
                yield str(item)
            else:
                yield from _expressions(item)
    elif isinstance(value, list):
        for item in value:
            yield from _expressions(item)


def _inputs(condition: Tensor | None, noise: Tensor) -> dict[str, Tensor]:
    return (
        dict(noise=noise)
        if condition is None
        else dict(condition=condition, noise=noise)
    )


def _optional(name: str, path: str | Path) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{name} is needed to run {path}, but is not installed. Run: pip install '
            f'{name}'
        ) from error


class _readable:
    """Turns the errors of a runtime about a file into one that names it."""

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: Exception | None, _: Any) -> None:
        if error is not None and not isinstance(error, ValueError | KeyboardInterrupt):
            reason = str(error).strip().splitlines()[0][:200]
            raise ValueError(
                f'Exported model cannot be read: {self.path} ({reason}). Export it '
                'again with tools/deployment/export.py, or update the runtime.'
            ) from error


def _rt_info(model: Any) -> dict[str, str]:
    """The metadata of an ONNX file, where OpenVINO keeps them."""
    names = ('mmadm_config', 'mmadm_graph', 'mmadm_info', 'mmadm_version')
    places = {name: ['framework', name] for name in names}
    return {
        name: model.get_rt_info(place).astype(str)
        for name, place in places.items()
        if model.has_rt_info(place)
    }


def _parsed(text: str | bytes) -> Mapping[str, str]:
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError):
        return {}
