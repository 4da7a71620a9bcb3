"""All forms in which a user gives images and masks."""

import io
import itertools
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmadm.datasets import InferenceDataset, inference_inputs
from mmadm.datasets.transforms import InferenceMask, PackDiffusionInputs
from tests.conftest import draw_photo

PHOTO = draw_photo(0, 8, 12)
GREY = PHOTO[..., 0]
MASK = np.zeros((8, 12), bool)
MASK[2:5, 3:9] = True


def images_of(source) -> list[np.ndarray]:
    """What the pipeline gets, (H, W, 3)."""
    dataset = InferenceDataset(source, [PackDiffusionInputs(condition='img')])
    items = [dataset[i]['inputs']['condition'] for i in range(len(dataset))]
    return [item.numpy().transpose(1, 2, 0) for item in items]


def mask_of(mask) -> np.ndarray:
    steps = [InferenceMask(), PackDiffusionInputs(condition='img')]
    (item,) = InferenceDataset(PHOTO, steps, mask)
    return item['data_samples'].mask[0].numpy().astype(bool)


def encoded(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, 'PNG')
    return buffer.getvalue()


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(array, -1, -3).copy())


FORMS = {
    'array': PHOTO,
    'float32': (PHOTO / 255).astype(np.float32),
    'float64': PHOTO / 255,
    'PIL': Image.fromarray(PHOTO),
    'bytes': encoded(PHOTO),
    'tensor': tensor(PHOTO),
    'float tensor': tensor(PHOTO) / 255,
    'not contiguous': PHOTO[:, ::-1].copy()[:, ::-1],
    'opaque': np.dstack([PHOTO, np.full_like(GREY, 255)]),
    'opaque tensor': tensor(np.dstack([PHOTO, np.full_like(GREY, 255)])),
}


@pytest.mark.parametrize('image', FORMS.values(), ids=FORMS)
def test_each_form_is_the_same_image(image):
    for source in (image, [image]):
        (found,) = images_of(source)
        assert np.array_equal(found, PHOTO)


GREYS = {
    'array': GREY,
    'channel': GREY[..., None],
    'PIL': Image.fromarray(GREY),
    'float': GREY / 255,
    'tensor': torch.from_numpy(GREY),
    'tensor with a channel': torch.from_numpy(GREY[None].copy()),
}


@pytest.mark.parametrize('image', GREYS.values(), ids=GREYS)
def test_a_grey_image_has_three_equal_channels(image):
    (found,) = images_of(image)
    assert np.array_equal(found, np.dstack([GREY] * 3))


@pytest.mark.parametrize('kind', [np.asarray, Image.fromarray, tensor, encoded])
def test_transparent_pixels_are_white_in_each_form(kind):
    alpha = np.where(MASK, 0, 255).astype(np.uint8)
    (found,) = images_of(kind(np.dstack([PHOTO, alpha])))
    assert np.array_equal(found, np.where(MASK[..., None], 255, PHOTO))


def test_batches_are_split_and_a_list_may_have_all_forms(photo_folder):
    batch = np.stack([draw_photo(i, 8, 12) for i in range(3)])
    for source in (batch, batch / 255, tensor(batch), [batch[0], batch[1:]]):
        assert np.array_equal(images_of(source), batch)
    mixed = [batch, Image.fromarray(PHOTO), photo_folder / 'photo_1.png', GREY]
    assert len(images_of(mixed)) == 6


def test_a_pattern_is_listed(photo_folder):
    (photo_folder / 'notes.txt').write_text('no image')
    found = images_of(str(photo_folder / 'photo_[13].*'))
    assert len(found) == 2 and np.array_equal(found[1], draw_photo(3))
    assert len(images_of(str(photo_folder / '*'))) == 5
    with pytest.raises(FileNotFoundError, match=r'fits the pattern: .*\*\.jpg'):
        images_of(str(photo_folder / '*.jpg'))
    # A file may have the signs of a pattern in its name.
    Image.fromarray(PHOTO).save(photo_folder / 'a[1].png')
    assert np.array_equal(images_of(photo_folder / 'a[1].png')[0], PHOTO)


MASKS = {
    'bool': MASK,
    'float': MASK.astype(float),
    '255': MASK * np.uint8(255),
    'channel': MASK[..., None],
    'batch of one': MASK[None],
    'PIL': Image.fromarray(MASK),
    'bytes': encoded(MASK * np.uint8(255)),
    'tensor': torch.from_numpy(MASK),
    'tensor with a channel': torch.from_numpy(MASK)[None].float(),
    'batch of tensors': torch.from_numpy(MASK)[None, None],
}


@pytest.mark.parametrize('mask', MASKS.values(), ids=MASKS)
def test_each_form_is_the_same_mask(mask):
    assert np.array_equal(mask_of(mask), MASK)


@pytest.mark.parametrize(
    'image, message',
    [
        (PHOTO.astype(np.int64), 'an array of int64 .* values from'),
        (PHOTO.astype(float), r'float64 \(8, 12, 3\) with values from 28 to 116'),
        (np.full((4, 4, 3), np.nan), 'float64'),
        (-(PHOTO / 255), 'values from -'),
        (np.zeros((4, 4, 2), np.uint8), r'\(4, 4, 2\)'),
        (np.zeros((0, 4, 3), np.uint8), r'\(0, 4, 3\)'),
        (np.zeros((2, 2, 4, 4, 3), np.uint8), r'\(2, 2, 4, 4, 3\)'),
        (torch.from_numpy(PHOTO), r'a tensor of uint8 \(8, 12, 3\).*\(C, H, W\)'),
        (None, 'an object of type NoneType'),
        (7, 'an object of type int'),
        (b'text', 'Broken image file: 4 bytes'),
        (encoded(PHOTO)[:60], 'Broken image file: 60 bytes'),
        (Image.new('I', (4, 4)), 'more than 8 bits per channel'),
    ],
    ids=itertools.count(),
)
def test_what_is_no_image_is_described(image, message):
    with pytest.raises(ValueError, match=message):
        images_of([image])


@pytest.mark.parametrize('mask', [GREY, PHOTO, MASK * 3, MASK * 0.5, 'x', 7])
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises((ValueError, FileNotFoundError), match=r'mask|not found'):
        mask_of(mask)


@pytest.fixture
def site(tmp_path):
    """The address of a server with one photograph."""
    Image.fromarray(PHOTO).save(tmp_path / 'a photo.png')
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def test_an_address_is_downloaded_and_named(site):
    address = f'{site}/a%20photo.png?size=large'
    assert np.array_equal(images_of(address)[0], PHOTO)
    (entry,) = InferenceDataset(address, []).load_data_list()
    assert entry['name'] == 'a photo'


def test_an_address_that_cannot_be_read_is_reported(site, monkeypatch):
    with pytest.raises(ValueError, match=r'cannot be downloaded.*404.*Check address'):
        images_of(f'{site}/nothing.png')
    with pytest.raises(ValueError, match=r'downloaded: http://127\.0\.0\.1:9/x'):
        images_of('http://127.0.0.1:9/x')
    size = len(encoded(PHOTO))
    fetch = inference_inputs.fetch
    assert len(fetch(f'{site}/a%20photo.png', size)) == size
    with pytest.raises(ValueError, match=rf'more than {size - 1} bytes'):
        fetch(f'{site}/a%20photo.png', size - 1)
    monkeypatch.chdir(Path(__file__).parent)
    with pytest.raises(ValueError, match='cannot be downloaded'):
        images_of('https://')
