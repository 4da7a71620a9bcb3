"""Figure of distortion against perception."""

import pytest
from PIL import Image

from mmadm.visualization.tradeoff import plot_tradeoff


def test_runs_without_both_scores_are_left_out(tmp_path):
    runs = dict(adm=[(5, 30.0, 0.2), (1, 31.0, 0.3)], mean=[])
    plot_tradeoff(runs, ('PSNR', 'LPIPS'), tmp_path / 'deep' / 'a.png')
    with Image.open(tmp_path / 'deep' / 'a.png') as image:
        assert image.size == (550, 400)
    with pytest.raises(ValueError, match='No run has both scores, PSNR and LPIPS'):
        plot_tradeoff(dict(mean=[]), ('PSNR', 'LPIPS'), tmp_path / 'b.png')
