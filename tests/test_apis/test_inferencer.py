"""Predictions of the inferencer equal those of the test, for each task."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from PIL import Image

from mmadm.apis import ADMInferencer, SamplingStoppedError, load_config, memory
from mmadm.apis.calibration import calibrate
from mmadm.checkpoints import publish_model
from mmadm.registry import DATASETS
from mmadm.utils import enlarge
from tests.conftest import draw_photo
from tests.test_configs.test_tasks import narrow, task_of
from tests.test_tools.test_cli import call

from .conftest import evaluations_of, save_images, save_weights

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'adm'


def to_array(image: torch.Tensor) -> np.ndarray:
    """(C, H, W) to (H, W, 3) or (H, W)."""
    array = image.numpy().transpose(1, 2, 0)
    return array[..., 0] if array.shape[2] == 1 else array


def user_inputs(dataset, samples, folder: Path) -> dict:
    """The inputs that a user has: the test samples without their ground truth."""
    if 'condition' not in samples[0]:
        return dict(num_samples=len(samples))
    if 'mask' in samples[0]:
        names = [Path(sample.img_path).stem for sample in samples]
        masks = [to_array(sample.mask) * 255 for sample in samples]
        save_images(folder, dict(zip(names, masks)))
        return dict(inputs=Path(dataset.data_prefix['img_path']), masks=folder)
    return dict(inputs=[sample.img_path for sample in samples])


@pytest.mark.parametrize(
    'name',
    [
        'adm_uncond_cifar10_toy',
        'adm_inpaint_toy',
        'adm_saliency_toy',
        'adm_edge_toy',
    ],
)
def test_predictions_equal_those_of_the_test(name, tmp_path, monkeypatch):
    (tmp_path / 'data').mkdir()
    task_of(name)[0](tmp_path / 'data', None)
    monkeypatch.chdir(tmp_path)
    cfg = load_config(str(CONFIGS / f'{name}.py'))
    narrow(cfg)
    weights = save_weights(cfg, tmp_path / 'toy.pth')
    inferencer = ADMInferencer(cfg, weights, 'cpu', show_progress=False)

    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    data = [dataset[i] for i in range(len(dataset))]
    samples = [inferencer.model.test_step(pseudo_collate([item]))[0] for item in data]
    # From here on the masks of the benchmark are not needed.
    request = user_inputs(dataset, samples, tmp_path / 'masks')
    if 'mask' in samples[0]:
        (tmp_path / 'data' / 'celeba_hq' / 'masks').rename(tmp_path / 'elsewhere')

    predictions = inferencer(**request, batch_size=2)['predictions']
    assert len(predictions) == len(samples)
    for prediction, sample in zip(predictions, samples):
        target = sample.get('gt_img', sample.pred_img)
        expected = to_array(enlarge(sample.pred_img, target.shape[-2:]))
        assert prediction.shape == expected.shape
        # Batch sizes differ by rounding.
        assert np.abs(prediction.astype(int) - expected).max() <= 1
        assert prediction.std() > 1


def test_files_of_a_folder_equal_those_of_the_tool_up_to_rounding(toy_config, tmp_path):
    cfg = load_config(str(toy_config))
    weights = save_weights(cfg, tmp_path / 'toy.pth')
    options = ('--out-item', 'pred', '--work-dir', tmp_path / 'w', '--num-steps', 2)
    call('test.py', toy_config, weights, *options, '--out', tmp_path / 'tool')

    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    small = {Path(s.img_path).stem: to_array(s.condition) for s in samples}
    folder = save_images(tmp_path / 'small', small)
    inferencer = ADMInferencer(str(toy_config), weights, 'cpu')
    results = inferencer(folder, num_steps=2, out_dir=tmp_path / 'out')
    for path, prediction in zip(
        sorted((tmp_path / 'tool').iterdir()), results['predictions']
    ):
        written = tmp_path / 'out' / 'pred' / path.name
        by_tool = np.asarray(Image.open(path)).astype(int)
        assert np.abs(prediction - by_tool).max() <= 1
        assert (prediction == by_tool).mean() > 0.99
        assert np.array_equal(np.asarray(Image.open(written)), prediction)
    names = sorted(path.name for path in (tmp_path / 'out' / 'vis').iterdir())
    assert names == [f'{name}.png' for name in sorted(small)]


def test_a_prediction_depends_on_seed_and_index_alone(toy):
    images = [draw_photo(0, 8, 12)] * 3
    first = toy(images, seed=5)['predictions']
    assert not np.array_equal(first[0], first[1])
    for batch_size in (1, 2, 3):
        again = toy(images, seed=5, batch_size=batch_size)['predictions']
        assert np.abs(np.subtract(first, again, dtype=int)).max() <= 1
    other = toy(images[0], seed=6)['predictions'][0]
    assert not np.array_equal(other, first[0])


@pytest.mark.parametrize(
    'options, steps',
    [(dict(), 5), (dict(num_steps=3), 3), (dict(num_steps=1, trajectory=True), 1)],
)
def test_a_step_is_one_network_evaluation(toy, options, steps):
    evaluations = []
    hook = toy.model.head.register_forward_hook(lambda *_: evaluations.append(1))
    toy(draw_photo(0, 8, 8), **options)
    hook.remove()
    assert len(evaluations) == steps


def test_options_apply_to_one_call_only(toy):
    image = draw_photo(0, 8, 8)
    plain = toy(image)['predictions'][0]
    other = toy(image, sampler='deterministic', num_steps=2, seed=1)['predictions'][0]
    assert not np.array_equal(plain, other)
    with pytest.raises(ValueError, match='Unknown sampler'):
        toy(image, num_steps=2, sampler='ddim')
    assert np.array_equal(toy(image)['predictions'][0], plain)


def test_calls_in_two_threads_have_their_own_options(toy):
    """Each waits for the other at every step, as two visitors of a web page."""
    image, turn = draw_photo(0, 8, 8), threading.Barrier(2, timeout=60)
    options = [
        dict(num_steps=4, seed=1),
        dict(num_steps=4, seed=2, sampler='deterministic', mode='slide', window=64),
    ]
    alone = [toy(image, **option)['predictions'][0] for option in options]
    stopped = [[], []]

    def run(i: int) -> np.ndarray:
        def wait(*_) -> None:
            turn.wait()
            stopped[i].append(1)

        return toy(image, **options[i], progress=wait)['predictions'][0]

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(run, range(2)))
    assert stopped == [[1] * 4] * 2
    assert np.array_equal(together, alone)


def test_a_trajectory_ends_with_the_prediction(toy):
    images = [draw_photo(i, 8, 8) for i in range(2)]
    drawn = toy(images, num_steps=3, trajectory=True, batch_size=2)
    plain = toy(images, num_steps=3)
    assert np.array_equal(drawn['predictions'], plain['predictions'])
    # Three columns of 32 pixels, enlarged 4 times; two rows with a line of text each.
    assert [x.shape for x in drawn['trajectory']] == [(304, 392, 3)] * 2
    for trajectory, prediction in zip(drawn['trajectory'], plain['predictions']):
        assert np.array_equal(trajectory[-128::4, -128::4], prediction)
    assert 'trajectory' not in plain


def test_a_mean_of_samples_is_between_them_and_their_first_is_the_single_one(toy):
    image = draw_photo(0, 8, 8)
    single = toy(image, num_samples=1)
    assert np.array_equal(single['predictions'], toy(image)['predictions'])
    assert 'std' not in single
    drawn = []
    to_uint8 = toy.model.data_preprocessor.to_uint8
    try:
        toy.model.data_preprocessor.to_uint8 = lambda *args: (
            drawn.append(to_uint8(*args)) or drawn[-1]
        )
        result = toy(image, num_samples=3)
    finally:
        del toy.model.data_preprocessor.to_uint8
    arrays = np.stack([to_array(x) for x in drawn]).astype(float)
    assert len(arrays) == 3 and np.array_equal(arrays[0], single['predictions'][0])
    assert not np.array_equal(arrays[0], arrays[1])
    assert np.abs(result['predictions'][0] - arrays.mean(0)).max() <= 0.5
    std = arrays.std(0, ddof=1).mean(-1)
    assert np.abs(result['std'][0] - std).max() <= 0.5


def test_several_samples_encode_their_condition_once(toy):
    encoded = []
    hook = toy.model.condition_encoder.register_forward_hook(
        lambda *_: encoded.append(1)
    )
    result = toy([draw_photo(0, 8, 8), draw_photo(1, 8, 12)], num_samples=3)
    hook.remove()
    assert len(encoded) == 2
    assert [x.shape for x in result['samples']] == [(3, 32, 32, 3), (3, 32, 48, 3)]


@pytest.mark.parametrize('options', [{}, dict(mode='slide', window=16)], ids=str)
def test_a_callback_sees_each_step_of_each_image(toy, options):
    images, seen, done = [draw_photo(i, 8, 12) for i in range(2)], [], []
    result = toy(
        images,
        num_steps=3,
        num_samples=2,
        batch_size=2,
        callback=lambda *step: seen.append(step),
        progress=lambda *numbers: done.append(numbers),
        **options,
    )
    assert [step for step, *_ in seen] == [0, 1, 2, 0, 1, 2]
    assert [t for _, t, *_ in seen[:3]] == sorted((t for _, t, *_ in seen[:3]))[::-1]
    for i, (draws, prediction) in enumerate(
        zip(result['samples'], result['predictions'])
    ):
        *_, x_t, x0 = seen[3 * i + 2]
        assert x_t.shape == x0.shape == prediction.shape and x0.dtype == np.uint8
        # The last image estimate is the first sample.
        assert np.abs(draws[0].astype(int) - x0).max() <= 1
    # Images are 32 x 48; windows start at 0, 12, 16 and at 0, 12, 24, 32.
    total = 2 * 3 * 2 * (3 * 4 if options else 1)
    assert done == [(i, total) for i in range(1, total + 1)]


def test_windows_are_chosen_where_the_memory_does_not_suffice(toy, monkeypatch, caplog):
    image, sizes = draw_photo(0, 40, 40), []
    hook = toy.model.head.register_forward_pre_hook(
        lambda _, inputs: sizes.append(inputs[0].shape[-1])
    )
    monkeypatch.setattr('mmadm.apis.memory._SURELY_FITS', 150 * 150)
    monkeypatch.setattr('mmadm.apis.sampling.WINDOW', 64)
    needed = memory.bytes_per_pixel(toy.model, torch.zeros(3, 8, 8)) * 160**2
    side = {}
    for free, mode in ((2, None), (1, None), (1, 'whole'), (2, 'slide')):
        monkeypatch.setattr(
            'mmadm.apis.memory.free_memory', lambda _, free=free: free * needed
        )
        sizes.clear()
        toy(image, num_steps=1, mode=mode)
        side[free, mode] = sizes[-1]  # the first ones measure
    hook.remove()
    assert side[2, None] == side[1, 'whole'] > side[1, None] == side[2, 'slide']


def test_the_measured_memory_is_that_of_the_tensors_that_live_together():
    with memory.PeakMemory() as used:
        for _ in range(3):
            a = torch.zeros(100)
            b = a.view(10, 10) + 1
            del a, b
        kept = torch.zeros(50).double()
    assert used.peak == 100 * 4 + 100 * 4
    assert used.live == kept.nbytes


def test_bfloat16_is_close_to_float32(toy, tmp_path):
    torch.save(dict(state_dict=toy.model.state_dict()), tmp_path / 'toy.pth')
    half = ADMInferencer(toy.cfg, tmp_path / 'toy.pth', 'cpu', False, 'bfloat16')
    types = []
    half.model.head.register_forward_hook(lambda *x: types.append(x[2][0].dtype))
    image = draw_photo(0, 8, 12)
    exact, found = (x(image)['predictions'][0].astype(int) for x in (toy, half))
    assert types[0] == torch.bfloat16 and 0 < np.abs(exact - found).mean() < 3
    for dtype in ('float16', torch.float64, 'half'):
        with pytest.raises(ValueError, match=r'Unknown precision.*float32 or bfloat16'):
            ADMInferencer(toy.cfg, tmp_path / 'toy.pth', 'cpu', dtype=dtype)


def test_weights_in_bfloat16_take_half_the_memory_and_change_nothing(toy, tmp_path):
    torch.save(dict(state_dict=toy.model.state_dict()), tmp_path / 'toy.pth')
    half = ADMInferencer(toy.cfg, tmp_path / 'toy.pth', 'cpu', False, 'bfloat16')
    sizes = [sum(x.nbytes for x in m.model.parameters()) for m in (toy, half)]
    assert sizes[1] < 0.55 * sizes[0]
    assert half.settings({})['model'] != toy.settings({})['model']
    image = draw_photo(0, 8, 12)
    found = half(image)['predictions'][0]
    # Autocast converts float32 weights at each call.
    half.model.float().load_state_dict(toy.model.state_dict())
    np.testing.assert_array_equal(half(image)['predictions'][0], found)


def test_samples_are_returned_on_request(toy):
    (sample,) = toy(draw_photo(0, 8, 12), return_datasamples=True)['predictions']
    assert sample.pred_img.shape == (3, 32, 48)
    assert 'gt_img' not in sample and sample.ori_shape == (32, 48)


def test_a_calibration_gives_intervals_for_its_settings(toy, photo_folder, tmp_path):
    data = dict(
        type='ImageDataset',
        data_root=str(photo_folder),
        pipeline=toy.cfg.test_dataloader.dataset.pipeline,
        test_mode=True,
    )
    data = DATASETS.build(data)
    settings = dict(num_samples=3, num_steps=1)
    calibration = calibrate(toy, data, data, 0.8, number=3, **settings)
    # The same images: the coverage is that of the fit.
    assert calibration.images == 3
    assert abs(calibration.checked - 0.8) < 0.01
    calibration.save(tmp_path / 'a.json')

    image = draw_photo(0, 8, 12)
    request = dict(calibration=tmp_path / 'a.json', out_dir=tmp_path / 'out')
    result = toy(image, **request)
    assert len(result['samples'][0]) == 3
    lower, pred, upper = (result[x][0] for x in ('lower', 'predictions', 'upper'))
    assert (lower <= pred).all() and (pred <= upper).all() and (lower < upper).any()
    assert evaluations_of(toy, image, **request, output_type='file') == 0
    with pytest.raises(ValueError, match=r"other settings.*'num_steps': \(2, 1\)"):
        toy(image, **request, num_steps=2)
    calibration.settings['model'] = 'another'
    with pytest.raises(ValueError, match=r"other settings.*'model'"):
        toy(image, calibration=calibration)
    with pytest.raises(ValueError, match='two images, but num_samples=1'):
        calibrate(toy, data, None, 0.8, num_samples=1)


def test_results_may_be_pil_images(toy):
    images = [draw_photo(i, 8, 12) for i in range(2)]
    arrays = toy(images, num_steps=1, num_samples=2)
    pil = toy(images, num_steps=1, num_samples=2, output_type='pil')
    assert pil.keys() == arrays.keys()
    for key in ('predictions', 'visualization', 'samples'):
        assert np.array_equal(pil[key], arrays[key])
    assert pil['std'][0].mode == 'RGB'


def test_a_published_file_is_all_that_is_needed(toy, tmp_path, monkeypatch):
    cfg = toy.cfg
    torch.save(dict(state_dict=toy.model.state_dict()), tmp_path / 'toy.pth')
    path = publish_model(tmp_path / 'toy.pth', tmp_path / 'toy.safetensors', cfg)
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    published = ADMInferencer(path, device='cpu', show_progress=False)
    image = draw_photo(0, 8, 12)
    expected, found = (x(image)['predictions'][0].astype(int) for x in (toy, published))
    # Half precision.
    assert np.abs(expected - found).mean() < 0.5


def test_sampling_stops_between_two_steps(toy):
    evaluations = []
    hook = toy.model.head.register_forward_hook(lambda *_: evaluations.append(1))
    with pytest.raises(SamplingStoppedError):
        toy(
            [draw_photo(0, 8, 8)] * 2,
            num_steps=5,
            should_stop=lambda: len(evaluations) == 7,
        )
    hook.remove()
    assert len(evaluations) == 7
    assert len(toy(draw_photo(0, 8, 8))['predictions']) == 1


def test_unconditional_models_take_no_images(tmp_path):
    cfg = load_config(str(CONFIGS / 'adm_uncond_cifar10_toy.py'))
    narrow(cfg)
    weights = save_weights(cfg, tmp_path / 'toy.pth')
    inferencer = ADMInferencer(cfg, weights, 'cpu', show_progress=False)
    with pytest.raises(ValueError, match=r'is unconditional.*num_samples'):
        inferencer(draw_photo(0, 8, 8))
    inferencer(num_samples=2, out_dir=tmp_path / 'out')
    names = [path.name for path in (tmp_path / 'out' / 'pred').iterdir()]
    assert sorted(names) == ['000000.png', '000001.png']
