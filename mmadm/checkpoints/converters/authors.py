"""Converts a checkpoint of the authors' trainers to weights and a config of mmadm.

Names and shapes of the weights determine the network, but not the scaling with which it
was trained. So the generation must be given; it is compared with what the file shows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmadm.checkpoints.weights import check_fit
from mmadm.models.condition_encoders.swin import swin_keys
from mmadm.registry import MODELS
from mmadm.utils.files import atomic_write

from .first_stage import PARTS, ldm_first_stage
from .foreign_files import read_foreign, report_left_out, stored_weights
from .head_keys import relation_keys, unconditional_keys
from .writing import check_target, write_weights

Generation = Literal['adm_public', 'ddm_public', 'diffusion_edge']
GENERATIONS = ('adm_public', 'ddm_public', 'diffusion_edge')

# b(t) -> its class.
_NOISE = {'sqrt': 'WienerNoise', 'linear': 'LinearNoise'}
_SWIN = 'init_conv_mask.'
# Losses, and DDPM's schedule, which DiffusionEdge carries along without using it.
_UNUSED = (
    *('perceptual_loss.', 'first_stage_model.loss.', 'betas', 'alphas_cumprod'),
    *('log_one_minus_alphas_cumprod', 'sqrt_', 'posterior_', 'p2_loss_weight'),
)
_KNOWN = (
    *('model.', 'eps', 'scale_factor'),
    *(f'first_stage_model.{part}.' for part in PARTS),
)


def convert_authors(
    source: str | Path,
    cfg: Config,
    target: str | Path,
    generation: Generation,
    noise: Literal['sqrt', 'linear'] = 'sqrt',
    averaged: bool = True,
) -> Config:
    """Convert weights to ``target``, with the config of the model beside it.

    Args:
        source: ``model-<k>.pt`` of a trainer, or a published file.
        cfg: config of the task, whose model has the sizes of the network.
        target: ``.safetensors`` file; the config has the same name with ``.py``.
        generation: the code that trained it: 'adm_public', 'ddm_public' (before April
            2024) or 'diffusion_edge'.
        noise: b(t) of the training: 'sqrt', or 'linear' for the ``const_2`` models.
        averaged: use the moving average of the weights if the file has one.

    Returns:
        the config that was written.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        ValueError: it is broken, of another generation or task, or its sizes are not
            those of the model of ``cfg``.
    """
    check_target(target)
    settings = Path(target).with_suffix('.py')
    _check_settings(settings, cfg)
    _check_choice('generation', generation, GENERATIONS)
    _check_choice('noise', noise, tuple(_NOISE))
    _check_noise(generation, noise)
    weights, averaged = stored_weights(read_foreign(source), source, averaged)
    weights = _trainer_weights(weights, source)
    _check_generation(weights, generation, source)
    cfg = Config(cfg.to_dict())
    _check_task(weights, cfg.get('model', {}), source)
    _adapt(cfg.model, weights, generation, noise)
    own = _own_weights(weights)
    with torch.device('meta'):
        model: nn.Module = MODELS.build(cfg.model)
    check_fit(model, own, source)

    # Both files or none.
    with atomic_write(settings) as path:
        path.write_text(cfg.pretty_text)
        write_weights(
            own,
            target,
            source,
            generation=generation,
            averaged=averaged,
            scaling=model.preconditioner.describe(model.process),
        )
    return cfg


def _check_settings(settings: Path, cfg: Config) -> None:
    if cfg.filename and settings.resolve() == Path(cfg.filename).resolve():
        raise ValueError(
            f'The new config would replace the given config: {settings} is both. Use a '
            'target of another name, or in another folder.'
        )


def _check_noise(generation: str, noise: str) -> None:
    if noise == 'linear' and generation != 'adm_public':
        raise ValueError(
            f"noise='linear' belongs to ADM-Public's const_2 models, but generation="
            f"{generation!r} is given. Use noise='sqrt', or generation='adm_public'."
        )


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f'Unknown {name}={value!r}. Use one of {list(known)}.')


def _trainer_weights(
    weights: Mapping[str, Tensor], source: str | Path
) -> dict[str, Tensor]:
    """The state dict of their diffusion class, without losses and schedules."""
    if not any(key.startswith('model.') for key in weights):
        raise ValueError(
            f"Not a checkpoint of the authors' trainers: {source} has "
            f'{", ".join(list(weights)[:3])}, but the weights of their diffusion start '
            'with "model.". Convert an autoencoder alone with '
            'tools/model_converters/first_stage.py.'
        )
    report_left_out([key for key in weights if key.startswith(_UNUSED)])
    weights = {k: v for k, v in weights.items() if not k.startswith(_UNUSED)}
    unknown = [key for key in weights if not key.startswith(_KNOWN)]
    if unknown:
        raise ValueError(
            f"Unknown weights: {source} has {len(unknown)} that the authors' diffusion "
            f'does not have, for instance {", ".join(unknown[:3])}. Give an original '
            'checkpoint of their trainers.'
        )
    return weights


def _check_generation(
    weights: Mapping[str, Tensor], generation: str, source: str | Path
) -> None:
    """Compare the generation with the smallest time, which not all files have."""
    # The class of DiffusionEdge does not store it.
    timed = 'eps' in weights
    if timed == (generation == 'diffusion_edge'):
        raise ValueError(
            f'{source} {"has" if timed else "lacks"} a smallest time "eps", as files '
            f'of {"adm_public and ddm_public" if timed else "diffusion_edge"} do, but '
            f'generation={generation!r} was given. Give the right one: with another '
            'scaling the predictions would be wrong.'
        )


def _is_conditional(weights: Mapping[str, Tensor]) -> bool:
    return any(key.startswith('model.downs.') for key in weights)


def _check_task(weights: Mapping[str, Tensor], model: dict, source: str | Path) -> None:
    if 'head' not in model:
        raise ValueError(
            f'{source} is a diffusion model, but the model of the config is '
            f'{model.get("type", "missing")}. Give the config of a task, such as those '
            'in configs/adm.'
        )
    names = {True: 'image-conditioned', False: 'unconditional'}
    theirs = _is_conditional(weights)
    ours = model.get('condition_encoder') is not None
    if theirs != ours:
        raise ValueError(
            f'{source} is an {names[theirs]} model, but the model of the config is '
            f'{names[ours]}. Give the config of the task that it was trained for.'
        )
    latent = any(key.startswith('first_stage_model.') for key in weights)
    # Classes are written as dotted names here.
    stage = model.get('first_stage', {}).get('type', 'PixelStage').split('.')[-1]
    if latent != (stage == 'KLAutoencoder'):
        raise ValueError(
            f'{source} has {"a" if latent else "no"} first stage, but the config has '
            f'first_stage={stage}. Give a config with '
            f'{"KLAutoencoder" if latent else "PixelStage"}.'
        )
    if latent and 'scale_factor' not in weights:
        raise ValueError(
            f'{source} has a first stage, but no scale_factor of its latents. Give the '
            'whole checkpoint: with another scale the predictions would be wrong.'
        )


def _adapt(
    model: dict, weights: Mapping[str, Tensor], generation: str, noise: str
) -> None:
    """Set what follows from the generation and the file, in place."""
    second = ('model.ups2.', 'model.model.dec2.')
    single = not any(key.startswith(second) for key in weights)
    conditional = _is_conditional(weights)

    head = model['head']
    head['type'] = _head_type(weights, single)
    channels = head.get('in_channels', 3)
    head['out_channels'] = channels if single else (channels, channels)
    if (labels := weights.get('model.model.map_augment.weight')) is not None:
        head['augment_dim'] = labels.shape[1]
    if (response := weights.get('model.decouple1.2.complex_weight')) is not None:
        # Stored for the non-negative frequencies of maps that were square.
        head['gate'] = dict(type='FourierFilter', size=(response.shape[1],) * 2)
    else:
        head.pop('gate', None)

    version = 'conditional' if conditional else generation
    if generation == 'diffusion_edge':
        version = generation
    model['preconditioner'] = (
        dict(type='Preconditioner', sigma_data=1.0)
        if version == 'adm_public'
        else dict(type='Preconditioner', scaling=version)
    )
    if single:
        model['preconditioner']['predicts'] = 'phi'
    process = model.setdefault('process', dict(type='ADMProcess'))
    process['noise'] = dict(type=_NOISE[noise])
    if 'eps' in weights:
        # A number of float32, without the digits that float64 adds.
        process['t_min'] = float(f'{float(weights["eps"]):.6g}')
    if conditional:
        # Their conditions are in [-1, 1], whatever the backbone was trained with.
        preprocessor = model.setdefault(
            'data_preprocessor', dict(type='DiffusionPreprocessor')
        )
        preprocessor.update(mean=(127.5,), std=(127.5,))
        model['condition_encoder']['weights'] = None
    if 'checkpoint' in model.get('first_stage', {}):
        model['first_stage']['checkpoint'] = None


def _head_type(weights: Mapping[str, Tensor], single: bool) -> str:
    if _is_conditional(weights):
        return 'SingleDecoderRelationUNet' if single else 'RelationUNet'
    if any('_aux_' in key for key in weights):
        return 'NCSNppUNet'
    return 'SingleDecoderUNet' if single else 'DualDecoderUNet'


def _own_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of :class:`mmadm.models.ADM`."""
    head = {
        key.removeprefix('model.'): value
        for key, value in weights.items()
        if key.startswith('model.')
    }
    rename = relation_keys if _is_conditional(weights) else unconditional_keys
    parts = {'head.': rename(head)}
    if any(key.startswith(_SWIN) for key in head):
        parts['condition_encoder.backbone.'] = swin_keys(head, _SWIN)
    if any(key.startswith('first_stage_model.') for key in weights):
        parts['first_stage.'] = ldm_first_stage(weights)
    return {
        prefix + key: value
        for prefix, part in parts.items()
        for key, value in part.items()
    }
