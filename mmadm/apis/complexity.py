"""Parameters, multiply-accumulates and memory of a model, computed from its config.

The model is built on PyTorch's meta device, which stores shapes and no values: even the
largest model takes seconds and no memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode

from mmadm.registry import MODELS
from mmadm.structures import DiffusionSample

# Bytes of training per float32 parameter, without activations. A trained parameter has
# a weight, a gradient, two moments of AdamW and an average; a frozen one a weight.
_TRAINED, _FROZEN = 20, 4
#: Arguments of transforms that give the size of their result, in order of priority.
_SIZE_KEYS = ('crop_size', 'size', 'scale')


@dataclass(frozen=True)
class Part:
    """One part of a model.

    Attributes:
        name: name of the part.
        parameters: number of parameters.
        trained: number of parameters that are trained.
        macs: multiply-accumulates of one forward pass for one image.
        runs: when it runs: 'once' per image, at 'each' step, or only in 'training'.
    """

    name: str
    parameters: int
    trained: int
    macs: int
    runs: str


@dataclass(frozen=True)
class Complexity:
    """The cost of a model for one image size.

    Attributes:
        size: (H, W) of the image.
        parts: the parts, in the order in which they run.
        activations: bytes that the backward pass of one training image needs.
        training_macs: multiply-accumulates of training on one image: forward and
            backward pass, with the frozen parts.
    """

    size: tuple[int, int]
    parts: tuple[Part, ...]
    activations: int
    training_macs: int

    @property
    def parameters(self) -> int:
        """Number of parameters of all parts."""
        return sum(part.parameters for part in self.parts)

    @property
    def state_bytes(self) -> int:
        """Bytes of weights, gradients, AdamW and EMA in float32; no activations."""
        trained = sum(part.trained for part in self.parts)
        return _TRAINED * trained + _FROZEN * (self.parameters - trained)

    def sampling_macs(self, num_steps: int) -> int:
        """Multiply-accumulates of sampling one image with ``num_steps`` steps."""
        times = {'once': 1, 'each': num_steps, 'training': 0}
        return sum(times[part.runs] * part.macs for part in self.parts)

    def training_days(self, images: int, peak: float, utilization: float) -> float:
        """Days of training on ``images`` images (batch size times iterations).

        Two operations per multiply-accumulate, at a fraction of the peak:
        ``days = 2 training_macs images / (peak utilization 86400)``

        Args:
            images: number of images, each counted as often as it is used.
            peak: operations per second of all devices, by their data sheet.
            utilization: the fraction of it that training reaches.
        """
        return 2 * self.training_macs * images / (peak * utilization * 86400)


def measure(model: dict, size: Sequence[int]) -> Complexity:
    """Measure the cost of a model on the meta device.

    Args:
        model: the ``model`` of a config; weight files that it names are not read.
        size: (H, W) of the images.

    Raises:
        ValueError: it is not a diffusion model.
    """
    with torch.device('meta'):
        network = MODELS.build(model)
    if not hasattr(network, 'first_stage'):
        raise ValueError(
            'Only diffusion models can be measured, but the config has '
            f'{type(network).__name__}. Give a config of configs/adm/; its first stage '
            'is measured with it.'
        )
    network.eval()
    height, width = network.data_preprocessor.padded(size)
    image = torch.empty(1, _image_channels(network), height, width, device='meta')
    condition = _condition(network, (height, width))

    with torch.no_grad():
        features, encoding = _counted(lambda: network.encode_condition(condition))
        x_0, to_latent = _counted(lambda: network.first_stage.encode(image, condition))
        _, denoising = _counted(lambda: network.denoise(x_0, torch.ones(1), features))
        _, to_image = _counted(lambda: network.first_stage.decode(x_0, condition))

    parts = _head_parts(network.head, denoising)
    if network.condition_encoder is not None:
        macs = _total(encoding)
        parts.insert(0, _part('condition encoder', network.condition_encoder, macs))
    if any(True for _ in network.first_stage.parameters()):
        stage = network.first_stage
        parts.append(_part('first stage, decoding', stage, _total(to_image)))
        parts.append(Part('first stage, encoding', 0, 0, _total(to_latent), 'training'))
    macs, activations = _training(network, image, condition)
    return Complexity((height, width), tuple(parts), activations, macs)


def image_size(cfg: Config) -> tuple[int, int]:
    """(H, W) of the images that a config trains on.

    Raises:
        ValueError: the training pipeline does not contain it.
    """
    dataset = cfg.train_dataloader.dataset
    for transform in reversed(dataset.get('pipeline', ())):
        for key in _SIZE_KEYS:
            size = transform.get(key)
            if isinstance(size, int) and key != 'scale':
                return size, size
            if isinstance(size, list | tuple) and len(size) == 2:
                # mmcv's `scale` is (width, height), all others (height, width).
                return tuple(size[::-1] if key == 'scale' else size)
    target = (cfg.get('test_dataloader') or {}).get('dataset', {}).get('target_shape')
    if target is None:
        raise ValueError(
            'The image size cannot be read from the config: no transform of its '
            f'training pipeline has an argument {_SIZE_KEYS}. Give --shape HEIGHT '
            'WIDTH.'
        )
    return tuple(target)


def training_images(cfg: Config) -> int:
    """Number of images of a training: batch size times iterations.

    The batch size is that of Table I where the config records it.
    """
    batch = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    return (batch or cfg.train_dataloader.batch_size) * cfg.train_cfg.max_iters


def report(complexity: Complexity, steps: Sequence[int]) -> str:
    """A table of the parts, and the total cost of sampling and of training."""
    height, width = complexity.size
    lines = [f'{"part":<24}{"parameters":>14}{"GMACs":>10}   runs']
    when = dict(once='once per image', each='each step', training='in training only')
    for part in complexity.parts:
        lines.append(
            f'{part.name:<24}{part.parameters:>14,}{part.macs / 1e9:>10.2f}'
            f'   {when[part.runs]}'
        )
    lines.append(f'{"all":<24}{complexity.parameters:>14,}')
    for n in steps:
        macs = complexity.sampling_macs(n) / 1e9
        lines.append(f'one {height}x{width} image, {n} steps: {macs:,.1f} GMACs')
    macs = complexity.training_macs / 1e9
    lines.append(f'training on one image: {macs:,.1f} GMACs')
    lines.append(
        f'training in float32: {complexity.state_bytes / 2**30:.2f} GiB for weights, '
        f'gradients, AdamW and EMA; {complexity.activations / 2**30:.2f} GiB of '
        'activations per image'
    )
    return '\n'.join(lines)


def overview(costs: Mapping[str, Complexity], num_steps: int) -> str:
    """A table with one line per model: the cost of sampling and of training."""
    width = max(map(len, costs))
    columns = (
        'image',
        'parameters',
        'GMACs/step',
        f'{num_steps} steps',
        'training GiB',
    )
    lines = [f'{"config":<{width}}' + ''.join(f'{c:>14}' for c in columns)]
    for name, cost in costs.items():
        step = cost.sampling_macs(1) - cost.sampling_macs(0)
        memory = (cost.state_bytes + cost.activations) / 2**30
        lines.append(
            f'{name:<{width}}{"x".join(map(str, cost.size)):>14}{cost.parameters:>14,}'
            f'{step / 1e9:>14.1f}{cost.sampling_macs(num_steps) / 1e9:>14,.1f}'
            f'{memory:>14.2f}'
        )
    return '\n'.join(lines)


def _counted(run: Callable[[], object]) -> tuple[object, dict[str, dict]]:
    """The result of ``run`` and its operations by module."""
    with FlopCounterMode(display=False) as counter:
        result = run()
    return result, counter.get_flop_counts()


def _total(counts: dict[str, dict], module: str = 'Global') -> int:
    """Multiply-accumulates of a module; the counter counts two operations for each."""
    return sum(counts.get(module, {}).values()) // 2


def _part(name: str, module: nn.Module, macs: int, runs: str = 'once') -> Part:
    parameters = list(module.parameters())
    return Part(
        name,
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
        macs,
        runs,
    )


def _submodule_macs(counts: dict[str, dict], name: str) -> int:
    """Multiply-accumulates of a module, also if its own ``forward`` was not called.

    The counter knows the modules that were called; of one that was not, such as a
    decoder of which only parts are used, those of its parts are added.
    """
    if name in counts:
        return _total(counts, name)
    below = [key for key in counts if key.startswith(f'{name}.')]
    outermost = [
        key for key in below if not any(key.startswith(f'{k}.') for k in below)
    ]
    return sum(_total(counts, key) for key in outermost)


def _head_parts(head: nn.Module, counts: dict[str, dict]) -> list[Part]:
    """The part that the outputs share, then each decoder, and a branch if there is."""
    modules = {
        f'decoder {i + 1}': (f'decoders.{i}', decoder)
        for i, decoder in enumerate(head.decoders)
    }
    if hasattr(head, 'branch'):
        modules['branch'] = 'branch', head.branch
    root = type(head).__name__
    parts = [
        _part(name, module, _submodule_macs(counts, f'{root}.{path}'), 'each')
        for name, (path, module) in modules.items()
    ]
    whole = _part('head without decoders', head, _total(counts), 'each')
    shared = Part(
        whole.name,
        whole.parameters - sum(part.parameters for part in parts),
        whole.trained - sum(part.trained for part in parts),
        whole.macs - sum(part.macs for part in parts),
        'each',
    )
    return [shared, *parts]


def _image_channels(network: nn.Module) -> int:
    stage = network.first_stage
    return getattr(stage, 'in_channels', network.head.in_channels // stage.factor**2)


def _condition(network: nn.Module, size: tuple[int, int]) -> Tensor | None:
    if network.condition_encoder is None:
        return None
    scale = network.data_preprocessor.condition_scale
    channels = getattr(network.condition_encoder, 'in_channels', 3)
    return torch.empty(1, channels, *(side // scale for side in size), device='meta')


def _training(
    network: nn.Module, image: Tensor, condition: Tensor | None
) -> tuple[int, int]:
    """Cost of one training step with one image, without the optimizer.

    Returns:
        the multiply-accumulates, and the bytes that the backward pass needs, without
        weights.
    """
    # Two tensors of one storage are saved once.
    saved: dict[StorageWeakRef, torch.UntypedStorage] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[StorageWeakRef(storage)] = storage
        return tensor

    network.train()
    sample = DiffusionSample(metainfo=dict(seed=0))
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        network.loss(image, condition, [sample])

    def step() -> None:
        losses = network.loss(image, condition, [sample])
        sum(v for k, v in losses.items() if k.startswith('loss')).backward()

    # Apart from the above: the counter splits operations, which then save more or less.
    _, counts = _counted(step)
    weights = {StorageWeakRef(p.untyped_storage()) for p in network.parameters()}
    activations = sum(s.nbytes() for key, s in saved.items() if key not in weights)
    return _total(counts), activations
