"""Resumes a run with the settings of the config, not with those of the checkpoint."""

import ast
import copy
import warnings
from collections.abc import Iterator

from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper

from mmadm.engine.optim import optim_wrappers
from mmadm.registry import HOOKS

# Weights are those of the checkpoint, wherever the config takes them from.
_WEIGHTS = {'checkpoint', 'decoder', 'encoder', 'init_cfg', 'weights'}
# Settings of where a run is, not of what it computes.
_PLACE = ('experiment_name', 'launcher', 'load_from', 'resume', 'work_dir')


@HOOKS.register_module()
class ResumeHook(Hook):
    """Lets a changed config take effect when a run is resumed.

    MMEngine restores learning rate, schedule and all other settings of the optimizer
    from the checkpoint, so that a change in the config is ignored. With this hook they
    follow from the config and the iteration: the schedule begins anew and is stepped to
    the resumed iteration. With an unchanged config the result is the same to the last
    bit. The seed of the config is used, too.

    The log names what was changed. One warning names changes that have no effect.
    """

    # Before hooks that read the schedule.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._groups: list[list[dict]] | None = None
        self._schedules: list[dict] = []
        self._old_config = ''

    def before_run(self, runner) -> None:
        """Remember optimizer settings and schedules as the config gives them."""
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, BaseOptimWrapper) or runner.iter:
            return
        self._groups = [
            [{k: v for k, v in group.items() if k != 'params'} for group in groups]
            for groups in _groups(runner)
        ]
        self._schedules = [copy.deepcopy(s.state_dict()) for s in _schedulers(runner)]

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take the config of the checkpoint; keep MMEngine from taking its settings."""
        meta = checkpoint.get('meta') or {}
        self._old_config = meta.get('cfg') or ''
        if (runner.cfg.get('randomness') or {}).get('seed') is not None:
            meta.pop('seed', None)
        # MMEngine would also stop at a different number of schedules.
        checkpoint.pop('param_schedulers', None)

    def before_train(self, runner) -> None:
        """Set optimizer and schedules of a resumed run as the config says."""
        if not runner.iter:
            return
        if self._groups is not None:
            self._restore(runner)
        self._report(runner)

    def _restore(self, runner) -> None:
        for groups, settings in zip(_groups(runner), self._groups):
            for group, own in zip(groups, settings):
                group.update(own)
        schedulers = list(_schedulers(runner))
        for scheduler, state in zip(schedulers, self._schedules):
            scheduler.load_state_dict(copy.deepcopy(state))
        with warnings.catch_warnings():
            # MMEngine expects a step of the optimizer in between.
            warnings.simplefilter('ignore')
            for _ in range(runner.iter):
                for scheduler in schedulers:
                    if not scheduler.by_epoch:
                        scheduler.step()

    def _report(self, runner) -> None:
        changes = changed_settings(self._old_config, runner.cfg.pretty_text)
        idle = {
            key: text
            for key, text in changes.items()
            if key.startswith('model.') and _WEIGHTS & set(key.split('.'))
        }
        if runner.iter > runner.max_iters:
            idle['train_cfg.max_iters'] = f'{runner.max_iters}'
        active = [f'{key}: {x}' for key, x in changes.items() if key not in idle]
        if active:
            runner.logger.info(
                f'Settings changed since the checkpoint, in effect from iteration '
                f'{runner.iter} on: {"; ".join(active)}'
            )
        if idle:
            texts = '; '.join(f'{key}: {text}' for key, text in idle.items())
            runner.logger.warning(
                'Changed settings have no effect on a resumed run, whose weights and '
                f'iteration ({runner.iter}) are those of the checkpoint: {texts}. '
                'Begin a new run to use them.'
            )


def changed_settings(old: str, new: str) -> dict[str, str]:
    """Settings that differ between two configs, given as text.

    The text is parsed but not run.

    Returns:
        for each key, with its dots, 'old -> new'; empty without an old config.
    """
    try:
        before, after = (dict(_leaves(ast.parse(text))) for text in (old, new))
    except SyntaxError:
        return {}
    keys = sorted(before.keys() | after.keys()) if before else ()
    return {
        key: f'{before.get(key, "none")} -> {after.get(key, "none")}'
        for key in keys
        if before.get(key) != after.get(key) and key.split('.')[0] not in _PLACE
    }


def _leaves(node: ast.AST, place: str = '') -> Iterator[tuple[str, str]]:
    """All values in the text of a config, with the keys that lead to them."""
    if isinstance(node, ast.Module):
        assigned = [x for x in node.body if isinstance(x, ast.Assign)]
        children = [(ast.unparse(x.targets[0]), x.value) for x in assigned]
    elif isinstance(node, ast.Call):
        children = [(str(x.arg), x.value) for x in node.keywords]
    elif isinstance(node, ast.Dict):
        names = [ast.unparse(key).strip("'") for key in node.keys]
        children = list(zip(names, node.values))
    elif isinstance(node, ast.List | ast.Tuple) and node.elts:
        children = [(str(i), item) for i, item in enumerate(node.elts)]
    else:
        yield place, ast.unparse(node)
        return
    for name, child in children:
        yield from _leaves(child, f'{place}.{name}' if place else name)


def _groups(runner) -> Iterator[list[dict]]:
    """The parameter groups of each optimizer."""
    for wrapper in optim_wrappers(runner.optim_wrapper):
        yield wrapper.optimizer.param_groups


def _schedulers(runner) -> Iterator:
    """All schedulers of all optimizers."""
    schedulers = runner.param_schedulers or []
    for items in schedulers.values() if isinstance(schedulers, dict) else [schedulers]:
        yield from items
