"""Exported graphs predict like the model, in each runtime that is installed."""

import json
import pickle
import zipfile
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from mmadm.apis import ADMInferencer, load_config
from mmadm.checkpoints import ModelSource
from mmadm.deployment import export_model, open_graph
from mmadm.deployment.runtimes import check_no_code
from mmadm.models import ResidualEncoder
from mmadm.registry import MODELS
from tests.conftest import draw_photo

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'adm'
#: What writes and what runs ONNX; requirements/optional.txt.
ONNX = all(find_spec(name) for name in ('onnx', 'onnxscript', 'onnxruntime'))
without_onnx = pytest.mark.skipif(not ONNX, reason='onnx, onnxscript or onnxruntime')
without_openvino = pytest.mark.skipif(
    not (ONNX and find_spec('openvino')), reason='openvino is not installed'
)
RUNTIMES = [
    pytest.param('torch'),
    pytest.param('onnxruntime', marks=without_onnx),
    pytest.param('openvino', marks=without_openvino),
]
SUFFIX = dict(torch='.pt2', onnxruntime='.onnx', openvino='.onnx')


def tiny_config() -> Config:
    """Super-resolution with a stochastic sampler, at toy width."""
    cfg = load_config(str(CONFIGS / 'small' / 'adm_sr_small.py'))
    cfg.model.condition_encoder.update(channels=(8,), num_blocks=(1,))
    cfg.model.head.update(
        base_channels=8, channel_mult=(1,), num_blocks=1, condition_channels=(8,)
    )
    cfg.model.test_cfg = dict(num_steps=2, seed=3)
    return cfg


def random_source(cfg: Config) -> ModelSource:
    """A config with random weights that predict more than a constant."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    checkpoint = dict(state_dict=model.state_dict(), meta={})
    return ModelSource(cfg, checkpoint, info=dict(licence='Apache-2.0'))


@pytest.fixture(scope='module')
def source() -> ModelSource:
    return random_source(tiny_config())


@pytest.fixture(scope='module')
def weights(source, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('weights') / 'weights.pth'
    torch.save(source.checkpoint, path)
    return path


@pytest.fixture(scope='module')
def files(source, tmp_path_factory):
    """Runtime -> a graph for any size, exported once."""
    folder = tmp_path_factory.mktemp('exported')

    def export(backend: str) -> Path:
        path = folder / f'model{SUFFIX[backend]}'
        return path if path.exists() else export_model(source, path)

    return export


def predict(model, images, weights=None, backend=None, **options) -> list[np.ndarray]:
    inferencer = ADMInferencer(model, weights, 'cpu', False, backend=backend)
    return inferencer(images, batch_size=2, **options)['predictions']


def check_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Within one grey level everywhere, and 99.9 % of all pixels equal."""
    pairs = zip(found, expected, strict=True)
    differences = [np.abs(image.astype(int) - other) for image, other in pairs]
    assert all(image.std() > 5 for image in expected)
    assert max(difference.max() for difference in differences) <= 1
    everything = np.concatenate([difference.ravel() for difference in differences])
    assert (everything == 0).mean() >= 0.999


# Sizes with odd sides, one of them twice for a batch.
IMAGES = [draw_photo(i, h, w) for i, (h, w) in enumerate([(12, 17), (12, 17), (9, 6)])]


@pytest.mark.parametrize('backend', RUNTIMES)
def test_an_exported_graph_predicts_like_the_model(backend, files, source, weights):
    expected = predict(source.config, IMAGES, weights)
    check_equal(predict(files(backend), IMAGES, backend=backend), expected)
    # The noise of a sample does not depend on its batch, but on its index.
    alone = predict(files(backend), IMAGES[:1], backend=backend)
    check_equal(alone, expected[:1])


def test_a_graph_of_fixed_size_takes_large_images_in_windows(source, weights, tmp_path):
    path = export_model(source, tmp_path / 'window.pt2', window=32)
    small, large = draw_photo(0, 8, 8), draw_photo(1, 8, 20)
    # An image of exactly the window needs neither windows nor padding.
    check_equal(predict(path, small), predict(source.config, small, weights))

    cfg = source.config.copy()
    options = dict(mode='slide_chains', crop=32, stride=24)
    cfg.model = dict(cfg.model, test_cfg=dict(cfg.model.test_cfg, **options))
    check_equal(predict(path, large), predict(cfg, large, weights))
    assert predict(path, draw_photo(2, 5, 7))[0].shape == (20, 28, 3)
    with pytest.raises(ValueError, match='for windows of 32 pixels, but mode=None, w'):
        predict(path, large, window=64)


def test_a_graph_for_any_size_can_be_run_in_windows(files, source, weights):
    large = draw_photo(1, 8, 20)
    cfg = source.config.copy()
    options = dict(mode='slide_chains', crop=32, stride=24)
    cfg.model = dict(cfg.model, test_cfg=dict(cfg.model.test_cfg, **options))
    check_equal(predict(files('torch'), large, window=32), predict(cfg, large, weights))


@pytest.mark.parametrize('backend', RUNTIMES[:2])
def test_a_file_describes_itself_and_not_this_machine(backend, files, source):
    description = open_graph(files(backend)).description
    assert description.facts.num_steps == 2
    assert description.facts.num_draws == 2
    assert 'ADMSampler(' in description.facts.sampler
    assert description.info == dict(licence='Apache-2.0')
    assert description.config.model.type == 'ADM'
    content = files(backend).read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in content


@without_onnx
def test_the_bare_runtime_gives_the_image(files, source):
    import onnxruntime

    session = onnxruntime.InferenceSession(files('onnxruntime'))
    interface = json.loads(
        session.get_modelmeta().custom_metadata_map['mmadm_interface']
    )
    assert interface['noise'].startswith('(N, 2, 48, H / 4, W / 4) float32')
    generator = np.random.default_rng(0)
    condition = generator.uniform(-1, 1, (1, 3, 5, 6)).astype('float32')
    noise = generator.standard_normal((1, 2, 48, 5, 6)).astype('float32')
    (image,) = session.run(None, dict(condition=condition, noise=noise))
    graph = open_graph(files('torch'))
    expected = graph(torch.from_numpy(condition), torch.from_numpy(noise))
    torch.testing.assert_close(torch.from_numpy(image), expected, atol=1e-4, rtol=1e-4)


def test_steps_sampler_and_states_of_a_graph_are_fixed(files):
    inferencer = ADMInferencer(files('torch'), device='cpu', show_progress=False)
    inferencer(IMAGES[0], num_steps=2)
    with pytest.raises(ValueError, match=r'has 2 steps of ADMSampler.*num_steps=5'):
        inferencer(IMAGES[0], num_steps=5)
    with pytest.raises(ValueError, match='sampler=multistep were given'):
        inferencer(IMAGES[0], sampler='multistep')
    with pytest.raises(ValueError, match='cannot be read, but a callback'):
        inferencer(IMAGES[0], trajectory=True)
    with pytest.raises(ValueError, match=r'has its weights inside, but weights=a\.pth'):
        ADMInferencer(files('torch'), 'a.pth')


def pickled(path: Path) -> bytes:
    """An object whose unpickling makes a file."""

    class Evil:
        def __reduce__(self):
            return Path.touch, (path,)

    return pickle.dumps(Evil())


@pytest.mark.parametrize(
    'name',
    [
        'data/sample_inputs/model.pt',
        'data/constants/custom_obj_0',
        'data/aotinductor/model/lib.so',
        'data/weights/model_weights_config.json',
        'models/model.json',
    ],
)
def test_a_file_that_could_run_code_is_refused(name, files, tmp_path):
    executed = tmp_path / 'executed'
    path = tmp_path / 'evil.pt2'
    text = f"__import__('pathlib').Path('{executed}').touch()"
    contents = {
        'models/model.json': json.dumps(dict(sizes=[dict(expr_str=text)])).encode(),
        'data/weights/model_weights_config.json': json.dumps(
            dict(config=dict(weight=dict(use_pickle=True)))
        ).encode(),
    }
    with zipfile.ZipFile(files('torch')) as old, zipfile.ZipFile(path, 'w') as new:
        root = old.namelist()[0].split('/')[0]
        for entry in old.namelist():
            if entry != f'{root}/{name}':
                new.writestr(entry, old.read(entry))
        new.writestr(f'{root}/{name}', contents.get(name, pickled(executed)))
    with pytest.raises(ValueError, match='could run code'):
        ADMInferencer(path)
    assert not executed.exists()
    check_no_code(files('torch'))


@pytest.mark.parametrize('suffix', ['.pt2', pytest.param('.onnx', marks=without_onnx)])
def test_a_broken_file_is_named(suffix, tmp_path):
    path = tmp_path / f'broken{suffix}'
    path.write_bytes(b'no graph')
    with pytest.raises(ValueError, match=f'broken{suffix}'):
        open_graph(path)
    with pytest.raises(FileNotFoundError, match='Exported model not found'):
        open_graph(tmp_path / f'missing{suffix}')
    with pytest.raises(ValueError, match="No backend='tensorrt' for"):
        open_graph(path, 'tensorrt')


def test_a_window_that_does_not_fit_the_model_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match=r'multiple of 4 pixels, .* window=30'):
        export_model(source, tmp_path / 'model.pt2', window=30)
    with pytest.raises(ValueError, match=r'Models are exported to \.onnx or \.pt2'):
        export_model(source, tmp_path / 'model.pb')
    assert not list(tmp_path.iterdir())


class BranchingEncoder(ResidualEncoder):
    """Its code depends on the values of the condition."""

    def forward(self, condition):
        return super().forward(condition if condition.mean() > 0 else -condition)


class BrokenEncoder(ResidualEncoder):
    def forward(self, condition):
        if torch.compiler.is_exporting():
            raise TypeError('an error of the network')
        return super().forward(condition)


@pytest.mark.parametrize('window', [None, 32])
def test_a_network_that_cannot_be_traced_is_refused(window, tmp_path):
    cfg = tiny_config()
    cfg.model.condition_encoder['type'] = BranchingEncoder
    with pytest.raises(ValueError, match=r'cannot be traced .* Nothing was written\.'):
        export_model(random_source(cfg), tmp_path / 'model.pt2', window=window)
    cfg.model.condition_encoder['type'] = BrokenEncoder
    with pytest.raises(TypeError, match='an error of the network'):
        export_model(random_source(cfg), tmp_path / 'model.pt2', window=window)
    assert not list(tmp_path.iterdir())


@without_onnx
def test_first_and_last_layers_of_each_step_are_known():
    from onnx import TensorProto, helper

    from mmadm.apis.quantization import outer_layers

    def step(i: int, x: str, y: str) -> list:
        """Three convolutions, and a sum with the input; the size is no input."""
        names = [x, *(f'{part}{i}' for part in 'abc')]
        layers = [
            helper.make_node('Conv', [before, 'w'], [after], after)
            for before, after in pairwise(names)
        ]
        shape = helper.make_node('Shape', ['noise'], [f'size{i}'])
        layers[1:1] = [shape, helper.make_node('Resize', [f'a{i}', f'size{i}'], ['r'])]
        layers[3].input[0] = 'r'
        return [*layers, helper.make_node('Add', [x, f'c{i}'], [y])]

    noise, image = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in ('noise', 'image')
    )
    nodes = [*step(1, 'noise', 'x'), *step(2, 'x', 'image')]
    graph = helper.make_graph(nodes, 'two steps', [noise], [image])
    assert outer_layers(graph) == ['a1', 'a2', 'c1', 'c2']


@without_onnx
def test_holes_are_paired_with_the_images_that_are_scored(tmp_path):
    from mmadm.apis.quantization import score

    model = ADMInferencer('adm_inpaint_small', device='cpu', show_progress=False)
    holes = np.zeros((2, 128, 128), np.uint8)
    holes[0, :64], holes[1, :, 80:] = 255, 255
    photos = [draw_photo(i, 128, 128) for i in range(2)]
    ratios = [
        peak_signal_noise_ratio(photo, model(photo, masks=hole)['predictions'][0])
        for photo, hole in zip(photos, holes)
    ]
    folders = [tmp_path / 'photos', tmp_path / 'masks']
    for folder, images in zip(folders, (photos, holes)):
        folder.mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(folder / f'{i}.png')
    photo_folder, mask_folder = folders
    found = score('adm_inpaint_small', photo_folder, photo_folder, mask_folder)
    assert found == pytest.approx(np.mean(ratios))


@without_onnx
def test_8_bits_are_written_only_if_the_predictions_stay_good(files, tmp_path):
    import onnx

    from mmadm.apis.quantization import quantize_model, score

    for folder, height, width in (('inputs', 12, 16), ('ground_truth', 48, 64)):
        (tmp_path / folder).mkdir()
        for i in range(2):
            path = tmp_path / folder / f'{i}.png'
            Image.fromarray(draw_photo(i, height, width)).save(path)
    folders = dict(
        calibration=tmp_path / 'inputs',
        inputs=tmp_path / 'inputs',
        ground_truth=tmp_path / 'ground_truth',
    )
    target = tmp_path / 'int8.onnx'
    with pytest.raises(ValueError, match=r'8 bits lose .* -99 are allowed'):
        quantize_model(files('onnxruntime'), target, **folders, max_loss=-99)
    assert not target.exists()

    before, after = quantize_model(files('onnxruntime'), target, **folders, max_loss=99)
    paired = folders['inputs'], folders['ground_truth']
    assert score(target, *paired) == pytest.approx(after)
    assert before != after
    assert open_graph(target).facts.precision == 'int8'
    weights = [x for x in onnx.load(target).graph.initializer if len(x.dims) == 4]
    filters = {x.name for x in weights if x.name.startswith('model.')}
    outer = ('condition_encoder.levels.0.0', 'head.encoder.levels.0.0')
    outer += ('head.decoders.0.out', 'head.decoders.1.out')
    kept = {f'model.{name}.weight' for name in outer}
    assert {name for name in filters if not name.endswith('_quantized')} == kept
