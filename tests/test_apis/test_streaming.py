"""Streams of predictions: little memory, and files that are not made again."""

import gc
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmadm.apis import ADMInferencer
from tests.conftest import draw_photo

from .conftest import evaluations_of, save_images


def test_a_stream_keeps_no_results(toy):
    arrays, alive = [], []
    for result in toy.stream([draw_photo(0, 8, 8)] * 20, num_steps=1, batch_size=2):
        arrays += [
            weakref.ref(value)
            for value in result.values()
            if isinstance(value, np.ndarray)
        ]
        del result
        alive.append(sum(array() is not None for array in arrays))
    assert len(alive) == 20 and alive[-1] == max(alive[2:]) <= 4 < len(arrays)


def test_a_stream_of_many_images_holds_as_much_as_one_of_few(toy, tmp_path):
    photos = {f'{i:02d}': draw_photo(i, 8, 8) for i in range(12)}
    folder = save_images(tmp_path / 'in', photos)
    request = dict(num_steps=2, num_samples=2, out_dir=tmp_path / 'out')

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects())

    held = [tensors() for _ in toy.stream(folder, **request)]
    assert len(held) == 12 and held[-1] == held[2]


def test_a_stream_begins_with_the_checks(toy, tmp_path):
    with pytest.raises(FileNotFoundError):
        toy.stream(tmp_path / 'nothing.png')


def test_finished_files_are_not_made_again(toy, tmp_path):
    folder = save_images(
        tmp_path / 'in', {x: draw_photo(i) for i, x in enumerate('abc')}
    )
    out = tmp_path / 'out'
    request = dict(num_steps=1, num_samples=2, out_dir=out, output_type='file')
    count = partial(evaluations_of, toy, folder)
    assert count(**request) == 6 and count(**request) == 0
    results = list(toy.stream(folder, **request))
    assert [x['name'] for x in results] == ['a', 'b', 'c']
    expected = toy(folder, num_steps=1, num_samples=2)
    for i, result in enumerate(results):
        for key in ('prediction', 'visualization'):
            found = np.asarray(Image.open(result[key]))
            assert np.array_equal(found, expected.get(key, expected['predictions'])[i])
        draws = np.stack([Image.open(path) for path in result['samples']])
        assert np.array_equal(draws, expected['samples'][i])
        assert Image.open(result['std']).size == (4 * 48 + 54, 4 * 40)

    # Only what is missing, or was made from another input.
    results[0]['samples'][1].unlink()
    (folder / 'b.png').write_bytes((folder / 'a.png').read_bytes())
    assert count(**request) == 4
    results[2]['prediction'].write_bytes(b'damaged')
    assert count(**request) == 2 and count(**request) == 0
    # A new image moves the others: they get the noise of other numbers.
    save_images(tmp_path / 'more', dict(Z=draw_photo(5)))
    (tmp_path / 'more' / 'Z.png').rename(folder / 'Z.png')
    assert count(**request) == 8


def test_results_of_other_settings_do_not_stay_beside_a_prediction(toy, tmp_path):
    photos = {name: draw_photo(i) for i, name in enumerate('ab')}
    folder = save_images(tmp_path / 'in', photos)
    out = tmp_path / 'out'
    out.mkdir()
    own = save_images(out / 'std', dict(mine=draw_photo(3))) / 'mine.png'
    toy(folder, num_steps=1, num_samples=3, out_dir=out, trajectory=True)
    toy(folder / 'a.png', num_steps=1, num_samples=2, out_dir=out)
    files = {str(path.relative_to(out)) for path in out.rglob('*.png')}
    of_a = {name for name in files if 'a' in Path(name).parts or '/a.' in name}
    assert of_a == {
        *('vis/a.png', 'pred/a.png', 'std/a.png'),
        *('samples/a/000.png', 'samples/a/001.png'),
    }
    assert {'trajectory/b.png', 'samples/b/002.png'} < files
    assert own.is_file()


@pytest.mark.parametrize(
    'change', [dict(num_steps=2), dict(seed=1), dict(sampler='mean'), dict(window=16)]
)
def test_files_of_other_settings_are_made_again(toy, tmp_path, change):
    image = draw_photo(0, 8, 8)
    request = dict(num_steps=1, out_dir=tmp_path, output_type='file')
    assert evaluations_of(toy, image, **request) == 1
    assert evaluations_of(toy, image, **{**request, **change}) > 0
    # Now the files have the changed settings.
    assert evaluations_of(toy, image, **request) == 1


def test_files_of_other_weights_are_made_again(toy, tmp_path):
    state = dict(state_dict=toy.model.state_dict())
    torch.save(state, tmp_path / 'a.pth')
    with torch.no_grad():
        state['state_dict'] = {k: v.clone() for k, v in state['state_dict'].items()}
        next(v for v in state['state_dict'].values() if v.numel() > 9).view(-1)[0] += 1
    torch.save(state, tmp_path / 'b.pth')
    counts = []
    for name in ('a', 'a', 'b'):
        other = ADMInferencer(toy.cfg, tmp_path / f'{name}.pth', 'cpu', False)
        request = dict(num_steps=1, out_dir=tmp_path / 'out', output_type='file')
        counts.append(evaluations_of(other, draw_photo(0, 8, 8), **request))
    assert counts == [1, 0, 1]
