"""The registries of mmadm.

All but the last two are children of MMEngine's roots, so classes of MMEngine and,
with a scope prefix (``mmpretrain.SwinTransformer``), of its sister toolboxes are found
through them. The last two have no counterpart there. ``locations`` are imported at the
first look-up, so nothing has to be imported by hand.
"""

from typing import Any

from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import DATA_SAMPLERS as _DATA_SAMPLERS
from mmengine.registry import DATASETS as _DATASETS
from mmengine.registry import HOOKS as _HOOKS
from mmengine.registry import METRICS as _METRICS
from mmengine.registry import MODELS as _MODELS
from mmengine.registry import OPTIM_WRAPPERS as _OPTIM_WRAPPERS
from mmengine.registry import PARAM_SCHEDULERS as _PARAM_SCHEDULERS
from mmengine.registry import TRANSFORMS as _TRANSFORMS
from mmengine.registry import VISUALIZERS as _VISUALIZERS
from mmengine.registry import Registry

__all__ = [
    'ATTENUATIONS',
    'DATASETS',
    'DATA_SAMPLERS',
    'HOOKS',
    'METRICS',
    'MODELS',
    'OPTIM_WRAPPERS',
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


MODELS = _registry('model', _MODELS, 'mmadm.models', 'mmadm.diffusion')
DATASETS = _registry('dataset', _DATASETS, 'mmadm.datasets')
DATA_SAMPLERS = _registry('data sampler', _DATA_SAMPLERS, 'mmadm.datasets')
TRANSFORMS = _registry('transform', _TRANSFORMS, 'mmadm.datasets.transforms')
METRICS = _registry('metric', _METRICS, 'mmadm.evaluation')
HOOKS = _registry('hook', _HOOKS, 'mmadm.engine')
OPTIM_WRAPPERS = _registry('optimizer wrapper', _OPTIM_WRAPPERS, 'mmadm.engine')
PARAM_SCHEDULERS = _registry('parameter scheduler', _PARAM_SCHEDULERS, 'mmadm.engine')
VISUALIZERS = _registry('visualizer', _VISUALIZERS, 'mmadm.visualization')

#: Attenuation functions h_t of Eq. (6).
ATTENUATIONS = _registry('attenuation', None, 'mmadm.diffusion')
#: Reverse-time samplers (Algorithm 2 and its relatives) and their time grids.
SAMPLERS = _registry('sampler', None, 'mmadm.diffusion')


def build(registry: Registry, spec: Any) -> Any:
    """Build ``spec`` if it is a config; a built object (or None) passes through.

    Args:
        registry: where the ``type`` of the config is looked up.
        spec: a config dict with a ``type``, or the finished object.
    """
    return registry.build(spec) if isinstance(spec, dict) else spec
