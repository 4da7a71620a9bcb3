"""What a report of a bug has to say about the machine and the installation."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mmadm.version import __version__

_PACKAGES = (
    *('onedl-mmengine', 'mmengine', 'onedl-mmcv', 'mmcv', 'mmcv-lite'),
    *('onedl-mmpretrain', 'mmpretrain', 'timm', 'numpy', 'scipy', 'pillow'),
    *('opencv-python', 'scikit-image', 'numba', 'safetensors', 'torch-fidelity'),
    *('lpips', 'gradio', 'onnxruntime', 'openvino'),
)


def collect_env() -> dict[str, str]:
    """Machine, Python, PyTorch and the packages that mmadm uses, by name.

    Those of MMEngine's ``collect_env``, and the versions of installed packages.
    """
    import torch
    from mmengine.utils.dl_utils import collect_env as machine

    env = {key: str(value) for key, value in machine().items()}
    env['CPU cores'] = f'{os.cpu_count()}, torch uses {torch.get_num_threads()}'
    env['MPS available'] = str(torch.backends.mps.is_available())
    env['mmadm'] = f'{__version__} in {Path(__file__).parents[1]}'
    for package in _PACKAGES:
        try:
            env[package] = version(package)
        except PackageNotFoundError:
            continue
    return env
