"""Toy runs in processes that can be killed: cheap, as they have imported all before."""

import faulthandler
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from cloudpickle import dumps, loads
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from mmadm.apis import load_config, prepare_run, set_resume
from tests.conftest import ROOT, TOY_CONFIG, draw_photo
from tests.test_evaluation.two_processes import context

# Phase of the run, one byte of memory that it shares with the tests.
_phase = context.RawArray('B', 1)
_started = {}
SHORT = {
    'train_cfg.max_iters': 12,
    'train_cfg.val_interval': 4,
    'default_hooks.checkpoint.save_best': 'psnr_rgb',
    'default_hooks.checkpoint.rule': 'greater',
}
# As rarely as possible, so that little is kept; or always, to be killed while writing.
INTERVAL = {'step': 3, 'validation': 2, 'save': 1}


class PhaseHook(Hook):
    """Tells what the run is doing."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        _phase[0] = ord('t')

    def before_val_epoch(self, runner) -> None:
        _phase[0] = ord('v')

    def after_val_epoch(self, runner, metrics=None) -> None:
        _phase[0] = ord('t')


def write_toy_config(folder: Path) -> Path:
    """The configs and five images in ``folder``; returns the toy config."""
    shutil.copytree(ROOT / 'configs', folder / 'configs')
    (folder / 'photos').mkdir()
    for i in range(5):
        Image.fromarray(draw_photo(i)).save(folder / 'photos' / f'photo_{i}.png')
    path = folder / 'configs' / 'adm' / 'toy.py'
    path.write_text(TOY_CONFIG.format(folder=str(folder / 'photos')))
    return path


def train(config: Path, work_dir: Path, options: dict, ranks: int = 1) -> None:
    """Go on in ``work_dir`` until the end, as ``tools/train.py --resume`` does."""
    cfg = load_config(str(config), {**SHORT, **options})
    launcher = 'pytorch' if ranks > 1 else 'none'
    prepare_run(cfg, str(config), str(work_dir), launcher=launcher)
    cfg.experiment_name = f'{os.getpid()}_{time.time_ns()}'
    cfg.default_hooks.phase = dict(type=PhaseHook)
    set_resume(cfg, 'auto')
    Runner.from_cfg(cfg).train()


def fork(work: Callable[[], None], output: Path) -> int:
    """Do ``work`` in a process of its own, which writes to ``output``; its number."""
    output.parent.mkdir(parents=True, exist_ok=True)
    _phase[0] = 0
    process = context.Process(
        target=_run, args=(dumps(work), output, _phase, dict(os.environ))
    )
    process.start()
    _started[process.pid] = process
    return process.pid


def _run(work: bytes, output: Path, phase, environment: dict) -> None:
    global _phase
    _phase = phase
    code = 1
    try:
        sys.stdout = sys.stderr = output.open('a', buffering=1)
        for descriptor in (1, 2):
            os.dup2(sys.stdout.fileno(), descriptor)
        faulthandler.enable()
        os.environ.update(environment)
        torch.set_num_threads(1)
        loads(work)()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def fork_ranks(config: Path, work_dir: Path, options: dict, port: int) -> list[int]:
    """Train with two processes that talk through gloo."""

    def join(rank: int) -> None:
        address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        os.environ.update(address, RANK=str(rank), WORLD_SIZE='2', LOCAL_RANK='0')
        train(config, work_dir, options, ranks=2)

    outputs = [work_dir / f'out_{rank}.txt' for rank in range(2)]
    return [fork(lambda r=r: join(r), output) for r, output in enumerate(outputs)]


def finished(process: int) -> bool:
    """Whether a process has ended; an error in it is one here."""
    code = _started[process].exitcode
    assert not code, f'process ended with code {code}'
    return code is not None


def wait(process: int) -> int:
    """The exit code of a process, or minus the signal that killed it."""
    _started[process].join()
    return _started.pop(process).exitcode


def moments(scenario: str, work_dir: Path) -> Callable[[], bool]:
    """Says whether the run is in the middle of ``scenario`` now."""
    return {
        'step': lambda: _phase[0] == ord('t'),
        'validation': lambda: _phase[0] == ord('v'),
        'save': lambda: any(work_dir.glob('.*.part*')),
    }[scenario]


def kill_once(process: int, now: Callable[[], bool], rng: random.Random) -> bool:
    """Kill a run at a random moment of its scenario; False if it ended before."""
    passes = rng.choice([1, 1, 2, 3])
    for _ in range(passes):
        while not now():
            if finished(process):
                return False
            time.sleep(1e-4)
        # Somewhere inside, or soon after.
        time.sleep(rng.uniform(0, 0.15) ** (2 if passes == 1 else 1))
    if finished(process):
        return False
    os.kill(process, signal.SIGKILL)
    assert wait(process) == -signal.SIGKILL
    return True


def kills(
    config: Path, work_dir: Path, scenario: str, limit: int, seed: int
) -> Iterator[list[str]]:
    """Kill and resume a run until it ends or was killed ``limit`` times; then let it.

    Yields:
        after each kill, the files that it left.
    """
    rng = random.Random(seed)
    options = {'default_hooks.checkpoint.interval': INTERVAL[scenario]}
    for _ in range(limit):
        process = fork(lambda: train(config, work_dir, options), work_dir / 'out.txt')
        if not kill_once(process, moments(scenario, work_dir), rng):
            return
        yield sorted(path.name for path in work_dir.iterdir())
    process = fork(lambda: train(config, work_dir, options), work_dir / 'out.txt')
    assert wait(process) == 0


def result(work_dir: Path) -> dict:
    """End of a run: weights, averages, optimizer, learning rates, log and scores."""
    state = torch.load(work_dir / 'iter_12.pth', weights_only=True)
    hub = state['message_hub']
    keep = ('train/loss', 'train/lr', 'train/grad_norm', 'val/psnr_rgb', 'val/ssim_rgb')
    state['log'] = {key: hub['log_scalars'][key] for key in keep}
    state['best'] = hub['runtime_info']['best_psnr_rgb']
    best = sorted(path.name for path in work_dir.glob('best_*.pth'))
    state['best_names'] = best
    state['best_weights'] = torch.load(work_dir / best[-1], weights_only=True)[
        'state_dict'
    ]
    for key in ('meta', 'message_hub'):
        del state[key]
    return state


def assert_same(a, b, place: str = '') -> None:
    """Equal to the last bit."""
    assert type(a) is type(b), place
    if isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a:
            assert_same(a[key], b[key], f'{place}.{key}')
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), place
    elif isinstance(a, list):
        assert len(a) == len(b), place
        for i, (x, y) in enumerate(zip(a, b)):
            assert_same(x, y, f'{place}[{i}]')
    else:
        assert a == b, place
