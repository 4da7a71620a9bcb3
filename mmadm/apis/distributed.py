"""Sets up runs with several processes."""

import os
import shutil
import subprocess

import torch
from mmengine.config import Config

# Environment variables in which a launcher gives a process its rank.
_SLURM = dict(
    RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'
)
_MPI = {
    'RANK': 'OMPI_COMM_WORLD_RANK',
    'WORLD_SIZE': 'OMPI_COMM_WORLD_SIZE',
    'LOCAL_RANK': 'OMPI_COMM_WORLD_LOCAL_RANK',
}


def init_distributed(cfg: Config, launcher: str) -> None:
    """Set the rank variables of the environment; initialise gloo on CPUs.

    On GPUs, MMEngine initialises NCCL itself.

    Args:
        cfg: on CPUs gets the wrapper of data-parallel training, unless it has one.
        launcher: 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ValueError: the launcher did not start this process.
    """
    if launcher == 'slurm':
        _read_ranks(launcher, _SLURM)
        _set_master_address()
    elif launcher == 'mpi':
        _read_ranks(launcher, _MPI)
    if not torch.cuda.is_available():
        torch.distributed.init_process_group('gloo')
        cfg.setdefault('model_wrapper_cfg', _ddp())


def use_ddp(cfg: Config) -> None:
    """Give each process a whole copy of the model, in place.

    Testing needs no sharding: there are no gradients and no optimizer state.
    """
    cfg.model_wrapper_cfg = _ddp()


def _ddp() -> dict:
    return dict(type='MMDistributedDataParallel', device_ids=None)


def _read_ranks(launcher: str, names: dict[str, str]) -> None:
    missing = [name for name in names.values() if name not in os.environ]
    if missing:
        start = dict(slurm='srun', mpi='mpirun')[launcher]
        raise ValueError(
            f'--launcher {launcher} needs processes that were started by {start}, but '
            f'{", ".join(missing)} is not set in the environment. Start with {start}, '
            'or use another --launcher.'
        )
    os.environ.update({name: os.environ[source] for name, source in names.items()})


def _set_master_address() -> None:
    """Set MASTER_ADDR and MASTER_PORT of a Slurm job, unless they are set.

    Raises:
        ValueError: the first node of the job cannot be determined.
    """
    # Two jobs on one node need different ports.
    job = int(os.environ.get('SLURM_JOB_ID', 0))
    os.environ.setdefault('MASTER_PORT', str(20000 + job % 10000))
    if 'MASTER_ADDR' in os.environ:
        return
    nodes = os.environ.get('SLURM_NODELIST', '')
    if shutil.which('scontrol') is None:
        raise ValueError(
            'The first node of the Slurm job is unknown: there is no scontrol that '
            f'reads SLURM_NODELIST={nodes!r}. Set MASTER_ADDR to the name of the first '
            'node.'
        )
    command = ['scontrol', 'show', 'hostnames', nodes]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode or not result.stdout:
        raise ValueError(
            f'The first node of the Slurm job is unknown: {" ".join(command)} failed '
            f'with {result.stderr.strip()!r}. Set MASTER_ADDR to the name of the first '
            'node.'
        )
    os.environ['MASTER_ADDR'] = result.stdout.split()[0]
