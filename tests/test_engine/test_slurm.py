"""Runs that Slurm starts and stops, with stand-ins for ``srun`` and ``scontrol``."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmadm.apis import prepare_run
from tests.conftest import ROOT

# Starts the tasks; a signal goes to all of their processes, data workers included.
SRUN = """\
#!/usr/bin/env bash
echo "$@" > "$RECORD"
echo $$ > "$RECORD.process"
while [[ $1 == -* ]]; do
    case $1 in --ntasks=*) count=${1#*=} ;; -p) shift ;; esac
    shift
done
set -m
for ((rank = 0; rank < count; rank++)); do
    SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_NTASKS=$count \\
        SLURM_NODELIST='node[1-2]' SLURM_JOB_ID=$$ "$@" &
    tasks+=($!)
done
trap 'kill -USR1 "${tasks[@]/#/-}"' USR1
code=0
for task in "${tasks[@]}"; do
    while kill -0 "$task" 2> /dev/null; do wait "$task"; last=$?; done
    ((last == 0)) || code=$last
done
exit $code
"""
SCONTROL = """\
#!/usr/bin/env bash
[[ $* == 'show hostnames node[1-2]' ]] || { echo 'Invalid hostlist' >&2; exit 1; }
echo localhost
echo elsewhere
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Path:
    """A machine with Slurm's programs on it; returns the record of their options."""
    for name, text in dict(srun=SRUN, scontrol=SCONTROL).items():
        program = tmp_path / 'bin' / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    path = [str(program.parent), str(Path(sys.executable).parent), os.environ['PATH']]
    monkeypatch.setenv('PATH', os.pathsep.join(path))
    monkeypatch.setenv('RECORD', str(tmp_path / 'record'))
    return tmp_path / 'record'


def test_a_run_is_started_stopped_in_time_and_saved(cluster, toy_config, tmp_path):
    """SIGUSR1 before the end of the allocation: two tasks save one checkpoint."""
    work = tmp_path / 'w'
    options = ['train_cfg.max_iters=2000', 'default_hooks.checkpoint.interval=2000']
    options += [
        'train_dataloader.num_workers=1',
        'default_hooks.stop_signal.interval=1',
    ]
    script = str(ROOT / 'tools' / 'slurm_train.sh')
    command = ['bash', script, 'cpu', 'toy', str(toy_config), str(work)]
    output = tmp_path / 'output'
    with output.open('w') as file:
        run = subprocess.Popen(
            [*command, '--cfg-options', *options],
            env=dict(os.environ, GPUS='2', SRUN_ARGS='--signal=USR1@60 --time=5'),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        while 'Iter(train)' not in output.read_text() and run.poll() is None:
            time.sleep(0.1)
        os.kill(int(Path(f'{cluster}.process').read_text()), signal.SIGUSR1)
        assert run.wait(120) == 0, output.read_text()[-3000:]

    passed = cluster.read_text()
    for option in ('--signal=USR1@60 --time=5', '--ntasks=2', '--ntasks-per-node=2'):
        assert option in passed
    (saved,) = work.glob('iter_*.pth')
    content = torch.load(saved, weights_only=True)
    assert 0 < content['meta']['iter'] < 2000
    assert 'Distributed training: True' in output.read_text()


def test_the_script_of_tests_requests_the_given_resources(cluster, tmp_path):
    """Its program is replaced: training shows that tasks are started."""
    python = tmp_path / 'bin' / 'python'
    python.write_text('#!/usr/bin/env bash\ntrue')
    python.chmod(0o755)
    script = str(ROOT / 'tools' / 'slurm_test.sh')
    given = dict(GPUS='16', CPUS_PER_TASK='3', SRUN_ARGS='--qos=low')
    command = ['bash', script, 'gpu', 'name', 'config.py', 'a.pth', '--num-steps', '5']
    subprocess.run(command, env=dict(os.environ, **given), check=True)
    assert cluster.read_text().split() == [
        *('-p', 'gpu', '--job-name=name', '--gres=gpu:8', '--ntasks=16'),
        *('--ntasks-per-node=8', '--cpus-per-task=3', '--kill-on-bad-exit=1'),
        *('--qos=low', 'python', '-u', str(ROOT / 'tools' / 'test.py')),
        *('config.py', 'a.pth', '--launcher', 'slurm', '--num-steps', '5'),
    ]


# Variables of a process.


@pytest.fixture
def task(cluster, monkeypatch):
    """The environment of the second of three tasks; nobody is met."""
    for name in ('MASTER_ADDR', 'MASTER_PORT', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        # Set, so that it is taken away again after the test.
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    given = dict(PROCID=1, NTASKS=3, LOCALID=0, JOB_ID=123456, NODELIST='node[1-2]')
    for name, value in given.items():
        monkeypatch.setenv(f'SLURM_{name}', str(value))
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda backend: None)
    return monkeypatch


def join() -> dict:
    prepare_run(Config(dict(model={})), 'toy.py', 'w', launcher='slurm')
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
    return {name: os.environ[name] for name in names}


def test_a_task_learns_who_it_is_and_where_the_others_are(task):
    assert join() == dict(
        RANK='1',
        WORLD_SIZE='3',
        LOCAL_RANK='0',
        MASTER_ADDR='localhost',
        MASTER_PORT='23456',
    )


def test_another_job_on_the_node_has_another_port(task):
    task.setenv('SLURM_JOB_ID', '123457')
    assert join()['MASTER_PORT'] == '23457'


def test_what_the_environment_says_holds(task):
    task.setenv('MASTER_ADDR', 'node7')
    task.setenv('MASTER_PORT', '1234')
    task.setenv('SLURM_NODELIST', 'nonsense')
    variables = join()
    assert (variables['MASTER_ADDR'], variables['MASTER_PORT']) == ('node7', '1234')


def test_a_process_that_srun_did_not_start_is_refused(task):
    task.delenv('SLURM_PROCID')
    with pytest.raises(ValueError, match=r'SLURM_PROCID is not .* Start with srun'):
        join()


def test_a_node_that_cannot_be_named_is_refused(task):
    task.setenv('SLURM_NODELIST', 'nonsense')
    with pytest.raises(ValueError, match=r"'Invalid hostlist'\. Set MASTER_ADDR"):
        join()
    task.setenv('PATH', '')
    with pytest.raises(ValueError, match=r'no scontrol .* Set MASTER_ADDR'):
        join()
