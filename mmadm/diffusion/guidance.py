"""Autoguidance: a strong network is guided by a weak one (Karras et al., 2024)."""

from torch import Tensor

from .samplers import Denoiser


def guide(strong: Denoiser, weak: Denoiser, scale: float) -> Denoiser:
    """A denoiser that moves away from the errors that a weaker network makes more of.

    ``weak + scale (strong - weak)`` for both outputs, hence for the image that they
    predict. It evaluates both networks, and fits every sampler.

    Args:
        strong: the network to sample.
        weak: a snapshot of it: of an earlier iteration, or a shorter average.
        scale: 1 is the strong network alone; 1.5 to 3 in use.

    Raises:
        ValueError: the scale is below 1.
    """
    if not scale >= 1:
        raise ValueError(
            f'Guidance moves from the weak network to the strong one and beyond, but '
            f'scale={scale}. Give 1 (no guidance) or more.'
        )

    def guided(x_t: Tensor, t: float) -> tuple[Tensor, Tensor]:
        pairs = zip(strong(x_t, t), weak(x_t, t))
        phi, eps = (b + scale * (a - b) for a, b in pairs)
        return phi, eps

    return guided
