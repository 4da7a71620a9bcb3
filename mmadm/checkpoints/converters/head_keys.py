"""Renames weights of the authors' heads to ours.

Only names and the order of some channels change. The sizes follow from the keys.
"""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

# Layers of modules that occur often: theirs -> ours.
RES_BLOCK = {name: name for name in ('norm0', 'conv0', 'affine', 'norm1', 'conv1')} | {
    'skip': 'shortcut',
    'norm2': 'attention.norm',
    'qkv': 'attention.qkv',
    'proj': 'attention.proj',
}
GATE = {'map': 'map', 'q_conv': 'query', 'k_conv': 'key'}
STANDARDIZED_BLOCK = {
    'mlp.1': 'affine',
    'block1.proj': 'conv0',
    'block1.norm': 'norm0',
    'block2.proj': 'conv1',
    'block2.norm': 'norm1',
    'res_conv': 'shortcut',
}
_ATTENTION = {'fn.norm': 'norm', 'fn.fn.to_qkv': 'qkv'}
FULL_ATTENTION = _ATTENTION | {'fn.fn.to_out': 'proj'}
LINEAR_ATTENTION = _ATTENTION | {
    'fn.fn.to_out.0': 'proj',
    'fn.fn.to_out.1': 'proj_norm',
}
RELATION_LAYER = {
    'input_conv1.0': 'condition.0',
    'input_conv1.1': 'condition.1',
    'input_conv2.0': 'features.0',
    'input_conv2.1': 'features.1',
    'attentions.0.concat_conv': 'join',
    'attentions.0.gn': 'norm',
    'attentions.0.q_lin': 'query',
    'attentions.0.k_lin': 'key',
    'attentions.0.v_lin': 'value',
    'attentions.0.mlp.fc1': 'mlp.0',
    'attentions.0.mlp.fc2': 'mlp.3',
    'attentions.0.out_conv': 'proj',
}
_PARAMETERS = {
    'W': 'frequencies',
    'freqs': 'frequencies',
    'g': 'gain',
    'complex_weight': 'response',
}


def unconditional_keys(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of :class:`DualDecoderUNet` or a relative, from the authors'.

    Args:
        weights: the state dict of their wrapper; its keys start with ``model.enc.``,
            ``model.dec.`` and so on. The levels follow from the resolutions in them.

    Raises:
        ValueError: a key does not belong to this network.
    """
    weights = {k: v for k, v in weights.items() if not k.endswith('.resample_filter')}
    sides = _numbers(r'\.(\d+)x\d+_', weights)
    blocks = _numbers(r'^model\.enc\.\d+x\d+_block(\d+)\.', weights)
    names = unconditional_names(sorted(sides, reverse=True), num_blocks=len(blocks))
    return {
        key: _heads_second(tensor) if '.qkv.' in key else tensor
        for key, tensor in _renamed(weights, names).items()
    }


def relation_keys(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of :class:`RelationUNet` or its relative, from the authors'.

    Args:
        weights: the state dict of their conditional U-Net; its keys start with
            ``downs.``, ``ups.`` and so on. Those of the condition's own network,
            ``init_conv_mask.``, are left out.

    Raises:
        ValueError: a key does not belong to this network.
    """
    weights = {k: v for k, v in weights.items() if not k.startswith('init_conv_mask.')}
    levels = len(_numbers(r'^downs\.(\d+)\.', weights))
    return {
        key: tensor.flatten() if key.endswith('.gain') else tensor
        for key, tensor in _renamed(weights, relation_names(levels)).items()
    }


def unconditional_names(sides: Sequence[int], num_blocks: int) -> dict[str, str]:
    """Modules of the unconditional head, theirs -> ours; ``aux`` are those of NCSN++.

    Args:
        sides: resolution of each level, the finest first.
        num_blocks: residual blocks of a level of the encoder.
    """
    names = {
        'model.map_noise': 'embedding.code',
        'model.map_augment': 'embedding.augment',
        'model.map_layer0': 'embedding.mlp.0',
        'model.map_layer1': 'embedding.mlp.2',
    }
    sides = [f'{side}x{side}' for side in sides]
    for level, side in enumerate(sides):
        theirs, ours = f'model.enc.{side}', f'encoder.levels.{level}'
        if level == 0:
            names[f'{theirs}_conv'] = f'{ours}.0'
        else:
            names |= _inside(f'{theirs}_down', f'{ours}.0')
            residual = f'encoder.residuals.{level - 1}.conv'
            names[f'{theirs}_aux_residual'] = residual
        for i in range(num_blocks):
            names |= _inside(f'{theirs}_block{i}', f'{ours}.{i + 1}')
    for decoder, number in enumerate(('', '2')):
        ours = f'decoders.{decoder}'
        for step, side in enumerate(reversed(sides)):
            theirs = f'model.dec{number}.{side}'
            if step == 0:
                names |= _inside(f'{theirs}_in0', f'{ours}.bottom.0')
                names |= _inside(f'{theirs}_in1', f'{ours}.bottom.1')
            else:
                names |= _inside(f'{theirs}_up', f'{ours}.ups.{step - 1}')
            for i in range(num_blocks + 1):
                names |= _inside(f'{theirs}_block{i}', f'{ours}.levels.{step}.{i}')
            if step == len(sides) - 1:
                names[f'{theirs}_aux_norm'] = f'{ours}.norm'
                names[f'{theirs}_aux_conv'] = f'{ours}.out'
        names[f'model.out_norm{number}'] = f'{ours}.norm'
        names[f'model.out_conv{number}'] = f'{ours}.out'
        decouple = f'model.decouple{decoder + 1}'
        names |= {f'{decouple}.0': f'{ours}.decouple.conv'}
        names |= _inside(f'{decouple}.1', f'{ours}.decouple.gate', GATE)
    return names


def relation_names(levels: int) -> dict[str, str]:
    """Modules of the conditional head, theirs -> ours.

    Args:
        levels: levels of the way down.
    """
    names = {
        'time_mlp.0': 'embedding.0',
        'time_mlp.1': 'embedding.1',
        'time_mlp.3': 'embedding.3',
        'init_conv.0': 'stem.0',
        'init_conv.1': 'stem.1',
    }
    for i in range(levels):
        names[f'projects.{i}'] = f'projections.{i}'
        names[f'downs.{i}.3'] = f'levels.{i}.resample'
        names |= _relation_level(
            f'downs.{i}', f'relation_layers_down.{i}', f'levels.{i}'
        )
    names |= _inside('mid_block1', 'middle.block0', STANDARDIZED_BLOCK)
    names |= _inside('mid_attn', 'middle.attention', FULL_ATTENTION)
    names |= _inside('mid_block2', 'middle.block1', STANDARDIZED_BLOCK)
    for decoder, number in enumerate(('', '2')):
        ours = f'decoders.{decoder}'
        for i in range(levels):
            theirs, level = f'ups{number}.{i}', f'{ours}.levels.{i}'
            names |= _relation_level(theirs, f'relation_layers_up{number}.{i}', level)
            convolution = '3' if i == levels - 1 else '3.1'
            names[f'{theirs}.{convolution}'] = f'{level}.conv'
        decouple = f'decouple{decoder + 1}'
        names[f'{decouple}.0'] = f'{ours}.decouple.norm'
        names[f'{decouple}.1'] = f'{ours}.decouple.conv'
        names[f'{decouple}.2'] = f'{ours}.decouple.gate'
        names |= _inside(f'{decouple}.2', f'{ours}.decouple.gate', GATE)
        final = f'final_res_block{number}'
        names |= _inside(final, f'{ours}.block', STANDARDIZED_BLOCK)
        names[f'final_conv{number}'] = f'{ours}.out'
    return names


def _relation_level(theirs: str, relation: str, ours: str) -> dict[str, str]:
    return (
        _inside(f'{theirs}.0', f'{ours}.block0', STANDARDIZED_BLOCK)
        | _inside(relation, f'{ours}.relation', RELATION_LAYER)
        | _inside(f'{theirs}.1', f'{ours}.block1', STANDARDIZED_BLOCK)
        | _inside(f'{theirs}.2', f'{ours}.attention', LINEAR_ATTENTION)
    )


def _inside(
    theirs: str, ours: str, parts: Mapping[str, str] = RES_BLOCK
) -> dict[str, str]:
    """The layers of a module, with its name before theirs."""
    return {f'{theirs}.{a}': f'{ours}.{b}' for a, b in parts.items()}


def _numbers(pattern: str, keys: Mapping[str, Tensor]) -> set[int]:
    """The numbers at a place of the keys."""
    return {int(match[1]) for key in keys if (match := re.search(pattern, key))}


def _renamed(
    weights: Mapping[str, Tensor], names: Mapping[str, str]
) -> dict[str, Tensor]:
    modules = {key: key.rpartition('.')[::2] for key in weights}
    unknown = [key for key, (module, _) in modules.items() if module not in names]
    if unknown:
        raise ValueError(
            f"Not the authors' network: {len(unknown)} of {len(weights)} weights have "
            f'unknown names, the first being {unknown[0]!r}. Check that the file is a '
            'checkpoint of this network, and that the prefix of its keys is removed.'
        )
    return {
        f'{names[module]}.{_PARAMETERS.get(kind, kind)}': weights[key]
        for key, (module, kind) in modules.items()
    }


def _heads_second(qkv: Tensor) -> Tensor:
    """Rows ordered (head, channel, 3) to (3, head, channel)."""
    return qkv.unflatten(0, (-1, 3)).transpose(0, 1).flatten(0, 1)
