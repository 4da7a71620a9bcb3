"""mmadm: diffusion models with Analytical image Attenuation, in the OpenMMLab style.

"ADM" stands for Analytical image Attenuation, not for OpenAI's Ablated Diffusion Model.
Importing this package only checks the versions of its dependencies.
"""

import warnings
from importlib import metadata

from .version import __version__

__all__ = ['__version__']

# Module: (distributions that provide it, the maintained one first; oldest supported
# version; newest tested release line).
_DEPENDENCIES = {
    'mmengine': (('onedl-mmengine', 'mmengine'), (0, 10, 7), (0, 10)),
    'mmcv': (('onedl-mmcv', 'mmcv-lite', 'mmcv'), (2, 2, 0), (2, 3)),
    'mmpretrain': (('onedl-mmpretrain', 'mmpretrain'), (1, 2, 0), (1, 3)),
    'torch': (('torch',), (2, 7), (2, 15)),
}


def _installed(distributions: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _digits(text: str) -> tuple[int, ...]:
    release = text.split('+')[0].split('.')
    return tuple(int(part) for part in release if part.isdigit())


def _check_dependencies() -> None:
    """Refuse what is old or missing; warn of what is untested or installed twice."""
    for module, (distributions, oldest, tested) in _DEPENDENCIES.items():
        found = _installed(distributions)
        fork = distributions[0]
        lower = '.'.join(map(str, oldest))
        if not found:
            raise ImportError(
                f'mmadm needs {module}, but none of {", ".join(distributions)} is '
                f'installed. Run: pip install "{fork}>={lower}"'
            )
        if len(found) > 1:
            extra = ' '.join(name for name in found if name != fork)
            warnings.warn(
                f'{" and ".join(found)} are both installed in the folder {module}/, so '
                f'that parts of one overwrite the other. Repair it with: '
                f'pip uninstall -y {extra} && pip install --force-reinstall --no-deps '
                f'{fork}',
                stacklevel=3,
            )
        name, release = next(iter(found.items()))
        if _digits(release) < oldest:
            raise ImportError(
                f'mmadm needs {module} {lower} or newer, but {name} {release} is '
                f'installed. Run: pip install -U "{fork}>={lower}"'
            )
        if _digits(release)[: len(tested)] > tested:
            warnings.warn(
                f'{name} {release} is newer than what mmadm was tested with '
                f'({".".join(map(str, tested))}.x); it probably works. If not, install '
                f'the tested version.',
                stacklevel=3,
            )


_check_dependencies()
