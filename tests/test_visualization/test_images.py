"""Layout of figures, tested by their pixels."""

import numpy as np
import torch
from PIL import Image

from mmadm.engine import ShowDirHook
from mmadm.structures import DiffusionSample
from mmadm.visualization import DiffusionVisualizer, columns
from mmadm.visualization.images import (
    captioned,
    column,
    detail,
    fitted,
    grid,
    legible,
    overlay,
    row,
    to_rgb_array,
)


def solid(height: int, width: int, value: int) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def make_sample(scale: int = 2) -> DiffusionSample:
    sample = DiffusionSample(metainfo=dict(target_shape=(8, 12), sample_idx=0))
    sample.condition = torch.full((3, 8 // scale, 12 // scale), 10, dtype=torch.uint8)
    sample.pred_img = torch.full((3, 8, 12), 20, dtype=torch.uint8)
    sample.gt_img = torch.full((3, 8, 12), 30, dtype=torch.uint8)
    return sample


def test_columns_come_in_order_and_in_one_size():
    shown = columns(make_sample())
    assert list(shown) == ['condition', 'bicubic', 'prediction', 'ground truth']
    assert {image.shape for image in shown.values()} == {(8, 12, 3)}
    assert list(columns(make_sample(scale=1))) == [
        'condition',
        'prediction',
        'ground truth',
    ]


def test_a_map_is_shown_at_the_size_of_its_ground_truth_and_over_the_image():
    """Saliency: the network works at a smaller size than that of the mask."""
    sample = make_sample(scale=1)
    sample.pred_img = torch.zeros(1, 8, 12, dtype=torch.uint8)
    sample.pred_img[:, :, 6:] = 255
    sample.gt_img = torch.full((1, 32, 48), 255, dtype=torch.uint8)
    shown = columns(sample)
    assert list(shown) == ['condition', 'prediction', 'overlay', 'ground truth']
    assert {image.shape for image in shown.values()} == {(32, 48, 3)}
    assert (shown['prediction'][:, :20] == 0).all()
    assert (shown['prediction'][:, 28:] == 255).all()
    assert (shown['overlay'][:, :20] == shown['condition'][:, :20]).all()
    red, green, blue = shown['overlay'][0, -1].tolist()
    assert red > 150 and max(green, blue) < 40


def test_holes_are_striped_and_the_rest_is_seen():
    sample = make_sample(scale=1)
    sample.mask = torch.zeros(1, 8, 12, dtype=torch.uint8)
    sample.mask[:, :, :6] = 1
    condition = columns(sample)['condition']
    assert len(np.unique(condition[:, :6])) == 2 and (condition[:, :6] > 10).all()
    assert (condition[:, 6:] == 10).all()
    del sample.pred_img
    assert (columns(sample)['condition'] == 10).all(), 'as the model sees it'


def test_images_fit_in_whole_and_grids_are_square():
    assert fitted(solid(100, 50, 3), 20).shape == (20, 10, 3)
    assert fitted(solid(10, 5, 3), 20).shape == (10, 5, 3)
    sheet = grid([solid(4, 4, i) for i in range(7)])
    assert sheet.shape == (3 * 4 + 2 * 4, 3 * 4 + 2 * 4, 3)
    assert (sheet[8:12, 16:20] == 5).all() and (sheet[16:, :4] == 6).all()
    assert (sheet[16:, 8:] == 255).all(), 'nothing is left'


def test_captions_of_small_images_differ():
    lines = [captioned(solid(32, 32, 0), f'ADM {n}')[:-32] for n in (2, 5)]
    assert (lines[0] != lines[1]).any()


def test_unconditional_samples_become_files_and_one_grid(tmp_path):
    hook = ShowDirHook(str(tmp_path), grid_size=4)
    hook.run = 'ADM 5'
    for index in range(6):
        meta = dict(target_shape=(8, 8), sample_idx=index)
        sample = DiffusionSample(metainfo=meta)
        sample.pred_img = torch.full((3, 8, 8), index, dtype=torch.uint8)
        hook.after_test_iter(None, 0, outputs=[sample])
    hook.write_sheet()
    folder = tmp_path / 'ADM 5'
    assert (np.array(Image.open(folder / '00003_sample.png')) == 3).all()
    assert Image.open(folder / '00003_sample.png').size == (8, 8)
    sheet = np.array(Image.open(folder / 'grid.png'))
    assert sheet.shape == (260, 260, 3) and (sheet[132:, 132:] == 3).all()
    compared = np.array(Image.open(tmp_path / 'comparison.png'))
    assert (compared[-260:] == sheet).all() and (compared[:-260] < 255).any()


def test_small_images_are_enlarged_by_a_whole_number():
    image = np.arange(30 * 20 * 3, dtype=np.uint8).reshape(30, 20, 3)
    large = legible(image)
    assert large.shape == (120, 80, 3)
    assert (large[::4, ::4] == image).all() and (large[3::4, 3::4] == image).all()
    assert legible(solid(100, 65, 0)).shape == (100, 65, 3)


def test_faint_edges_are_visible_in_an_overlay():
    image, edges = solid(8, 8, 128), solid(8, 8, 0)
    edges[4] = 20  # a typical value at the best threshold of an edge model
    drawn = overlay(image, edges).astype(int)
    assert (drawn[:4] == 128).all()
    assert drawn[4, 0, 0] - drawn[4, 0, 1] > 25
    assert (overlay(image, solid(8, 8, 8)) == 128).all(), 'noise is not drawn'


def test_runs_of_an_unconditional_model_are_compared_side_by_side(tmp_path):
    hook = ShowDirHook(str(tmp_path))
    for run, value in (('ADM 5', 50), ('ADM 10', 90)):
        hook.run = run
        sample = DiffusionSample(metainfo=dict(target_shape=(128, 128), sample_idx=0))
        sample.pred_img = torch.full((3, 128, 128), value, dtype=torch.uint8)
        hook.after_test_iter(None, 0, outputs=[sample])
    compared = np.array(Image.open(hook.write_sheet()))
    assert compared.shape == (128 + 22, 2 * 128 + 4, 3)
    assert (compared[22:, :128] == 50).all() and (compared[22:, -128:] == 90).all()


def test_a_row_and_a_column_keep_every_pixel():
    small, large = solid(4, 5, 1), solid(6, 3, 2)
    wide = row([small, large])
    assert wide.shape == (6, 5 + 4 + 3, 3)
    assert (wide[:4, :5] == 1).all() and (wide[:, 9:] == 2).all()
    assert (wide[4:, :5] == 255).all(), 'the rest is white'
    tall = column([small, large])
    assert tall.shape == (4 + 4 + 6, 5, 3)
    assert (tall[8:, :3] == 2).all()


def test_a_caption_stands_above_and_changes_nothing_below():
    image = solid(5, 60, 7)
    out = captioned(image, 'ground truth')
    assert (out[-5:] == image).all()
    assert (out[:-5] < 255).any(), 'something is written'


def test_maps_are_shown_grey_and_details_are_the_middle():
    map_ = torch.arange(12, dtype=torch.uint8).view(1, 3, 4)
    image = to_rgb_array(map_)
    assert image.shape == (3, 4, 3) and (image[..., 0] == image[..., 2]).all()
    large = np.arange(100 * 100 * 3).reshape(100, 100, 3)
    assert (detail(large, 10) == large[45:55, 45:55]).all()
    assert detail(large, 200) is not None and detail(large, 200).shape == large.shape


def test_the_visualizer_writes_a_file(tmp_path):
    out = tmp_path / 'deep' / 'sample.png'
    visualizer = DiffusionVisualizer(name='images')
    visualizer.add_datasample('sample', None, make_sample(), out_file=str(out))
    assert Image.open(out).size == (4 * 120 + 3 * 4, 80 + 22)


def test_each_validation_logs_a_grid_of_its_samples(make_runner, tmp_path):
    runner = make_runner('run', train_cfg__val_interval=2, train_cfg__max_iters=4)
    runner.train()
    grids = sorted((tmp_path / 'run').glob('*/vis_data/vis_image/samples_*.png'))
    assert [grid.stem for grid in grids] == ['samples_2', 'samples_4']
    # condition, bicubic, prediction, ground truth; four rows.
    assert Image.open(grids[0]).size == (4 * 96 + 3 * 4, 4 * (80 + 22) + 3 * 4)
