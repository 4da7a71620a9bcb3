"""What MMEngine loads, it loads by our reader: nothing in a checkpoint runs."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.runner import CheckpointLoader
from torch import nn

from mmadm.utils.checkpoint import read_checkpoint
from mmadm.utils.weights import check_fit


def _read_local(filename: str, map_location: Any = None) -> dict:
    """MMEngine's loader of files; it would run code where it finds some."""
    return read_checkpoint(Path(filename).expanduser())


def _read_url(url: str, map_location: Any = None) -> dict:
    """MMEngine's loader of addresses: downloaded once, then read like a file."""
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(url).name)
    if is_main_process() and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path))
    barrier()
    return read_checkpoint(path)


def _refuse_scheme(filename: str, map_location: Any = None) -> dict:
    raise ValueError(
        f'Checkpoints are not read from {filename.split("://")[0]}://, as that could '
        f'run code: {filename}. Download the file and give its path.'
    )


# Everything that loads weights through MMEngine (resume, load_from, init_cfg) goes
# through these loaders.
for _scheme in list(CheckpointLoader._schemes):
    CheckpointLoader.register_scheme(_scheme, _refuse_scheme, force=True)
CheckpointLoader.register_scheme('', _read_local, force=True)
CheckpointLoader.register_scheme(['http://', 'https://'], _read_url, force=True)


def load_weights(model: nn.Module, path: str | Path) -> dict:
    """Load the weights of a checkpoint, all or none.

    The averaged weights of a run with EMA are what mmadm saves as ``state_dict``.

    Returns:
        the rest of the checkpoint.
    """
    checkpoint = read_checkpoint(path)
    put_weights(model, checkpoint, path)
    checkpoint.pop('state_dict', None)
    return checkpoint


def put_weights(model: nn.Module, checkpoint: dict, path: str | Path) -> None:
    """Give a model the weights of a checkpoint that was read, all or none.

    Raises:
        ValueError: they are not those of the model, or of another scaling.
    """
    state_dict = checkpoint.get('state_dict', checkpoint)
    check_fit(model, state_dict, path)
    conflict = scaling_conflict(model, checkpoint)
    if conflict:
        raise ValueError(
            f'The weights would mean something else to this model: {path} is '
            f'{conflict}. Use the config that it was trained with, or that was written '
            'beside it; or set model.preconditioner and model.process alike.'
        )
    model.load_state_dict(state_dict)


def scaling_conflict(model: nn.Module, checkpoint: dict) -> str | None:
    """Both sides, if a checkpoint tells of another scaling than the model's."""
    own, theirs = scaling(model), (checkpoint.get('meta') or {}).get('scaling')
    if not own or not theirs or own == theirs:
        return None
    return f'of another scaling ({theirs}) than the config ({own})'


def scaling(model: nn.Module) -> str | None:
    """In what scaling a diffusion's network is trained; None of other models.

    Generations of the authors' networks differ in nothing else.
    """
    if not hasattr(model, 'preconditioner'):
        return None
    return model.preconditioner.describe(model.process)
