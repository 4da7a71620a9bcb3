"""The file of scores that tools/test.py writes."""

import json
import math

import pytest

from mmadm.apis import write_scores


def refuse(name: str) -> None:
    raise AssertionError(f'{name} is not JSON')


def test_non_finite_scores_become_null(tmp_path):
    path = tmp_path / 'deep' / 'scores.json'
    write_scores({5: dict(psnr=math.inf, ssim=1.0, fid=math.nan, n=3)}, path)
    scores = json.loads(path.read_text(), parse_constant=refuse)
    assert scores == {'5': dict(psnr=None, ssim=1.0, fid=None, n=3)}


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / 'scores.json'
    write_scores({5: dict(psnr=20.0)}, path)
    with pytest.raises(TypeError):
        write_scores({5: dict(psnr=30.0), 10: dict(psnr=b'not a number')}, path)
    assert json.loads(path.read_text()) == {'5': dict(psnr=20.0)}
    assert list(tmp_path.iterdir()) == [path]
