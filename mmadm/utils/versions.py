"""What needs a newer PyTorch than the rest of mmadm."""

import torch
from mmengine.utils import digit_version


def require_torch(oldest: str, feature: str) -> None:
    """Refuse a feature where PyTorch is older than the oldest version it was seen in.

    Raises:
        ImportError: PyTorch is older.
    """
    if digit_version(torch.__version__) < digit_version(oldest):
        raise ImportError(
            f'{feature} needs PyTorch {oldest} or newer, but this is '
            f'{torch.__version__}. Upgrade it: pip install -U torch torchvision'
        )
