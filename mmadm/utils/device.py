"""Checks that a device exists before anything is loaded on it."""

import torch


def check_device(name: str) -> str:
    """The name of a device, if this machine has it.

    Raises:
        ValueError: there is no such device.
    """
    try:
        torch.zeros(1, device=name).cpu()
    # Each backend reports a missing device by an exception of its own.
    except Exception as error:
        raise ValueError(
            f'Device not available: {name!r}. Use one of this machine: '
            f'{", ".join(available_devices())}.'
        ) from error
    return name


def available_devices() -> list[str]:
    """Names of the devices that torch can use on this machine."""
    names = [f'cuda:{i}' for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append('mps')
    return ['cpu', *names]
