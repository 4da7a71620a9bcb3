"""Predictions as files."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from mmadm.evaluation import DumpCocoRle, DumpImages

from .two_processes import in_two_processes


def prediction(index: int, name: str | None = None, channels: int = 1) -> dict:
    rng = np.random.default_rng(index)
    image = rng.integers(0, 256, (channels, 6, 8), np.uint8)
    sample = dict(pred_img=torch.from_numpy(image), sample_idx=index)
    return sample | (dict(img_path=f'images/{name}.jpg') if name else {})


def read(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_predictions_are_named_like_the_images(tmp_path):
    samples = [prediction(0, 'cat'), prediction(1, 'dog', channels=3), prediction(2)]
    dump = DumpImages(str(tmp_path))
    dump.process(None, samples)
    assert dump.evaluate(3) == {}
    assert (read(tmp_path / 'cat.png') == samples[0]['pred_img'][0].numpy()).all()
    colour = samples[1]['pred_img'].permute(1, 2, 0).numpy()
    assert (read(tmp_path / 'dog.png') == colour).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        '000002.png',
        'cat.png',
        'dog.png',
    ]


def test_files_of_an_earlier_test_are_noticed(tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(
        'mmadm.evaluation.dump_images.print_log',
        lambda text, **_: messages.append(text),
    )
    for names in (['cat', 'dog'], ['cat', 'dog'], ['cat']):
        dump = DumpImages(str(tmp_path))
        dump.process(None, [prediction(i, name) for i, name in enumerate(names)])
        dump.evaluate(len(names))
    (warning,) = (text for text in messages if 'did not write' in text)
    assert warning == messages[-1] and '1 PNG files' in warning and 'dog' in warning


def test_predictions_get_the_size_of_their_ground_truth_or_of_their_image(tmp_path):
    dump = DumpImages(str(tmp_path))
    photo = prediction(0, 'photo') | dict(ori_shape=(12, 16))
    cropped = photo | dict(img_path='cropped.jpg', gt_img=torch.zeros(1, 10, 10))
    dump.process(None, [photo, cropped])
    assert read(tmp_path / 'photo.png').shape == (12, 16)
    assert read(tmp_path / 'cropped.png').shape == (10, 10)


def test_images_of_one_name_do_not_overwrite_each_other(tmp_path):
    dump = DumpImages(str(tmp_path))
    dump.process(
        None, [prediction(0, 'cat'), prediction(1, 'cat'), prediction(0, 'cat')]
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ['cat.png', 'cat_000001.png']


def test_coco_results_hold_what_is_above_the_threshold(tmp_path):
    samples = [
        prediction(0, '000000000139'),
        prediction(1, 'dog'),
        prediction(2, 'empty'),
    ]
    samples[2]['pred_img'] *= 0
    out = tmp_path / 'results.json'
    dump = DumpCocoRle(str(out), threshold=0.5)
    dump.process(None, samples)
    assert dump.evaluate(3) == {}
    first, second = json.loads(out.read_text())
    assert (first['image_id'], second['image_id']) == (139, 'dog')
    assert first['category_id'] == 1
    soft = samples[0]['pred_img'][0].numpy() / 255
    assert (coco_mask.decode(first['segmentation']) == (soft >= 0.5)).all()
    assert first['score'] == pytest.approx(soft[soft >= 0.5].mean())


def test_coco_results_have_the_size_of_their_ground_truth(tmp_path):
    out = tmp_path / 'results.json'
    dump = DumpCocoRle(str(out))
    dump.process(None, [prediction(0, '1') | dict(gt_img=torch.zeros(1, 12, 16))])
    dump.evaluate(1)
    (entry,) = json.loads(out.read_text())
    assert entry['segmentation']['size'] == [12, 16]


def test_two_processes_write_one_file(tmp_path):
    samples = [prediction(i, str(i)) for i in range(3)]
    shares = [(0, 2), (1, 0)]

    def work(rank: int) -> None:
        dump = DumpCocoRle('results.json')
        dump.process(None, [samples[i] for i in shares[rank]])
        dump.evaluate(3)

    in_two_processes(tmp_path, work)
    entries = json.loads((tmp_path / 'results.json').read_text())
    assert [entry['image_id'] for entry in entries] == [0, 1, 2]


def test_names_that_two_processes_share_are_noticed(tmp_path):
    """The first image goes to both, to fill their shares: that does no harm."""

    def work(rank: int) -> str:
        dump = DumpImages('out')
        dump.process(None, [prediction(rank, str(rank)), prediction(0, '0')])
        dump.evaluate(2)
        dump.process(None, [prediction(rank, 'cat')])
        try:
            dump.evaluate(2)
        except ValueError as error:
            return str(error)

    messages = in_two_processes(tmp_path, work)
    assert all("['cat']" in message for message in messages)


def test_results_have_the_ids_of_the_annotations(tmp_path):
    out = tmp_path / 'results.json'
    dump = DumpCocoRle(str(out))
    dump.process(None, [prediction(0, 'holiday') | dict(img_id=17)])
    dump.evaluate(1)
    assert json.loads(out.read_text())[0]['image_id'] == 17


def test_senseless_settings_are_refused():
    with pytest.raises(ValueError, match=r'results\.txt'):
        DumpCocoRle('results.txt')
    with pytest.raises(ValueError, match='threshold=0'):
        DumpCocoRle('results.json', threshold=0)
