"""Files are there wholly or not at all; damage is noticed and the file before taken."""

import os
import random
import resource
import shutil
import signal

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from mmadm.apis import load_config, set_resume
from mmadm.checkpoints import find_checkpoint, read_checkpoint
from mmadm.checkpoints.saving import point_at, write_checkpoint
from tests.faults import assert_same


@pytest.fixture
def small_files():
    """No file of this process can grow beyond 20 kB."""
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int = 20000) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, former)


def make_checkpoints(folder, *numbers: int) -> None:
    for number in numbers:
        weights = dict(state_dict=dict(weight=torch.full((40,), float(number))))
        write_checkpoint(weights, folder / f'iter_{number}.pth')
        point_at(folder / f'iter_{number}.pth')


def test_a_disk_that_takes_no_more_leaves_the_old_checkpoint(tmp_path, small_files):
    make_checkpoints(tmp_path, 1)
    before = (tmp_path / 'iter_1.pth').read_bytes()
    small_files()
    large = dict(state_dict=nn.Linear(100, 100).state_dict())
    for name in ('iter_1.pth', 'iter_2.pth'):
        with pytest.raises(OSError):
            write_checkpoint(large, tmp_path / name)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ['iter_1.pth', 'last_checkpoint']
    assert (tmp_path / 'iter_1.pth').read_bytes() == before


def test_what_cannot_fit_is_not_begun(tmp_path):
    terabytes = torch.empty(2**42, device='meta')
    with pytest.raises(OSError, match=r'needs 17592186.0 MB, but .* are free'):
        write_checkpoint(dict(state_dict=[terabytes]), tmp_path / 'iter_1.pth')
    assert not list(tmp_path.iterdir())


def test_the_newest_whole_file_is_found_with_and_without_pointer(tmp_path, capsys):
    MMLogger._instance_dict.clear()  # those of former tests write elsewhere
    make_checkpoints(tmp_path, 8, 9, 10, 12)
    assert find_checkpoint(tmp_path).name == 'iter_12.pth'
    whole = (tmp_path / 'iter_12.pth').read_bytes()
    (tmp_path / 'iter_12.pth').write_bytes(whole[:-300])
    assert find_checkpoint(tmp_path).name == 'iter_10.pth'
    said = capsys.readouterr().out
    assert f'broken: {tmp_path}/iter_12.pth' in said
    assert f'Going on from {tmp_path}/iter_10.pth' in said
    (tmp_path / 'iter_12.pth').unlink()
    assert find_checkpoint(tmp_path).name == 'iter_10.pth'
    (tmp_path / 'last_checkpoint').unlink()
    assert find_checkpoint(tmp_path).name == 'iter_10.pth'


def test_the_pointer_decides_and_survives_a_move(tmp_path):
    """Going on from an earlier file, its successors are not the newest any more."""
    (tmp_path / 'x').mkdir()
    make_checkpoints(tmp_path / 'x', 2, 4)
    point_at(tmp_path / 'x' / 'iter_2.pth')
    assert find_checkpoint(tmp_path / 'x').name == 'iter_2.pth'
    shutil.move(tmp_path / 'x', tmp_path / 'y')
    assert find_checkpoint(tmp_path / 'y') == tmp_path / 'y' / 'iter_2.pth'
    (tmp_path / 'y' / 'last_checkpoint').write_bytes(b'\xff\x00')
    assert find_checkpoint(tmp_path / 'y').name == 'iter_4.pth'


def test_what_is_no_file_is_no_checkpoint(tmp_path):
    make_checkpoints(tmp_path, 2)
    (tmp_path / 'iter_4.pth').symlink_to(tmp_path / 'gone')
    (tmp_path / 'iter_6.pth').mkdir()
    (tmp_path / 'last_checkpoint').unlink()
    assert find_checkpoint(tmp_path).name == 'iter_2.pth'


def test_nothing_to_find_is_no_error_but_only_damage_is(tmp_path):
    assert find_checkpoint(tmp_path) is None
    assert find_checkpoint(tmp_path / 'none') is None
    (tmp_path / 'iter_1.pth').write_bytes(b'PK')
    with pytest.raises(ValueError, match=r'No checkpoint in .* can be read'):
        find_checkpoint(tmp_path)


def test_no_flipped_bit_goes_unnoticed(tmp_path):
    """Either the file is refused, or what is read is the same."""
    path = tmp_path / 'iter_1.pth'
    state = dict(state_dict=nn.Linear(9, 9).state_dict(), meta=dict(iter=1))
    write_checkpoint(state, path)
    whole, rng, refused = path.read_bytes(), random.Random(0), 0
    expected = read_checkpoint(path)
    for _ in range(150):
        place = rng.randrange(len(whole))
        flipped = bytes([whole[place] ^ 1 << rng.randrange(8)])
        path.write_bytes(whole[:place] + flipped + whole[place + 1 :])
        try:
            found = read_checkpoint(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert_same(dict(found), dict(expected))
    assert refused > 50, 'the rest hit the filling between the tensors'


def test_old_files_go_only_after_the_new_one_is_there(make_runner, tmp_path):
    make_runner(
        default_hooks__checkpoint__interval=1,
        default_hooks__checkpoint__max_keep_ckpts=1,
    ).train()
    run = tmp_path / 'run'
    assert [path.name for path in run.glob('*.pth')] == ['iter_4.pth']
    assert (run / 'last_checkpoint').read_text() == str(run / 'iter_4.pth')


def test_a_clock_set_back_costs_no_checkpoint(make_runner, tmp_path):
    """What was just written is kept, however old its time looks."""
    run = tmp_path / 'run'
    run.mkdir()
    make_checkpoints(run, 2)
    os.utime(run / 'iter_2.pth', (2**33, 2**33))
    make_runner(default_hooks__checkpoint__max_keep_ckpts=1).train()
    assert (run / 'iter_4.pth').is_file()


def test_a_full_disk_stops_nothing_but_is_an_error_at_the_end(
    make_runner, tmp_path, small_files
):
    runner = make_runner(default_hooks__checkpoint__interval=1)
    hook = next(h for h in runner.hooks if type(h).__name__ == 'AtomicCheckpointHook')
    save, states = hook.save, []

    def save_with_less_and_less_space(runner, iteration: int) -> None:
        if iteration > 2:
            small_files(400000)
        save(runner, iteration)
        states.append(iteration)

    hook.save = save_with_less_and_less_space
    with pytest.raises(OSError, match=r'iter_4\.pth.* good one is .*iter_2\.pth'):
        runner.train()
    assert states == [1, 2, 3, 4], 'training went on'
    run = tmp_path / 'run'
    assert {path.name for path in run.glob('*.pth')} == {'iter_1.pth', 'iter_2.pth'}
    assert not list(run.glob('.*.part*'))
    assert find_checkpoint(run).name == 'iter_2.pth'


def test_a_disk_without_space_for_the_pointer_stops_nothing(
    make_runner, tmp_path, monkeypatch
):
    """Which is the smallest file, and the last."""

    def point_once(path) -> None:
        if path.name == 'iter_4.pth':
            raise OSError(28, 'No space left on device')
        point_at(path)

    monkeypatch.setattr('mmadm.engine.hooks.checkpoint.point_at', point_once)
    runner = make_runner(default_hooks__checkpoint__interval=2, train_cfg__max_iters=5)
    runner.train()
    assert find_checkpoint(tmp_path / 'run').name == 'iter_5.pth'


def test_leftovers_of_a_killed_save_are_removed(make_runner, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / '.iter_1.part0.pth').write_bytes(b'half')
    make_runner().train()
    assert not list((tmp_path / 'run').glob('.*.part*'))


def test_the_best_weights_are_kept_and_a_wrong_score_is_named(make_runner, tmp_path):
    validated = dict(
        train_cfg__val_interval=1,
        default_hooks__checkpoint__rule='less',
        default_hooks__checkpoint__interval=4,
    )
    score = dict(default_hooks__checkpoint__save_best='psnr_rgb')
    runner = make_runner(**validated, **score)
    runner.train()
    history, _ = runner.message_hub.get_scalar('val/psnr_rgb').data
    (best,) = (tmp_path / 'run').glob('best_*.pth')
    assert best.name == f'best_psnr_rgb_iter_{history.argmin() + 1}.pth'
    assert read_checkpoint(best).keys() == {'meta', 'state_dict'}

    wrong = dict(default_hooks__checkpoint__save_best='pnsr')
    with pytest.raises(ValueError, match=r"'pnsr'.*psnr_rgb"):
        make_runner('wrong', **validated, **wrong).train()
    assert find_checkpoint(tmp_path / 'wrong').name == 'iter_1.pth', 'nothing is lost'


def test_another_score_has_no_best_yet(make_runner, tmp_path):
    """A run that is resumed with another save_best compares it with itself only."""
    kept = dict(train_cfg__val_interval=2)
    kept['default_hooks__checkpoint__rule'] = 'less'
    kept['default_hooks__checkpoint__save_best'] = 'ssim_rgb'
    make_runner(**kept, train_cfg__max_iters=2).train()
    kept['default_hooks__checkpoint__save_best'] = 'psnr_rgb'
    path = str(tmp_path / 'run' / 'iter_2.pth')
    make_runner(**kept, resume=True, load_from=path).train()
    names = {path.name.split('_iter')[0] for path in tmp_path.glob('run/best_*.pth')}
    assert names == {'best_ssim_rgb', 'best_psnr_rgb'}


def test_which_score_is_better_must_be_given(make_runner):
    with pytest.raises(ValueError, match="rule='greater' or rule='less'"):
        make_runner(default_hooks__checkpoint__save_best='psnr_rgb').train()


def test_weights_alone_are_no_state_to_go_on_from(toy_config, tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(nn.Linear(2, 2).state_dict(), path)
    cfg = load_config(str(toy_config))
    with pytest.raises(ValueError, match='no meta, message_hub, optimizer'):
        set_resume(cfg, str(path))
