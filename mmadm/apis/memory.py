"""How much memory sampling needs, and how much a device has."""

from collections import Counter
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmadm.structures import DiffusionSample

# Side of the image that is sampled to measure, in pixels.
_SIDE = 128
# Smaller images fit into the memory of any device.
_SURELY_FITS = 512 * 512
# Part of the free memory that sampling may take.
_USABLE = 0.8
# Limit and use of a container's memory, as cgroup v2 and v1 name them.
_CGROUPS = (
    ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory.current'),
    (
        '/sys/fs/cgroup/memory/memory.limit_in_bytes',
        '/sys/fs/cgroup/memory/memory.usage_in_bytes',
    ),
)


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that live at the same time inside the block."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor):
                self._add(x.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


class MemoryEstimate:
    """The memory that sampling with a model needs; measured once, when it matters.

    Args:
        model: an :class:`mmadm.models.ADM`.
    """

    def __init__(self, model) -> None:
        self.model = model
        self._per_pixel: float | None = None

    def shortage(
        self, samples: Sequence[DiffusionSample], condition: Sequence[Tensor]
    ) -> str | None:
        """A message where a batch needs more memory than is free, else None.

        Args:
            samples: have ``target_shape``; those of one size are sampled together.
            condition: of the samples.
        """
        pixels = Counter()
        for sample in samples:
            height, width = sample.target_shape
            pixels[height, width] += height * width
        ((height, width), number) = pixels.most_common(1)[0]
        if number <= _SURELY_FITS:
            return None
        if self._per_pixel is None:
            example = condition[0] if condition else None
            self._per_pixel = bytes_per_pixel(self.model, example)
        device = self.model.data_preprocessor.device
        needed, free = self._per_pixel * number, free_memory(device)
        if needed <= _USABLE * free:
            return None
        return (
            f'Images of {height} x {width} pixels need about {needed / 1e9:.1f} GB to '
            f'be sampled at once, and {free / 1e9:.1f} GB are free on {device}.'
        )


@torch.no_grad()
def bytes_per_pixel(model, condition: Tensor | None) -> float:
    """Memory that sampling needs for one pixel of the prediction.

    Measured on a small image, which takes the time of two steps.

    Args:
        model: an :class:`mmadm.models.ADM`.
        condition: any condition (C, H, W) of the model; its channels count.
    """
    # The copy shares the weights.
    model = copy(model)
    model.test_cfg = dict(model.test_cfg, num_steps=2)
    preprocessor = model.data_preprocessor
    side, _ = preprocessor.padded((_SIDE, _SIDE))
    if condition is not None:
        small = side // preprocessor.condition_scale
        condition = condition.new_zeros(1, len(condition), small, small)
    sample = DiffusionSample(metainfo=dict(sample_idx=0))
    with PeakMemory() as memory:
        model.sample((side, side), [sample], condition)
    return memory.peak / side**2


def free_memory(device: torch.device) -> float:
    """Bytes that a device can still give; infinite where this is not known."""
    if device.type == 'cuda':
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        return free + reserved - torch.cuda.memory_allocated(device)
    if device.type == 'mps':
        used = torch.mps.current_allocated_memory()
        return torch.mps.recommended_max_memory() - used
    if device.type != 'cpu':
        return float('inf')
    return min([_free_of_machine(), *map(_free_of_container, _CGROUPS)])


def _free_of_machine() -> float:
    path = Path('/proc/meminfo')  # Linux
    if not path.is_file():
        return float('inf')
    fields = dict(line.split(':') for line in path.read_text().splitlines())
    return 1024 * float(fields['MemAvailable'].split()[0])


def _free_of_container(files: tuple[str, str]) -> float:
    try:
        limit, used = (Path(file).read_text().strip() for file in files)
    except OSError:
        return float('inf')
    return float('inf') if limit == 'max' else float(limit) - float(used)
