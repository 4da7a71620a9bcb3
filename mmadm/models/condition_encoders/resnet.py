"""ResNet as condition encoder."""

from torch import Tensor

from mmadm.registry import MODELS

from .backbone import PretrainedEncoder, build_backbone, only_luma, quiet


@MODELS.register_module()
class ResNetEncoder(PretrainedEncoder):
    """ResNet: four feature maps at strides 4 to 32, any size of condition.

    He et al., *Deep residual learning for image recognition*; MMPretrain's. The
    authors' code offers depth 101 beside Swin.

    Args:
        depth: 18 and 34 have widths (64, 128, 256, 512); 50, 101 and 152 (256, 512,
            1024, 2048).
        weights: a file of torchvision's (``resnet50-0676ba61.pth``) or of MMPretrain's,
            or a name of MMPretrain's, such as ``'resnet50_8xb32_in1k'``.
        in_channels: channels of the condition. With weights and one channel, the first
            convolution is averaged over RGB.
        norm_eval: normalise with the stored statistics, not with those of the batch,
            which is small in diffusion training.
        frozen: do not train the weights.
    """

    def __init__(
        self,
        depth: int = 50,
        weights: str | None = None,
        in_channels: int = 3,
        norm_eval: bool = True,
        frozen: bool = False,
    ) -> None:
        with quiet():
            from mmpretrain.models import ResNet

        if depth not in ResNet.arch_settings:
            raise ValueError(
                f'There is no ResNet of depth={depth}. Use one of '
                f'{list(ResNet.arch_settings)}.'
            )
        backbone = build_backbone(
            ResNet,
            depth,
            in_channels=in_channels,
            out_indices=(0, 1, 2, 3),
            norm_eval=norm_eval,
        )
        widths = [backbone.feat_dim // 2**i for i in (3, 2, 1, 0)]
        super().__init__(backbone, in_channels, widths, weights, frozen)

    def adapt(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights without classifier; both sources use the same names."""
        weights = {
            key: tensor
            for key, tensor in weights.items()
            if not key.startswith(('fc.', 'head.'))
        }
        if self.in_channels == 1 and 'conv1.weight' in weights:
            weights = only_luma(weights, 'conv1.weight')
        return weights
