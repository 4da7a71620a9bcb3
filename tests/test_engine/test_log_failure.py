"""A log that cannot be written does not end a run."""

import json
import resource
import signal

import pytest
from mmengine.hooks import Hook
from mmengine.visualization import TensorboardVisBackend

from tests.faults import fork, wait
from tests.test_tools.test_cli import call


@pytest.fixture
def file_limit():
    """Sets how large files of this process may become, as on a full disk."""
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        soft = limits[0] if size is None else size
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, limits[1]))

    yield limit
    limit(None)
    signal.signal(signal.SIGXFSZ, former)


class FullDisk(Hook):
    """No file can grow in the second and third iteration."""

    priority = 'HIGHEST'

    def __init__(self, limit) -> None:
        self.limit = limit

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.limit(1 if 1 <= runner.iter <= 2 else None)


def test_training_goes_on_and_the_log_with_it(make_runner, tmp_path, file_limit):
    runner = make_runner(default_hooks__checkpoint__interval=4)
    runner.register_hook(FullDisk(file_limit))
    runner.train()
    work = tmp_path / 'run'
    assert (work / 'iter_4.pth').is_file()
    (scalars,) = work.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert [line['step'] for line in lines if 'loss' in line] == [1, 4]
    (text,) = work.glob('*/*.log')
    log = text.read_text()
    assert log.count('The log cannot be written: LocalVisBackend') == 1
    assert 'Iter(train) [4/4]' in log


def test_a_log_that_is_lost_leaves_the_others(make_runner, tmp_path, monkeypatch):
    """TensorBoard's writer raises its first error again and again."""

    def fail(self, *args, **kwargs) -> None:
        raise OSError(28, 'No space left on device')

    for method in ('add_scalars', 'close'):
        monkeypatch.setattr(TensorboardVisBackend, method, fail)
    make_runner().train()
    (scalars,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert [line['step'] for line in lines if 'loss' in line] == [1, 2, 3, 4]
    (text,) = (tmp_path / 'run').glob('*/*.log')
    assert text.read_text().count('cannot be written: TensorboardVisBackend') == 1


def test_a_killed_data_worker_is_a_one_line_error(toy_config, tmp_path):
    toy_config.write_text(toy_config.read_text() + KILL)
    options = ('--cfg-options', 'train_dataloader.num_workers=1')
    command = ('train.py', toy_config, '--work-dir', tmp_path / 'w', *options)
    # torch reports a dead worker by an error from a signal handler: anywhere.
    assert wait(fork(lambda: call(*command), tmp_path / 'output.txt')) == 1
    printed = (tmp_path / 'output.txt').read_text()
    assert 'Error: A process that loads data has ended' in printed
    assert 'num_workers' in printed and 'Traceback' not in printed


KILL = """
train_dataloader.dataset.pipeline.insert(
    0, dict(type='tests.test_engine.test_log_failure.Kill')
)
"""


class Kill:
    """A transform that ends its process, as the system does without memory."""

    def __call__(self, results: dict) -> dict:
        import os

        os.kill(os.getpid(), signal.SIGKILL)
        return results
