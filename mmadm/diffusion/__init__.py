"""The mathematics of diffusion models with Analytical image Attenuation (ADM).

"ADM" here is the paper's Analytical image Attenuation, not OpenAI's Ablated Diffusion
Model. This package contains no networks, data or tasks; it needs torch and the
registry. The full vocabulary is in ``docs/en/notes/glossary.md``.

======================  ==============================================================
Symbol in the code      Meaning (paper)
======================  ==============================================================
``x0``, ``x_t``         image, and noisy image at time t, (N, C, H, W)
``t``, ``s``, ``r``     time in [0, 1]; step size; time after the step, ``r = t - s``
``t_min``               smallest time of training and of a function evaluation
``phi``                 parameters of the attenuation function h_t, (N, P*C, H, W)
``H_t``                 integral of h from 0 to t, ``attenuation.integral``
``h_t``                 attenuation rate, ``attenuation.rate``
``eps``                 standard normal noise in ``x_t``
``b(t)``                standard deviation of the noise, ``noise.std``; sqrt(t)
``eta``                 noise level of a step: 1 Algorithm 2, 0 deterministic
``xi``                  fresh noise of a step (Alg. 2 line 7)
``N``, ``num_steps``    number of steps; each is one function evaluation (NFE)
======================  ==============================================================
"""

from .attenuation import (
    Attenuation,
    ConstantAttenuation,
    ExponentialAttenuation,
    LinearAttenuation,
    NoAttenuation,
    PowerAttenuation,
    QuadraticAttenuation,
    SineAttenuation,
    SquareRootAttenuation,
)
from .cld import CLDAttenuation, CLDNoise, CLDProcess, SSCSSampler
from .fitted import FittedSampler
from .grids import (
    EqualStepGrid,
    RhoGrid,
    SplitStepGrid,
    TimeGrid,
    UniformGrid,
    UniformSigmaGrid,
)
from .guidance import guide
from .heun import HeunSampler
from .inversion import encode, slerp
from .likelihood import bits_per_dim, log_likelihood, rademacher
from .noise_path import ExponentialNoise, LinearNoise, NoisePath, WienerNoise
from .preconditioner import Preconditioner
from .predictor_corrector import PredictorCorrectorSampler
from .presets import SAMPLER_PRESETS, sampler_preset
from .process import ADMProcess
from .samplers import (
    ADMSampler,
    EulerMaruyamaSampler,
    MeanEstimateSampler,
    RecomposingSampler,
    Sampler,
    SingleStepSampler,
)
from .scalings import Coefficients
from .solver import MultistepSampler
from .times import (
    ImportanceTimes,
    LogitNormalTimes,
    LogNormalTimes,
    TrainingTimes,
    UniformTimes,
)
from .vp import VPAttenuation, VPNoise, VPProcess
from .weighting import (
    NoiseOnlyWeighting,
    OptimalWeighting,
    TimeWeighting,
    VelocityNoiseWeighting,
)

__all__ = [
    'SAMPLER_PRESETS',
    'ADMProcess',
    'ADMSampler',
    'Attenuation',
    'CLDAttenuation',
    'CLDNoise',
    'CLDProcess',
    'Coefficients',
    'ConstantAttenuation',
    'EqualStepGrid',
    'EulerMaruyamaSampler',
    'ExponentialAttenuation',
    'ExponentialNoise',
    'FittedSampler',
    'HeunSampler',
    'ImportanceTimes',
    'LinearAttenuation',
    'LinearNoise',
    'LogNormalTimes',
    'LogitNormalTimes',
    'MeanEstimateSampler',
    'MultistepSampler',
    'NoAttenuation',
    'NoiseOnlyWeighting',
    'NoisePath',
    'OptimalWeighting',
    'PowerAttenuation',
    'Preconditioner',
    'PredictorCorrectorSampler',
    'QuadraticAttenuation',
    'RecomposingSampler',
    'RhoGrid',
    'SSCSSampler',
    'Sampler',
    'SineAttenuation',
    'SingleStepSampler',
    'SplitStepGrid',
    'SquareRootAttenuation',
    'TimeGrid',
    'TimeWeighting',
    'TrainingTimes',
    'UniformGrid',
    'UniformSigmaGrid',
    'UniformTimes',
    'VPAttenuation',
    'VPNoise',
    'VPProcess',
    'VelocityNoiseWeighting',
    'WienerNoise',
    'bits_per_dim',
    'encode',
    'guide',
    'log_likelihood',
    'rademacher',
    'sampler_preset',
    'slerp',
]
