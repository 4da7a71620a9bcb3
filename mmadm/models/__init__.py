"""Networks, the diffusion model that uses them, and its data preprocessor."""

from .adm import ADM
from .augmentation import LabelledAugmentation
from .autoencoder_gan import AutoencoderGAN
from .autoencoders import (
    KLAutoencoder,
    PixelStage,
    ResidualStage,
    TinyAutoencoderStage,
    VelocityStage,
)
from .condition_encoders import (
    ConvEncoder,
    ResidualEncoder,
    ResNetEncoder,
    SwinEncoder,
    TimmEncoder,
)
from .data_preprocessor import DiffusionPreprocessor
from .ema import PowerEMA, TrainableEMA
from .exported import ExportedADM
from .guided import GuidedADM
from .heads import (
    ConcatFusion,
    ConvBranchUNet,
    CrossAttentionFusion,
    DualDecoderUNet,
    FourierFilter,
    LocalDualDecoderUNet,
    NCSNppUNet,
    RelationUNet,
    SingleDecoderRelationUNet,
    SingleDecoderUNet,
    SpatialAttention,
)
from .losses import (
    ADMLoss,
    AuthorsLoss,
    PatchDiscriminator,
    ReconstructionLoss,
)
from .tta import FlipTTA

__all__ = [
    'ADM',
    'ADMLoss',
    'AuthorsLoss',
    'AutoencoderGAN',
    'ConcatFusion',
    'ConvBranchUNet',
    'ConvEncoder',
    'CrossAttentionFusion',
    'DiffusionPreprocessor',
    'DualDecoderUNet',
    'ExportedADM',
    'FlipTTA',
    'FourierFilter',
    'GuidedADM',
    'KLAutoencoder',
    'LabelledAugmentation',
    'LocalDualDecoderUNet',
    'NCSNppUNet',
    'PatchDiscriminator',
    'PixelStage',
    'PowerEMA',
    'ReconstructionLoss',
    'RelationUNet',
    'ResNetEncoder',
    'ResidualEncoder',
    'ResidualStage',
    'SingleDecoderRelationUNet',
    'SingleDecoderUNet',
    'SpatialAttention',
    'SwinEncoder',
    'TimmEncoder',
    'TinyAutoencoderStage',
    'TrainableEMA',
    'VelocityStage',
]
