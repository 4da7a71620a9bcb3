"""What an exported file says about itself: plain text beside the graph."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmadm.checkpoints.config_data import config_from_data, config_to_data
from mmadm.version import __version__

#: Suffixes of exported files.
SUFFIXES = ('.onnx', '.pt2')


@dataclass(frozen=True)
class GraphFacts:
    """What is needed to run a graph.

    Args:
        num_steps: NFE.
        num_draws: K, how often the sampler draws noise.
        sampler: the sampler and its settings, for readers.
        state_channels: channels of the noise.
        factor: pixels per position of the noise, in each direction.
        is_conditional: whether the graph takes a condition.
        condition_channels: channels of the condition; 0 without one.
        window: side of the images of a graph of fixed size; None for any size.
        min_size: (H, W) of the smallest image of a graph for any size.
        precision: of the weights: 'float32' or 'int8'.
        cell: windows are cut at multiples of it, in pixels.
    """

    num_steps: int
    num_draws: int
    sampler: str
    state_channels: int
    factor: int
    is_conditional: bool
    condition_channels: int
    window: int | None = None
    min_size: tuple[int, int] = (1, 1)
    precision: str = 'float32'
    cell: int = 1

    def model_arguments(self) -> dict[str, Any]:
        """Arguments of :class:`mmadm.models.ExportedADM`."""
        names = ('num_steps', 'num_draws', 'state_channels', 'factor', 'is_conditional')
        return {key: getattr(self, key) for key in (*names, 'window', 'min_size')}

    def test_cfg(self, usual: Mapping[str, Any]) -> dict[str, Any]:
        """The model's ``test_cfg``; windows of a graph overlap by a quarter."""
        if self.window is None:
            return dict(usual)
        kept = {k: usual[k] for k in ('num_samples', 'seed') if k in usual}
        stride = max(self.cell, self.window * 3 // 4 // self.cell * self.cell)
        return dict(kept, mode='slide_chains', crop=self.window, stride=stride)

    def check_options(
        self,
        num_steps: int | None,
        sampler: str | None,
        mode: str | None,
        window: int | None,
    ) -> None:
        """Refuse what the graph has fixed: steps, sampler, and perhaps windows."""
        if num_steps not in (None, self.num_steps) or sampler is not None:
            raise ValueError(
                f'The exported graph has {self.num_steps} steps of {self.sampler}, but '
                f'num_steps={num_steps}, sampler={sampler} were given. Leave them out, '
                'or export the model again with --num-steps.'
            )
        if self.window is not None and (
            mode == 'whole' or window not in (None, self.window)
        ):
            raise ValueError(
                f'The exported graph is for windows of {self.window} pixels, but '
                f'mode={mode}, window={window} were given. Leave them out, or export '
                'the model again.'
            )


@dataclass(frozen=True)
class Description:
    """The metadata of an exported file.

    Args:
        config: the resolved config of the model.
        facts: see :class:`GraphFacts`.
        info: facts of the model: data and their terms, licence, scores, ...
        version: version of mmadm that exported it.
    """

    config: Config
    facts: GraphFacts
    info: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    def to_texts(self) -> dict[str, str]:
        """Names and JSON texts, as they are written to the file."""
        return dict(
            mmadm_version=self.version,
            mmadm_config=json.dumps(config_to_data(self.config)),
            mmadm_graph=json.dumps(asdict(self.facts)),
            mmadm_info=json.dumps(self.info),
            mmadm_interface=json.dumps(self._interface(), indent=1),
        )

    def _interface(self) -> dict[str, str]:
        """Inputs and output in words, for who runs the graph without mmadm."""
        facts = self.facts
        preprocessor = self.config.model.get('data_preprocessor') or {}
        mean, std = (list(preprocessor.get(key, (127.5,))) for key in ('mean', 'std'))
        scale = preprocessor.get('condition_scale', 1)
        divisor = preprocessor.get('size_divisor', 1)
        interface = dict(
            noise=f'(N, {facts.num_draws}, {facts.state_channels}, H / {facts.factor}, '
            f'W / {facts.factor}) float32, standard normal',
            image=f'(N, C, H, W) float32, RGB, [-1, 1]; 8 bits: round((x + 1) * 127.5) '
            f'clipped to 0..255. H and W are multiples of {divisor}',
        )
        if facts.is_conditional:
            interface['condition'] = (
                f'(N, {facts.condition_channels}, H / {scale}, W / {scale}) float32, '
                f'RGB, (x - {mean}) / {std} of 0..255'
            )
        return interface


def read_description(texts: Mapping[str, str], path: str | Path) -> Description:
    """The description of a file; nothing in it is executed.

    Raises:
        ValueError: the texts are missing or broken.
    """
    try:
        facts = json.loads(texts['mmadm_graph'])
        known = {f.name for f in fields(GraphFacts)}
        config = config_from_data(json.loads(texts['mmadm_config']), path)
        return Description(
            config=config,
            facts=GraphFacts(**{k: v for k, v in facts.items() if k in known}),
            info=dict(json.loads(texts.get('mmadm_info', '{}'))),
            version=texts.get('mmadm_version', ''),
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f'Not an exported model of mmadm: {path} has no usable description '
            f'({type(error).__name__}: {error}). Export it with '
            'tools/deployment/export.py.'
        ) from error
