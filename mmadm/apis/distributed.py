"""Several processes that work on one run."""

import os
import shutil
import subprocess

import torch
from mmengine.config import Config

# Where a launcher tells a process which one it is.
_SLURM = dict(
    RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'
)
_MPI = {
    'RANK': 'OMPI_COMM_WORLD_RANK',
    'WORLD_SIZE': 'OMPI_COMM_WORLD_SIZE',
    'LOCAL_RANK': 'OMPI_COMM_WORLD_LOCAL_RANK',
}


def init_distributed(cfg: Config, launcher: str) -> None:
    """Tell this process where the others are, in place; without GPUs, meet them.

    MMEngine meets them on GPUs, in the same way.

    Args:
        cfg: gets the wrapper that replicates the model, unless it names another.
        launcher: 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ValueError: this process was not started by the launcher.
    """
    if launcher == 'slurm':
        _read_ranks(launcher, _SLURM)
        _find_first_node()
    elif launcher == 'mpi':
        _read_ranks(launcher, _MPI)
    if not torch.cuda.is_available():
        torch.distributed.init_process_group('gloo')
        cfg.setdefault('model_wrapper_cfg', _replica())


def use_ddp(cfg: Config) -> None:
    """Give each process the whole model, in place.

    For tests: there is little to share but weights, and of the samples each process
    has its own number.
    """
    cfg.model_wrapper_cfg = _replica()


def _replica() -> dict:
    return dict(type='MMDistributedDataParallel', device_ids=None)


def _read_ranks(launcher: str, names: dict[str, str]) -> None:
    missing = [name for name in names.values() if name not in os.environ]
    if missing:
        start = dict(slurm='srun', mpi='mpirun')[launcher]
        raise ValueError(
            f'--launcher {launcher} is for processes that {start} starts, but '
            f'{", ".join(missing)} is not in the environment. Start with {start}, or '
            'with another --launcher.'
        )
    os.environ.update({name: os.environ[given] for name, given in names.items()})


def _find_first_node() -> None:
    """Set where Slurm's processes meet, if the environment does not say it already.

    Raises:
        ValueError: it cannot be found out.
    """
    # Two jobs on a node must not meet each other.
    job = int(os.environ.get('SLURM_JOB_ID', 0))
    os.environ.setdefault('MASTER_PORT', str(20000 + job % 10000))
    if 'MASTER_ADDR' in os.environ:
        return
    nodes = os.environ.get('SLURM_NODELIST', '')
    if shutil.which('scontrol') is None:
        raise ValueError(
            'The first node of the job is not known: there is no scontrol here to read '
            f'SLURM_NODELIST={nodes!r}. Set MASTER_ADDR to its name.'
        )
    command = ['scontrol', 'show', 'hostnames', nodes]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode or not answer.stdout:
        raise ValueError(
            f'The first node of the job is not known: {" ".join(command)} says '
            f'{answer.stderr.strip()!r}. Set MASTER_ADDR to its name.'
        )
    os.environ['MASTER_ADDR'] = answer.stdout.split()[0]
