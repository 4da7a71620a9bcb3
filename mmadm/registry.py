"""The registries of mmadm.

All but the last two are children of MMEngine's roots, so classes of MMEngine and,
with a scope prefix (``mmpretrain.SwinTransformer``), of its sister toolboxes are found
through them. The last two have no counterpart there. ``locations`` are imported at the
first look-up, so nothing has to be imported by hand.

A registry stands for an argument of a config. ``MODELS`` holds every part of a model,
with weights or without: networks, losses and data preprocessors, and what defines the
diffusion (process, noise path, preconditioner, loss weighting). Two kinds of parts have
registries of their own: ``ATTENUATIONS``, functions that a model is trained with, and
``SAMPLERS``, samplers and their time grids, which can be exchanged after training.
"""

from typing import Any

from mmengine import registry as roots
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry

__all__ = [
    'ATTENUATIONS',
    'DATASETS',
    'DATA_SAMPLERS',
    'HOOKS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'SAMPLERS',
    'TRANSFORMS',
    'VISUALIZERS',
    'build',
]

# Without this line `BaseInferencer`, `mmadm::` config paths and `mim` refuse the scope.
MODULE2PACKAGE.setdefault('mmadm', 'mmadm')


def _registry(name: str, parent: Registry | None, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope='mmadm', locations=list(locations))


MODELS = _registry('model', roots.MODELS, 'mmadm.models', 'mmadm.diffusion')
DATASETS = _registry('dataset', roots.DATASETS, 'mmadm.datasets')
DATA_SAMPLERS = _registry('data sampler', roots.DATA_SAMPLERS, 'mmadm.datasets')
TRANSFORMS = _registry('transform', roots.TRANSFORMS, 'mmadm.datasets.transforms')
METRICS = _registry('metric', roots.METRICS, 'mmadm.evaluation')
HOOKS = _registry('hook', roots.HOOKS, 'mmadm.engine')
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
#: Reverse-time samplers (Algorithm 2 and its relatives) and their time grids.
SAMPLERS = _registry('sampler', None, 'mmadm.diffusion')

# MMEngine looks for a child of the default scope in whatever it builds, and warns where
# there is none. Nothing of mmadm is in these children.
for _root in (
    roots.EVALUATOR,
    roots.LOG_PROCESSORS,
    roots.LOOPS,
    roots.MODEL_WRAPPERS,
    roots.OPTIMIZERS,
    roots.RUNNERS,
    roots.VISBACKENDS,
):
    _registry(_root.name, _root)


def build(registry: Registry, spec: Any) -> Any:
    """Build ``spec`` if it is a config; a built object (or None) passes through.

    Args:
        registry: where the ``type`` of the config is looked up.
        spec: a config dict with a ``type``, or the finished object.
    """
    return registry.build(spec) if isinstance(spec, dict) else spec
