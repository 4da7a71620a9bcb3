"""Atomic writing, with the permissions of the umask."""

import os

import pytest

from mmadm.utils.files import atomic_write


@pytest.fixture
def mask():
    former = os.umask(0o027)
    yield
    assert os.umask(former) == 0o027, 'it was never touched'


def test_the_users_mask_decides_whatever_the_writer_wants(tmp_path, mask):
    with atomic_write(tmp_path / 'new' / 'file.txt') as part:
        part.write_text('content')
        part.chmod(0o600)
    assert (tmp_path / 'new' / 'file.txt').stat().st_mode & 0o777 == 0o640


def test_the_mask_is_not_set_in_order_to_read_it(tmp_path, monkeypatch):
    """It belongs to all threads."""
    monkeypatch.setattr(os, 'umask', None)
    with atomic_write(tmp_path / 'file.txt') as part:
        part.write_text('content')
    assert (tmp_path / 'file.txt').read_text() == 'content'


def test_a_failed_block_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / 'file.txt'
    path.write_text('old')
    with pytest.raises(OSError, match='full'), atomic_write(path) as part:
        part.write_text('half of the n')
        raise OSError('full')
    assert [p.name for p in tmp_path.iterdir()] == ['file.txt']
    assert path.read_text() == 'old'


def test_what_a_killed_writer_left_says_nothing_about_rights(tmp_path, mask):
    left = tmp_path / '.file.part0.txt'
    left.write_text('half')
    left.chmod(0o600)
    with atomic_write(tmp_path / 'file.txt') as part:
        assert part == left
        part.write_text('whole')
    assert (tmp_path / 'file.txt').stat().st_mode & 0o777 == 0o640
