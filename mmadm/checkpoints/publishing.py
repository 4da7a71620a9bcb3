"""Published models: one file with weights, config and facts, which is all one needs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from mmadm.registry import DATASETS, MODELS
from mmadm.utils.files import atomic_write
from mmadm.version import __version__

from .config_data import config_from_data, config_to_data
from .reading import file_sha256, read_checkpoint
from .weights import put_weights, read_weights

#: Mean difference of 8-bit predictions that half precision may make, in grey levels.
TOLERANCE = 0.5


def publish_weights(source: str | Path, target: str | Path) -> Path:
    """Write the weights of a checkpoint alone, in their precision, for others.

    With EMA these are the averaged ones. The file is in the safetensors format, which
    cannot hold code; its name ends with the first eight digits of its SHA-256, which
    :func:`mmadm.checkpoints.read_checkpoint` compares.

    Args:
        source: checkpoint.
        target: file to write, ``.safetensors``; the digits are added to its name.

    Returns:
        the path of the file.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        ValueError: ``source`` is broken or not finite, ``target`` has another suffix,
            or there is another file of the name.
    """
    target = _check_target(target)
    weights = read_weights(source)
    meta = read_checkpoint(source).get('meta', {})
    return _write(weights, _known(meta, 'iter', 'cfg', 'seed', 'scaling'), target)


def publish_model(
    source: str | Path,
    target: str | Path,
    cfg: Config,
    info: Mapping[str, Any] | None = None,
    half: bool = True,
) -> Path:
    """Write one file that is all one needs to use a model.

    It holds the weights, averaged where there is an average, with those of encoder and
    first stage; the resolved config as data; and facts. See :func:`load_published`.

    Args:
        source: checkpoint.
        target: ``.safetensors`` file; eight digits of its SHA-256 join the name.
        cfg: the config that the model was trained with.
        info: facts to write: data and their terms, command, hardware, time, scores, ...
        half: write matrices and kernels in half precision. Predictions before and after
            are compared.

    Returns:
        the path of the file.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        ValueError: the weights do not fit the config or are not finite, half precision
            changes the predictions, the config is not data, or there is another file of
            the name.
    """
    target = _check_target(target)
    data = config_to_data(cfg)
    cfg = config_from_data(json.loads(json.dumps(data)), target)
    checkpoint = read_checkpoint(source)
    model = MODELS.build(cfg.model).eval()
    put_weights(model, checkpoint, source)
    weights = model.state_dict()
    facts = dict(
        name=target.stem,
        iterations=checkpoint.get('meta', {}).get('iter'),
        seed=checkpoint.get('meta', {}).get('seed'),
        trained_with=checkpoint.get('meta', {}).get('mmadm_version'),
        source_sha256=file_sha256(source),
        sampler=cfg.model.get('sampler', {}).get('type'),
        num_steps=_num_steps(model),
        **(info or {}),
    )
    if half:
        halves = {key: _halved(value) for key, value in weights.items()}
        facts['half_precision'] = _compare(model, halves, cfg)
        weights = halves
    metadata = dict(
        mmadm_config=json.dumps(data),
        mmadm_info=json.dumps({k: v for k, v in facts.items() if v is not None}),
        **_known(checkpoint.get('meta', {}), 'scaling'),
    )
    return _write(weights, metadata, target)


def load_published(path: str | Path) -> tuple[Config, dict[str, Tensor], dict]:
    """Config, weights (float32) and facts of a published model; nothing is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is broken, holds weights alone, or needs classes that are
            not registered.
    """
    checkpoint = read_checkpoint(path)
    meta = checkpoint.get('meta', {})
    if not is_published(meta):
        raise ValueError(
            f'Not a published model: {path} holds weights without a config. Give the '
            'config as well, or publish the model again with '
            'tools/misc/publish_model.py --config.'
        )
    try:
        data = json.loads(meta['mmadm_config'])
        info = dict(json.loads(meta.get('mmadm_info', '{}')))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f'The config in {path} cannot be read: {error}. Publish the model again.'
        ) from error
    info |= {k: meta[k] for k in ('mmadm_version', 'scaling') if k in meta}
    weights = {
        key: value.float() if value.dtype == torch.float16 else value
        for key, value in checkpoint['state_dict'].items()
    }
    return config_from_data(data, path), weights, info


def is_published(meta: Mapping) -> bool:
    """Whether a file with these metadata describes its model."""
    return 'mmadm_config' in meta


def hash_data(cfg: Config) -> dict[str, Any]:
    """Number and SHA-256 of the files that a config trains on, wherever they lie."""
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    files = set()
    for index in range(len(dataset)):
        files |= set(_files(dataset.get_data_info(index)))
    digests = sorted(file_sha256(path) for path in files)
    total = hashlib.sha256(''.join(digests).encode()).hexdigest()
    return dict(files=len(digests), sha256=total)


def _files(value: Any) -> Iterator[Path]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _files(item)
    elif isinstance(value, str | Path) and Path(value).is_file():
        yield Path(value)


def _num_steps(model: nn.Module) -> int | None:
    """NFE of a sample; None for models that do not sample."""
    steps = (getattr(model, 'test_cfg', None) or {}).get('num_steps')
    return steps or getattr(getattr(model, 'sampler', None), 'num_steps', None)


def _known(meta: Mapping, *keys: str) -> dict[str, str]:
    return {key: str(meta[key]) for key in keys if meta.get(key) is not None}


def _halved(value: Tensor) -> Tensor:
    """Matrices and kernels in half precision; what is small, or too large, is left."""
    if value.dtype != torch.float32 or value.ndim < 2:
        return value
    half = value.half()
    return half if half.isfinite().all() else value


def _compare(model: nn.Module, weights: dict[str, Tensor], cfg: Config) -> dict:
    """Differences of 8-bit predictions, in grey levels: mean, largest."""
    before = _predict(model, cfg)
    model.load_state_dict(weights)
    differences = (_predict(model, cfg) - before).abs()
    mean, largest = float(differences.mean()), float(differences.max())
    print_log(
        f'Half precision changes predictions by {mean:.4f} grey levels on average, '
        f'{largest:.0f} at most.',
        'current',
    )
    if mean > TOLERANCE:
        raise ValueError(
            f'Half precision changes the predictions by {mean:.2f} grey levels on '
            f'average; {TOLERANCE} are allowed. Publish in full precision with '
            '--full-precision.'
        )
    return dict(mean_difference=mean, largest_difference=largest)


@torch.no_grad()
def _predict(model: nn.Module, cfg: Config) -> Tensor:
    """What the model makes of two drawn images, or of two seeds."""
    from mmengine.dataset import pseudo_collate

    dataset = cfg.test_dataloader.dataset
    if 'pipeline' not in dataset:
        items = DATASETS.build({**dataset, 'num_samples': 2})
    else:
        images, masks = _drawn_images()
        kind = dict(type='InferenceDataset', images=images, pipeline=dataset.pipeline)
        items = DATASETS.build(kind)
        steps = items.pipeline.transforms
        if any(type(step).__name__ == 'InferenceMask' for step in steps):
            items = DATASETS.build(dict(kind, masks=masks))
    data = pseudo_collate([items[i] for i in range(2)])
    samples = model.test_step(data)
    return torch.stack([sample.pred_img.float() for sample in samples])


def _drawn_images() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two images with smooth areas, edges and texture, and a hole for each."""
    generator = torch.Generator().manual_seed(0)
    grid = torch.linspace(0, 1, 96)
    smooth = torch.stack([grid.expand(96, 96), grid[:, None].expand(96, 96)])
    smooth = torch.cat([smooth, 1 - smooth[:1]])
    disc = ((grid - 0.5) ** 2 + (grid[:, None] - 0.5) ** 2 < 0.09).float()
    texture = torch.rand(3, 96, 96, generator=generator)
    images = [smooth * (1 - disc) + 0.2 * disc, 0.7 * smooth.flip(1) + 0.3 * texture]
    arrays = [(x * 255).byte().permute(1, 2, 0).contiguous().numpy() for x in images]
    return arrays, [disc.byte().numpy()] * 2


def _check_target(target: str | Path) -> Path:
    target = Path(target)
    if target.suffix != '.safetensors':
        raise ValueError(
            f'Weights are published as .safetensors, but the file is to be {target}. '
            'Give a name that ends in .safetensors.'
        )
    return target


def _in_order(data: bytes) -> bytes:
    """A safetensors file with sorted metadata: equal models are equal files."""
    end = 8 + int.from_bytes(data[:8], 'little')
    header = json.dumps(json.loads(data[8:end]), sort_keys=True).encode()
    header += b' ' * (-len(header) % 8)
    return len(header).to_bytes(8, 'little') + header + data[end:]


def _write(weights: Mapping[str, Tensor], metadata: dict, target: Path) -> Path:
    """Write under a temporary name; only a new name, with the hash in it, remains."""
    from safetensors.torch import save

    tensors = {key: x.detach().clone().contiguous() for key, x in weights.items()}
    data = save(tensors, dict(metadata, format='pt', mmadm_version=__version__))
    data = _in_order(data)
    digest = hashlib.sha256(data).hexdigest()
    path = target.with_name(f'{target.stem}-{digest[:8]}.safetensors')
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if path.is_file() and file_sha256(path) == digest:
            return path
        raise ValueError(
            f'There is another file of this name: {path}. Nothing was changed. Move '
            'it away, or give another name.'
        )
    with atomic_write(path, durable=True) as part:
        part.write_bytes(data)
    return path
