"""Finds a model that is given by its name, a file, an address or a config."""

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import load

from mmadm.package import package_folder

from .download import download, is_address
from .publishing import is_published, load_published
from .reading import read_checkpoint


@dataclass
class ModelSource:
    """All that is needed to build a model.

    Args:
        config: its config.
        checkpoint: a dict with ``state_dict`` and ``meta``, for
            :func:`mmadm.checkpoints.put_weights`; None where no weights are given.
        path: the file of the weights.
        info: facts of a published model: NFE, data and their terms, scores, ...
    """

    config: Config
    checkpoint: dict | None = None
    path: Path | None = None
    info: dict = field(default_factory=dict)


@dataclass(frozen=True)
class ZooEntry:
    """One model of the metafiles.

    Args:
        config: its config file.
        weights: a file, an address, or None where it is not trained.
        sha256: of the weights.
    """

    config: Path
    weights: str | None
    sha256: str | None = None

    def path(self) -> Path | None:
        """The file of the weights; downloaded where they are given by address."""
        if self.weights is None or not is_address(self.weights):
            return self.weights and Path(self.weights)
        return download(self.weights, self.sha256)


def model_zoo() -> dict[str, ZooEntry]:
    """The models that mmadm ships, by name."""
    folder = package_folder()
    index = load(folder / 'model-index.yml')
    models = {}
    for metafile in index['Import']:
        for entry in load(folder / metafile)['Models']:
            weights = entry.get('Weights')
            if weights and not is_address(weights):
                weights = str(folder / weights)
            config = folder / entry['Config']
            models[entry['Name']] = ZooEntry(config, weights, entry.get('SHA256'))
    return models


def find_config(name: str | Path) -> Path:
    """The file of a config that is given by path, or by the name of a shipped one.

    Raises:
        FileNotFoundError: there is neither such a file nor such a name.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    models = model_zoo()
    if str(name) not in models:
        close = get_close_matches(path.stem, models, n=3, cutoff=0.5)
        raise FileNotFoundError(
            f'Config not found: {name} is neither a file nor the name of a shipped '
            f'config. {f"Similar names are {close}" if close else "Names"}; all are in '
            f'{package_folder() / "model-index.yml"}.'
        )
    return models[str(name)].config


def find_weights(name: str | Path) -> Path:
    """The file of weights that is given by path, address or name of a shipped model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the model of this name has no weights, or the download failed.
    """
    path = Path(name).expanduser()
    if is_address(str(name)):
        return download(str(name))
    if not path.exists() and not path.suffix and str(name) in (models := model_zoo()):
        path = models[str(name)].path()
        if path is None:
            raise ValueError(
                f'The shipped model {name} is not trained yet. Give the path of a '
                'checkpoint, or train it with tools/train.py.'
            )
    return path


def resolve_model(
    model: str | Path | Config | dict,
    weights: str | Path | None = None,
    read_config: Callable[[str], Config] = Config.fromfile,
) -> ModelSource:
    """Find config and weights of a model.

    Args:
        model: name of a shipped model, as ``'adm_edge_small'``; file or address of a
            published model; a config file; or a config.
        weights: a checkpoint, in place of the published weights: a file, an address or
            the name of a shipped model.
        read_config: reads a config file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no model of this name, or a file is broken.
    """
    path = weights and find_weights(weights)
    if not isinstance(model, str | Path):
        cfg = model if isinstance(model, Config) else Config(model)
        return _with_weights(cfg, path)
    name = str(model)
    if is_address(name):
        return _published(download(name), path)
    if Path(name).suffix in ('.py', '.json'):
        return _with_weights(read_config(name), path)
    if Path(name).suffix or Path(name).is_file():
        return _published(Path(name), path)
    entry = _entry(name)
    own = path or entry.path()
    if path is None and own is not None and own.suffix == '.safetensors':
        checkpoint = read_checkpoint(own, keep=True)
        if is_published(checkpoint['meta']):
            return _published(own)
    return _with_weights(read_config(str(entry.config)), own)


def _published(path: Path, weights: Path | None = None) -> ModelSource:
    """A self-describing file; other weights may replace its own."""
    cfg, tensors, info = load_published(path)
    if weights is not None:
        return _with_weights(cfg, weights)
    meta = {key: info[key] for key in ('scaling', 'mmadm_version') if key in info}
    return ModelSource(cfg, dict(state_dict=tensors, meta=meta), path, info)


def _with_weights(cfg: Config, path: Path | None) -> ModelSource:
    checkpoint = None if path is None else read_checkpoint(path)
    return ModelSource(cfg, checkpoint, path)


def _entry(name: str) -> ZooEntry:
    models = model_zoo()
    if name not in models:
        close = get_close_matches(name, models, n=3, cutoff=0.5)
        raise ValueError(
            f'Unknown model: {name!r} is neither a file nor the name of a shipped '
            f'model. {"Similar names are" if close else "There are"} '
            f'{close or sorted(models)}.'
        )
    return models[name]
