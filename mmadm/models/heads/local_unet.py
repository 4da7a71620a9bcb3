"""A head whose outputs depend on a bounded neighbourhood, for restoration."""

from torch import nn

from mmadm.registry import MODELS

from .layers import Decouple, ResBlock
from .relation_layers import LayerNorm2d
from .unet import Decoder, DualDecoderUNet, Encoder


class LocalBlock(ResBlock):
    """A residual block that normalises each position by itself."""

    norm = LayerNorm2d


class LocalEncoder(Encoder):
    """The encoder, of local blocks."""

    block = LocalBlock


class LocalDecoder(Decoder):
    """A decoder of local blocks: no attention, no gate, no norm before the output."""

    block = LocalBlock
    bottom_attention = (False, False)

    def decoupling(self, channels: int) -> nn.Module:
        """A residual convolution."""
        return Decouple(channels, gate=nn.Identity())

    def output_norm(self, channels: int) -> nn.Module:
        """Strong and faint detail stay strong and faint."""
        return nn.Identity()


@MODELS.register_module()
class LocalDualDecoderUNet(DualDecoderUNet):
    """:class:`DualDecoderUNet` that looks at no more than a bounded neighbourhood.

    Group normalisation and attention take in the whole image, so a network that is
    trained on crops sees other statistics in whole images. Here layers are normalised
    position by position and nothing attends: what is learnt on crops holds for images
    of any size. For super-resolution, denoising and other restoration tasks.

    Args:
        attention_levels: must stay empty.
        kwargs: as in :class:`DualDecoderUNet`.
    """

    encoder_type = LocalEncoder
    decoder_type = LocalDecoder

    def __init__(self, attention_levels=(), **kwargs) -> None:
        if attention_levels:
            raise ValueError(
                'LocalDualDecoderUNet has no attention, but attention_levels='
                f'{tuple(attention_levels)}. Leave it out, or use DualDecoderUNet.'
            )
        super().__init__(attention_levels=(), **kwargs)
