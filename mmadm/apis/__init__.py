"""The functions behind the command-line tools, and the inferencer."""

from .distributed import use_ddp
from .inferencer import ADMInferencer
from .launch import (
    load_config,
    load_model,
    merge_options,
    prepare_run,
    scale_lr,
    set_resume,
    trained_models,
    use_amp,
    use_amp_in_test,
    use_sampler,
    use_trust,
    use_tta,
)
from .sampling import SamplingStoppedError
from .step_sweep import (
    check_steps,
    load_into,
    score_table,
    test_steps,
    write_scores,
    write_trajectory,
)

__all__ = [
    'ADMInferencer',
    'SamplingStoppedError',
    'check_steps',
    'load_config',
    'load_into',
    'load_model',
    'merge_options',
    'prepare_run',
    'scale_lr',
    'score_table',
    'set_resume',
    'test_steps',
    'trained_models',
    'use_amp',
    'use_amp_in_test',
    'use_ddp',
    'use_sampler',
    'use_trust',
    'use_tta',
    'write_scores',
    'write_trajectory',
]
