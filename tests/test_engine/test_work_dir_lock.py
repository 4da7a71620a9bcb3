"""Only one training at a time in a work directory."""

import errno
import os
import signal
import time

import pytest

from mmadm.engine.hooks.work_dir_lock import LOCK
from tests.faults import fork, moments, train, wait, write_toy_config

SPARSE = {'default_hooks.checkpoint.interval': 100}


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return write_toy_config(tmp_path_factory.mktemp('lock'))


def test_a_second_training_is_refused_until_the_first_has_ended(config, tmp_path):
    """It names the first, which goes on; a killed one blocks nothing."""
    work = tmp_path / 'w'
    options = {**SPARSE, 'train_dataloader.num_workers': 1}
    first = fork(lambda: train(config, work, options), work / 'out_1')
    while not moments('step', work)():
        time.sleep(1e-3)
    os.kill(first, signal.SIGSTOP)
    try:
        second = fork(lambda: train(config, work, SPARSE), work / 'out_2')
        assert wait(second) == 1
        text = (work / 'out_2').read_text()
        assert f'Another training runs in {work}: process {first}' in text
    finally:
        os.kill(first, signal.SIGKILL)
    assert wait(first) == -signal.SIGKILL
    assert (work / LOCK).is_file()
    # At once, while a data worker of the killed run may still be there.
    third = fork(lambda: train(config, work, SPARSE), work / 'out_3')
    assert wait(third) == 0, (work / 'out_3').read_text()[-2000:]
    assert (work / 'iter_12.pth').is_file()


def test_trainings_in_one_process_follow_each_other(make_runner):
    for _ in range(2):
        make_runner('run', train_cfg__max_iters=1).train()


def test_a_file_system_without_locks_is_a_warning(make_runner, tmp_path, monkeypatch):
    def fail(*args) -> None:
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr('fcntl.lockf', fail)
    make_runner('run', train_cfg__max_iters=1).train()
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert 'could not be locked' in log.read_text()
