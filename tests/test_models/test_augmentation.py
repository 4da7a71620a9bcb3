"""The augmentation matches its labels, and each image has its own seed."""

import math

import pytest
import torch

from mmadm.models import LabelledAugmentation


@pytest.fixture
def spot():
    """A smooth spot at (3, 1) from the centre, and where the spot of an image is."""
    y, x = torch.meshgrid(
        torch.arange(32.0) - 15.5, torch.arange(40.0) - 19.5, indexing='ij'
    )
    image = torch.exp(-((x - 3) ** 2 + (y - 1) ** 2) / 8)[None, None]

    def place(image):
        weight = (image - image.max() / 2).relu()
        return torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum()

    return image, place


def label_of(**kwargs) -> torch.Tensor:
    """Which labels occur at all, over many seeds."""
    augment = LabelledAugmentation(**kwargs)
    _, labels = augment(torch.zeros(200, 1, 16, 16), range(200))
    return labels


def test_enlarging_and_reducing_gives_back_the_image():
    augment, images = LabelledAugmentation(), torch.rand(2, 3, 40, 36)
    again = augment._halve(augment._double(images))[..., 6:-6, 6:-6]
    torch.testing.assert_close(again, images[..., 6:-6, 6:-6])


def test_a_shift_moves_the_spot(spot):
    image, place = spot
    shift = torch.tensor([[0.1, -0.125]])
    moved = LabelledAugmentation()._warp(image, torch.eye(2)[None], shift)
    expected = torch.tensor([3 + 0.1 * 40, 1 - 0.125 * 32])
    torch.testing.assert_close(place(moved), expected, atol=2e-2, rtol=0)


def test_a_matrix_says_which_place_of_the_image_is_shown(spot):
    image, place = spot
    to_input = torch.tensor([[[0.6, 0.2], [-0.3, 0.9]]])
    moved = LabelledAugmentation()._warp(image, to_input, torch.zeros(1, 2))
    expected = torch.linalg.solve(to_input[0], torch.tensor([3.0, 1.0]))
    torch.testing.assert_close(place(moved), expected, atol=0.05, rtol=0)


def test_a_right_angle_is_a_rotation_of_the_pixels():
    image = torch.rand(1, 3, 24, 24)
    angle = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]])
    turned = LabelledAugmentation()._warp(image, angle, torch.zeros(1, 2))
    smooth = torch.nn.functional.avg_pool2d
    expected = smooth(image.rot90(1, (2, 3)), 6)
    torch.testing.assert_close(smooth(turned, 6), expected, atol=0.05, rtol=0)


def test_labels_are_the_history_of_the_image(spot):
    """The inverse of what the labels describe moves the spot back."""
    image, place = spot
    for seed in range(30):
        augment = LabelledAugmentation(
            1.0, 0.1, 0.1, 0.03
        )  # its mirror images stay outside
        moved, (label,) = augment(image, [seed])
        x_flip, y_flip, scale, cos, sin, *rest = label
        stretch_x, stretch_y, shift_x, shift_y = rest
        stretch = torch.hypot(stretch_x, stretch_y)
        direction = torch.atan2(stretch_y, stretch_x) / 2

        def turn(angle):
            c, s = angle.cos(), angle.sin()
            return torch.stack([torch.stack([c, -s]), torch.stack([s, c])])

        start = place(image) * torch.stack([1 - 2 * x_flip, 1 - 2 * y_flip])
        angle = torch.atan2(sin, cos + 1)
        along = torch.stack([stretch, -stretch]) * 0.1
        to_output = (
            turn(-direction)
            @ torch.diag(along.exp2())
            @ turn(direction)
            @ turn(-angle)
            * (0.1 * scale).exp2()
        )
        shift = 0.03 * torch.stack([shift_x * 40, shift_y * 32])
        expected = to_output @ start + shift
        torch.testing.assert_close(place(moved), expected, atol=0.2, rtol=0)


def test_an_image_depends_on_its_own_seed_only():
    augment, images = LabelledAugmentation(0.5), torch.rand(3, 3, 16, 16)
    together, labels = augment(images, [4, 5, 6])
    for i, seed in enumerate([4, 5, 6]):
        alone, label = augment(images[i : i + 1], [seed])
        torch.testing.assert_close(together[i : i + 1], alone)
        assert torch.equal(labels[i : i + 1], label)


def test_without_geometry_only_the_mirror_is_left():
    augment, images = LabelledAugmentation(0.0), torch.rand(8, 3, 16, 16)
    augmented, labels = augment(images, range(8))
    assert 0 < labels[:, 0].sum() < 8
    assert not labels[:, 1:].any()
    for image, changed, flip in zip(images, augmented, labels[:, 0]):
        assert torch.equal(changed, image.flip(-1) if flip else image)


def test_each_change_has_the_given_probability():
    happens = label_of(probability=0.3) != 0
    expected = torch.tensor([0.5, *[0.3] * 8])
    assert ((happens.float().mean(0) - expected).abs() < 0.12).all()


def test_standardised_labels_have_variance_one():
    labels = label_of(probability=1.0)
    stretch = labels[:, 5:7].square().sum(1).mean()
    assert abs(labels[:, 2].var() - 1) < 0.3
    assert abs(stretch - 1) < 0.3
    assert (abs(labels[:, 7:].var(0) - 1) < 0.3).all()
    angle = torch.atan2(labels[:, 4], labels[:, 3] + 1)
    assert angle.min() < -0.9 * math.pi and angle.max() > 0.9 * math.pi


def test_a_wrong_probability_is_refused():
    with pytest.raises(ValueError, match=r'probability=1\.5'):
        LabelledAugmentation(1.5)
