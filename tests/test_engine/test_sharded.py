"""A model of which each process keeps a part trains like one that is whole."""

import copy
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed.fsdp
import torch.distributed.tensor  # here once, not in each fork
from mmengine.hooks import CheckpointHook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmadm.checkpoints import load_weights
from mmadm.engine import (
    AutocastOptimWrapper,
    NonFiniteHook,
    ShardedDataParallel,
    ShardingHook,
)
from mmadm.engine.sharded import gather
from mmadm.models import TrainableEMA
from mmadm.utils.sharding import local_part
from tests.faults import (
    assert_same,
    fork,
    fork_ranks,
    moments,
    train,
    wait,
    write_toy_config,
)
from tests.test_evaluation.two_processes import in_two_processes

KEPT = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
LOGGED = ('train/loss', 'train/grad_norm', 'val/psnr_rgb')
RUN = {
    'train_cfg.max_iters': 4,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.stop_signal.interval': 1,
    'model.condition_encoder.channels': (8,),
    'model.head.condition_channels': (8,),
    'model.head.channel_mult': (1,),
}
SHARDED = {**RUN, 'model_wrapper_cfg': dict(type='ShardedDataParallel')}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def train_whole(config: Path, work_dir: Path) -> None:
    """In one process, with the batches of both."""
    options = {**RUN, 'train_dataloader.batch_size': 4}
    process = fork(lambda: train(config, work_dir, options), work_dir / 'out.txt')
    assert wait(process) == 0, (work_dir / 'out.txt').read_text()[-3000:]


def train_sharded(config: Path, work_dir: Path, number: int | None = None) -> None:
    """In two processes; one may get a signal in a validation."""
    processes = fork_ranks(config, work_dir, SHARDED, free_port())
    if number is not None:
        now = moments('validation', work_dir)
        while not now():
            time.sleep(1e-3)
        os.kill(processes[1], number)
    codes = [wait(process) for process in processes]
    ends = [path.read_text()[-2000:] for path in sorted(work_dir.glob('out_*'))]
    assert codes == [0, 0], '\n'.join(ends)


def state(work_dir: Path) -> dict:
    content = torch.load(work_dir / 'iter_4.pth', weights_only=True)
    scalars = content['message_hub']['log_scalars']
    logs = {key: scalars[key]['history_buffer']['log'] for key in LOGGED}
    return {key: content[key] for key in KEPT} | logs


def assert_close(a, b, place: str = '') -> None:
    """The same tensors under the same names, but for rounding."""
    if isinstance(a, dict):
        assert list(a) == list(b), place
        for key in a:
            assert_close(a[key], b[key], f'{place}.{key}')
    elif isinstance(a, torch.Tensor):
        assert type(a) is type(b), place
        torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)
    elif isinstance(a, list):
        assert len(a) == len(b), place
        for x, y in zip(a, b):
            assert_close(x, y, place)
    else:
        assert a == b, place


def rewind(work_dir: Path, to: Path) -> Path:
    """As if the run had ended after half of its iterations."""
    to.mkdir()
    shutil.copy(work_dir / 'iter_2.pth', to)
    return to


@pytest.fixture(scope='module')
def runs(tmp_path_factory) -> dict:
    """The same run, whole and sharded; five test samples for two processes."""
    folder = tmp_path_factory.mktemp('runs')
    config = write_toy_config(folder)
    train_whole(config, folder / 'whole')
    train_sharded(config, folder / 'sharded')
    return dict(config=config, whole=folder / 'whole', sharded=folder / 'sharded')


def test_weights_averages_moments_losses_and_scores_are_those_of_one_process(runs):
    assert_close(state(runs['whole']), state(runs['sharded']))
    best = sorted(path.name for path in runs['whole'].glob('best_*'))
    assert best == sorted(path.name for path in runs['sharded'].glob('best_*'))


def test_one_process_resumes_what_several_saved_and_the_other_way_round(runs, tmp_path):
    train_whole(runs['config'], rewind(runs['sharded'], tmp_path / 'one'))
    train_sharded(runs['config'], rewind(runs['whole'], tmp_path / 'two'))
    expected = state(runs['whole'])
    assert_close(expected, state(tmp_path / 'one'))
    assert_close(expected, state(tmp_path / 'two'))


def test_a_run_that_was_stopped_in_a_validation_goes_on_exactly(runs, tmp_path):
    """It is saved as it is trained, not as it was averaged and gathered."""
    work = rewind(runs['sharded'], tmp_path / 'w')
    train_sharded(runs['config'], work, signal.SIGUSR1)
    assert 'during validation: saving' in (work / 'out_0.txt').read_text()
    train_sharded(runs['config'], work)
    assert_same(state(runs['sharded']), state(work))


# A small model, in two processes that are forked for it.


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return x + self.linear(x)


class Small(BaseModel):
    """Three rows for two processes; an output of which one has no part at all."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.Sequential(Block(), Block())
        self.frozen = Block().requires_grad_(False)
        self.norm = nn.BatchNorm1d(3)
        self.out = nn.Linear(3, 1)

    def forward(self, inputs, data_samples=None, mode='loss'):
        output = self.out(self.norm(self.frozen(self.blocks(inputs))))
        return dict(loss=output.square().mean()) if mode == 'loss' else output


def data(step: int) -> dict:
    """The same in each process, so that their mean is that of one."""
    torch.manual_seed(step)
    return dict(inputs=torch.randn(4, 3))


def wrapper(model: nn.Module, kind=OptimWrapper, **options) -> OptimWrapper:
    weights = [p for p in model.parameters() if p.requires_grad]
    return kind(optimizer=torch.optim.AdamW(weights, lr=0.1, **options))


def steps(model: nn.Module, optim_wrapper, ema=None, count: int = 3) -> None:
    for step in range(count):
        model.train_step(data(step), optim_wrapper)
        if ema is not None:
            ema.update_parameters(getattr(model, 'module', model))


def in_two(folder: Path, work: Callable[[int], object]) -> list:
    """What ``work`` gives in each process, tensors included."""

    def seal(rank: int) -> bytes:
        file = BytesIO()
        torch.save(work(rank), file)
        return file.getvalue()

    return [torch.load(BytesIO(x)) for x in in_two_processes(folder, seal)]


def weights(model: nn.Module) -> dict:
    return {key: gather(x).detach().clone() for key, x in model.state_dict().items()}


@pytest.mark.parametrize(
    ('kind', 'accumulate'), [(OptimWrapper, 1), (AutocastOptimWrapper, 2)]
)
def test_averages_accumulation_and_autocast(tmp_path, kind, accumulate):
    def work(rank: int) -> tuple[dict, dict]:
        results = []
        for make in (Small, lambda: ShardedDataParallel(Small())):
            model = make()
            ema = TrainableEMA(getattr(model, 'module', model), momentum=0.3)
            optimizer = wrapper(model, kind)
            optimizer._accumulative_counts = accumulate
            steps(model, optimizer, ema, count=4)
            results.append((weights(getattr(model, 'module', model)), weights(ema)))
        return results

    for (plain, plain_ema), (sharded, sharded_ema) in in_two(tmp_path, work):
        assert_close(plain, sharded)
        assert_close(plain_ema, sharded_ema)


def test_each_process_keeps_half_and_the_frozen_whole(tmp_path):
    def work(rank: int) -> tuple[int, bool]:
        model = ShardedDataParallel(Small()).module
        kept = sum(local_part(p).numel() for p in model.parameters() if p.requires_grad)
        return kept, torch.equal(
            model.frozen.linear.weight, Small().frozen.linear.weight
        )

    total = sum(p.numel() for p in Small().parameters() if p.requires_grad)
    counts, wholes = zip(*in_two(tmp_path, work))
    assert sum(counts) == total and max(counts) < 0.75 * total and all(wholes)


def test_classes_keep_the_names_that_settings_go_by(alone):
    """``recompute`` of ``AccelerationHook``, for instance."""
    sharded = ShardedDataParallel(Small()).module
    names = [type(child).__name__ for child in sharded.modules()]
    assert names == [type(child).__name__ for child in Small().modules()]


def test_processes_begin_alike_and_may_evaluate_different_numbers(tmp_path):
    def work(rank: int) -> tuple:
        model = Small()
        nn.init.constant_(model.blocks[0].linear.weight, rank + 1)
        model = ShardedDataParallel(model)
        model.eval()
        outputs = [model(**data(0), mode='tensor') for _ in range(1 + rank)]
        model.train()
        steps(model, wrapper(model), count=1)
        return outputs[-1].detach(), weights(model.module)

    (output, after), (other_output, other_after) = in_two(tmp_path, work)
    expected = Small().eval()
    nn.init.constant_(expected.blocks[0].linear.weight, 1)
    torch.testing.assert_close(output, expected(**data(0), mode='tensor').detach())
    assert torch.equal(output, other_output)
    assert_same(after, other_after)


@pytest.mark.parametrize('fused', [False, True])
def test_a_gradient_that_is_no_number_is_skipped_by_all(tmp_path, fused):
    """It is seen in one part only, and every weight must stay."""

    def work(rank: int) -> list:
        model = ShardedDataParallel(Small())
        optim_wrapper = wrapper(model, fused=fused)
        hook = NonFiniteHook()
        optim_wrapper.optimizer.register_step_pre_hook(hook._check)
        before = weights(model.module)

        def poison(*_) -> None:
            if rank == 1:
                local_part(model.module.blocks[0].linear.weight.grad)[0] = torch.nan

        optim_wrapper.optimizer.register_step_pre_hook(poison)
        optim_wrapper.optimizer._optimizer_step_pre_hooks.move_to_end(
            next(iter(optim_wrapper.optimizer._optimizer_step_pre_hooks))
        )
        steps(model, optim_wrapper, count=1)
        return [before, weights(model.module), bool(hook._flags[0])]

    for before, after, flagged in in_two(tmp_path, work):
        assert flagged
        for name, value in after.items():
            if 'running' not in name and 'tracked' not in name:
                assert torch.equal(value, before[name]), name


# What cannot work.


@pytest.fixture
def alone(tmp_path):
    """A group of this one process."""
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/group', rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_blocks_that_are_not_there_are_named(alone):
    with pytest.raises(ValueError, match=r"\['Nothing'\].*'Block'"):
        ShardedDataParallel(Small(), blocks=['Nothing'])
    with pytest.raises(ValueError, match='no blocks'):
        ShardedDataParallel(nn.Sequential(nn.Linear(2, 2)))


def test_a_sharded_model_is_not_copied(alone):
    with pytest.raises(ValueError, match='TrainableEMA'):
        copy.deepcopy(ShardedDataParallel(Small()).module)


def test_old_versions_are_refused(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.9.1+cpu')
    with pytest.raises(ImportError, match=r'2\.10 or newer, but this is 2\.9\.1'):
        ShardedDataParallel(Small())


def test_what_does_not_go_with_shards_is_refused_before_training(alone):
    model = ShardedDataParallel(Small())
    one = wrapper(model)
    several = SimpleNamespace(
        model=model, hooks=[], optim_wrapper=OptimWrapperDict(a=one, b=wrapper(model))
    )
    with pytest.raises(ValueError, match=r"\['a', 'b'\]"):
        ShardingHook().before_run(several)
    other = SimpleNamespace(model=model, hooks=[CheckpointHook()], optim_wrapper=one)
    with pytest.raises(ValueError, match='AtomicCheckpointHook'):
        ShardingHook().before_run(other)


def test_weights_of_a_file_are_cut_when_they_are_loaded(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=Small().state_dict()), path)

    def work(rank: int) -> dict:
        model = Small()
        nn.init.zeros_(model.out.weight)
        model = ShardedDataParallel(model).module
        load_weights(model, path)
        return weights(model)

    for loaded in in_two(tmp_path, work):
        assert_same(dict(Small().state_dict()), loaded)
