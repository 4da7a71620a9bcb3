"""Windows, and how their outputs are blended to one image."""

import math

import pytest
import torch

from mmadm.utils.tiling import Window, blend, windows

SIZES = [(1, 1), (7, 40), (32, 32), (33, 45), (64, 50), (481, 321)]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize(('crop', 'stride'), [(32, 16), (32, 32), (20, 13), (5, 1)])
def test_windows_cover_the_image_and_stay_inside(size, crop, stride):
    covered = torch.zeros(size)
    for window in windows(size, crop, stride):
        part = window.cut(covered)
        assert part.shape == (window.height, window.width)
        assert part.shape == tuple(min(crop, side) for side in size)
        part += 1
    assert covered.min() >= 1


@pytest.mark.parametrize(
    ('size', 'crop', 'stride', 'rows', 'columns'),
    [
        # DiffusionEdge on BSDS500: 320, 240. The authors' SR: 128, 64.
        ((481, 321), 320, 240, [0, 161], [0, 1]),
        ((321, 481), 320, 240, [0, 1], [0, 161]),
        ((320, 800), 320, 240, [0], [0, 240, 480]),
        ((512, 192), 128, 64, [0, 64, 128, 192, 256, 320, 384], [0, 64]),
        ((100, 129), 128, 64, [0], [0, 1]),
    ],
)
def test_windows_are_where_the_authors_rule_puts_them(
    size, crop, stride, rows, columns
):
    places = [(window.top, window.left) for window in windows(size, crop, stride)]
    assert places == [(row, column) for row in rows for column in columns]
    for starts, side in ((rows, size[0]), (columns, size[1])):
        assert len(starts) == math.ceil(max(side - crop, 0) / stride) + 1


@pytest.mark.parametrize('profile', ['linear', 'mean'])
@pytest.mark.parametrize('size', SIZES)
def test_windows_of_an_image_blend_to_the_image(profile, size):
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    pieces = windows(size, 20, 13)
    again = blend((piece.cut(image) for piece in pieces), pieces, size, profile)
    torch.testing.assert_close(again, image)


def test_a_mean_counts_all_windows_alike():
    pieces = [Window(0, 0, 1, 4), Window(0, 2, 1, 4)]
    outputs = [torch.full((1, 4), value) for value in (1.0, 3.0)]
    expected = torch.tensor([[1.0, 1, 2, 2, 3, 3]])
    assert torch.equal(blend(outputs, pieces, (1, 6), 'mean'), expected)


def test_a_linear_blend_goes_over_from_one_window_to_the_next():
    pieces = [Window(0, 0, 1, 4), Window(0, 2, 1, 4)]
    outputs = [torch.full((1, 4), value) for value in (1.0, 3.0)]
    # Weights 0.5, 1.5, 1.5, 0.5 from border to border: 3:1, then 1:3.
    expected = torch.tensor([[1.0, 1, 1.5, 2.5, 3, 3]])
    torch.testing.assert_close(blend(outputs, pieces, (1, 6)), expected)


def test_a_linear_blend_has_smaller_seams_than_a_mean():
    """Two windows that disagree by 1: the largest step between neighbours."""
    pieces = windows((8, 48), 32, 16)
    outputs = [torch.full((8, 32), value) for value in (0.0, 1.0)]
    steps = {
        profile: blend(outputs, pieces, (8, 48), profile).diff(dim=-1).abs().max()
        for profile in ('linear', 'mean')
    }
    assert steps['mean'] == 0.5
    assert steps['linear'] <= 1 / 16


def test_outputs_may_be_larger_than_their_windows():
    latent = torch.rand(1, 2, 9, 13, dtype=torch.float64)
    pieces = windows((9, 13), 4, 3)

    def enlarge(x):
        return x.repeat_interleave(8, -1).repeat_interleave(8, -2)

    outputs = (enlarge(piece.cut(latent)) for piece in pieces)
    image = blend(outputs, [piece.scaled(8) for piece in pieces], (72, 104))
    torch.testing.assert_close(image, enlarge(latent))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('profile', ['linear', 'mean'])
def test_windows_of_half_precision_are_blended_in_single_precision(profile, dtype):
    """A window of 512 has weights up to 256 x 256, beyond the range of float16."""
    image = (torch.rand(1, 700, 600) * 2 - 1).to(dtype)
    pieces = windows((700, 600), 512, 384)
    outputs = (piece.cut(image) for piece in pieces)
    again = blend(outputs, pieces, (700, 600), profile)
    assert again.dtype == torch.float32
    torch.testing.assert_close(again, image.float())


@pytest.mark.parametrize(('crop', 'stride'), [(8, 9), (8, 0), (0, 0), (8, -1)])
def test_windows_with_gaps_are_refused(crop, stride):
    with pytest.raises(ValueError, match=rf'crop={crop}, stride={stride}.*between'):
        windows((20, 20), crop, stride)


def test_outputs_and_windows_must_be_equally_many():
    pieces = windows((8, 8), 4, 4)
    with pytest.raises(ValueError, match='longer'):
        blend([torch.zeros(4, 4)], pieces, (8, 8))
