"""Benchmark scores."""

from .fidelity import ImageFidelity, psnr, ssim

__all__ = ['ImageFidelity', 'psnr', 'ssim']
