"""Samplers by name: the values of ``--sampler`` and of the inferencer's ``sampler``."""

from collections.abc import Mapping

from mmadm.registry import SAMPLERS, build

from .samplers import ADMSampler

#: Name -> config of the sampler.
SAMPLER_PRESETS: dict[str, dict] = {
    'adm': dict(type='ADMSampler', eta=1.0),
    'deterministic': dict(type='ADMSampler', eta=0.0, correct=False),
    'mean': dict(type='MeanEstimateSampler', eta=1.0),
    'multistep': dict(type='MultistepSampler', order=2, corrector=True),
    'heun': dict(type='HeunSampler'),
    'euler_maruyama': dict(type='EulerMaruyamaSampler'),
}


def sampler_preset(name: str, config: Mapping | None = None) -> tuple[dict, str]:
    """The sampler of that name with the steps, grid and clipping of a config.

    Args:
        name: a key of ``SAMPLER_PRESETS``.
        config: config of the sampler that it replaces; None is that of
            :class:`mmadm.models.ADM`.

    Returns:
        its config, and a sentence with all settings of both samplers.

    Raises:
        ValueError: there is no sampler of that name.
    """
    if name not in SAMPLER_PRESETS:
        raise ValueError(
            f'Unknown sampler {name!r}. Use one of {list(SAMPLER_PRESETS)}.'
        )
    config = dict(type=ADMSampler) if config is None else dict(config)
    kept = {key: config[key] for key in ('num_steps', 'grid', 'clip') if key in config}
    preset = {**SAMPLER_PRESETS[name], **kept}
    old, new = build(SAMPLERS, config), build(SAMPLERS, preset)
    return preset, f'The sampler of the config, {old}, is replaced by {new}.'
