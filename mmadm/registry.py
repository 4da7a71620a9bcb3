"""The registries of mmadm.

All but two are children of MMEngine's registries: they also find the classes of
MMEngine and, with a scope prefix (``mmpretrain.SwinTransformer``), of other toolboxes.
``locations`` are imported at the first look-up, so that configs need no import.

A registry stands for an argument of a config. ``MODELS`` holds every part of a model,
with weights or without: networks, losses and data preprocessors, and what defines the
diffusion (process, noise path, preconditioner, loss weighting). Two kinds of parts have
registries of their own: ``ATTENUATIONS``, functions that a model is trained with, and
``SAMPLERS``, samplers and their time grids, which can be exchanged after training.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from mmengine import registry as roots
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry

__all__ = [
    'ATTENUATIONS',
    'DATASETS',
    'DATA_SAMPLERS',
    'HOOKS',
    'LOOPS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'SAMPLERS',
    'TRANSFORMS',
    'VISUALIZERS',
    'build',
    'registered',
]

# `BaseInferencer`, `mmadm::` config paths and `mim` look up the package of a scope.
MODULE2PACKAGE.setdefault('mmadm', 'mmadm')


def _registry(name: str, parent: Registry | None, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope='mmadm', locations=list(locations))


MODELS = _registry('model', roots.MODELS, 'mmadm.models', 'mmadm.diffusion')
DATASETS = _registry('dataset', roots.DATASETS, 'mmadm.datasets')
DATA_SAMPLERS = _registry('data sampler', roots.DATA_SAMPLERS, 'mmadm.datasets')
TRANSFORMS = _registry('transform', roots.TRANSFORMS, 'mmadm.datasets.transforms')
METRICS = _registry('metric', roots.METRICS, 'mmadm.evaluation')
HOOKS = _registry('hook', roots.HOOKS, 'mmadm.engine')
LOOPS = _registry('loop', roots.LOOPS, 'mmadm.engine')
OPTIM_WRAPPERS = _registry('optimizer wrapper', roots.OPTIM_WRAPPERS, 'mmadm.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _registry(
    'optimizer wrapper constructor', roots.OPTIM_WRAPPER_CONSTRUCTORS, 'mmadm.engine'
)
PARAM_SCHEDULERS = _registry(
    'parameter scheduler', roots.PARAM_SCHEDULERS, 'mmadm.engine'
)
VISUALIZERS = _registry('visualizer', roots.VISUALIZERS, 'mmadm.visualization')

#: Attenuation functions h_t of Eq. (6).
ATTENUATIONS = _registry('attenuation', None, 'mmadm.diffusion')
#: Samplers of the reverse process (Algorithm 2 and others) and their time grids.
SAMPLERS = _registry('sampler', None, 'mmadm.diffusion')

# MMEngine looks up every class in a child of the default scope, and warns where there
# is none. These children are empty.
for _root in (
    roots.EVALUATOR,
    roots.LOG_PROCESSORS,
    roots.MODEL_WRAPPERS,
    roots.OPTIMIZERS,
    roots.RUNNERS,
    roots.VISBACKENDS,
):
    _registry(_root.name, _root)


def build(registry: Registry, spec: Any) -> Any:
    """Build ``spec`` if it is a config; a built object (or None) passes through.

    Args:
        registry: registry of the config's ``type``.
        spec: a config dict with a ``type``, or a built object.
    """
    return registry.build(spec) if isinstance(spec, dict) else spec


def registered(name: str) -> Iterator[Callable]:
    """All that is registered under a short name, in any registry.

    ``Registry.get`` would also look for a module of this name, which takes longer, and
    import it.
    """
    for registry in _registries():
        registry.import_from_location()
        if name in registry.module_dict:
            yield registry.module_dict[name]


@cache
def _registries() -> list[Registry]:
    """Ours first, then those of MMEngine."""
    values = (*globals().values(), *vars(roots).values())
    return [value for value in values if isinstance(value, Registry)]
