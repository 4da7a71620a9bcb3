"""A head with a bounded receptive field, for restoration."""

from collections.abc import Sequence

from torch import nn

from mmadm.registry import MODELS

from .layers import Decouple, ResBlock
from .relation_layers import LayerNorm2d
from .unet import Decoder, DualDecoderUNet, Encoder


class LocalBlock(ResBlock):
    """A residual block that normalises each position separately."""

    norm = LayerNorm2d


class LocalEncoder(Encoder):
    """Encoder of local blocks."""

    block = LocalBlock


class LocalDecoder(Decoder):
    """Decoder of local blocks without attention, gate and output normalisation."""

    block = LocalBlock
    bottom_attention = (False, False)

    def decoupling(self, channels: int) -> nn.Module:
        """A residual convolution without gate."""
        return Decouple(channels, gate=nn.Identity())

    def output_norm(self, channels: int) -> nn.Module:
        """None, which keeps differences in contrast."""
        return nn.Identity()


@MODELS.register_module()
class LocalDualDecoderUNet(DualDecoderUNet):
    """:class:`DualDecoderUNet` with a bounded receptive field.

    Group normalisation and attention depend on the whole image, so a network that is
    trained on crops gets other statistics in whole images. Here each position is
    normalised separately and there is no attention, so that crops and images of any
    size are processed alike. For super-resolution, denoising and other restoration
    tasks.

    Args:
        attention_levels: must stay empty.
        kwargs: as in :class:`DualDecoderUNet`.
    """

    encoder_type = LocalEncoder
    decoder_type = LocalDecoder

    def __init__(self, attention_levels: Sequence[int] = (), **kwargs) -> None:
        if attention_levels:
            raise ValueError(
                'LocalDualDecoderUNet has no attention, but attention_levels='
                f'{tuple(attention_levels)}. Leave it out, or use DualDecoderUNet.'
            )
        super().__init__(attention_levels=(), **kwargs)
