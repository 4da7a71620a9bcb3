"""Converters on small imitations of the releases, complete and broken."""

import json
import math
import runpy
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmadm.datasets.conversion import (
    adm_code_split,
    check_duts,
    lama_split,
    prepare_bsds500,
    prepare_celeba_hq,
    prepare_div2k,
)
from mmadm.datasets.conversion.bsds500 import inscribed, rotated
from mmadm.datasets.conversion.conversion_utils import run
from mmadm.datasets.mask_file import decode, read_masks
from mmadm.datasets.transforms.edges import mean_map
from mmadm.utils import resize
from mmadm.utils.images import read_image
from tests.conftest import ROOT, draw_photo
from tests.test_datasets.test_pairs import write_boundaries

SUBSET = dict(subset=True, num_workers=2)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Path -> time of the last change, content."""
    return {
        path.relative_to(folder).as_posix(): (
            path.stat().st_mtime_ns,
            path.read_bytes(),
        )
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


# Helpers


def test_results_come_in_order_and_errors_come_through():
    assert run(range(20), lambda i: i * i, 3, 'Squares') == [i * i for i in range(20)]
    done = []

    def job(index: int) -> None:
        done.append(index)
        time.sleep(0.001)
        if index == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(range(1000), job, 1, 'Interrupted')
    assert len(done) < 1000
    with pytest.raises(ValueError, match='num_workers=-1 is not possible'):
        run(range(3), job, -1, 'Negative')


# DIV2K


@pytest.fixture
def div2k(tmp_path) -> Path:
    for name in ('0001', '0800'):
        save(tmp_path / 'DIV2K_train_HR' / f'{name}.png', draw_photo(1, 50, 70))
    save(tmp_path / 'DIV2K_valid_HR' / '0801.png', draw_photo(2))
    return tmp_path


def test_sub_images_cover_the_photograph(div2k):
    counts = prepare_div2k(div2k, size=32, stride=16, **SUBSET)
    # 50 = 32 + 18: starts 0, 16, 18; 70 = 32 + 38: starts 0, 16, 32, 38.
    assert counts == {'train': 2, 'valid': 1, 'sub-images': 2 * 3 * 4}
    photo, seen = draw_photo(1, 50, 70), np.zeros((50, 70), bool)
    for path in (div2k / 'DIV2K_train_HR_sub').glob('0001_*.png'):
        top, left = (int(number) for number in path.stem.split('_')[2:])
        assert np.array_equal(
            read_image(str(path), 'color'), photo[top : top + 32, left : left + 32]
        )
        seen[top : top + 32, left : left + 32] = True
    assert seen.all()


def test_existing_files_are_kept_and_missing_ones_are_made(div2k):
    prepare_div2k(div2k, size=32, stride=16, **SUBSET)
    folder = div2k / 'DIV2K_train_HR_sub'
    before = files(folder)
    lost = sorted(before)[5]
    (folder / lost).unlink()
    prepare_div2k(div2k, size=32, stride=16, **SUBSET)
    after = files(folder)
    assert after.keys() == before.keys() and after[lost][1] == before[lost][1]
    assert all(after[name] == before[name] for name in before if name != lost)


def test_missing_photographs_are_named(div2k):
    message = r'has 2 of 800 images; missing are 0002, 0003,.* \(798\)\. Unpack DIV2K_t'
    with pytest.raises(FileNotFoundError, match=message):
        prepare_div2k(div2k)
    save(div2k / 'DIV2K_train_HR' / 'holiday.png', draw_photo(0))
    with pytest.raises(ValueError, match=r'1 images that are not of .*: holiday'):
        prepare_div2k(div2k, **SUBSET)
    with pytest.raises(FileNotFoundError, match=r'not found: .*DIV2K_train_HR'):
        prepare_div2k(div2k / 'elsewhere')
    with pytest.raises(ValueError, match='--stride'):
        prepare_div2k(div2k, size=32, stride=64, **SUBSET)


def test_a_complete_release_passes(tmp_path):
    for number in range(1, 901):
        part = 'train' if number <= 800 else 'valid'
        path = tmp_path / f'DIV2K_{part}_HR' / f'{number:04d}.png'
        save(path, draw_photo(0, 4, 4))
    counts = prepare_div2k(tmp_path, check_only=True)
    assert counts == {'train': 800, 'valid': 100}
    (tmp_path / 'DIV2K_valid_HR' / '0833.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'99 of 100 .* missing are 0833\.'):
        prepare_div2k(tmp_path, check_only=True)


def test_a_broken_photograph_is_named_and_leaves_nothing_half(div2k):
    path = div2k / 'DIV2K_train_HR' / '0800.png'
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r'0800\.png'):
        prepare_div2k(div2k, size=32, stride=16, **SUBSET)
    folder = div2k / 'DIV2K_train_HR_sub'
    assert all(
        read_image(str(p), 'color').shape == (32, 32, 3) for p in folder.glob('*.png')
    )


def test_a_broken_test_photograph_is_named_before_any_cutting(div2k):
    (div2k / 'DIV2K_valid_HR' / '0801.png').write_text('not an image')
    with pytest.raises(ValueError, match=r'1 images are wrong:\n.*0801\.png'):
        prepare_div2k(div2k, size=32, stride=16, **SUBSET)
    assert not (div2k / 'DIV2K_train_HR_sub').exists()


def test_sub_images_of_another_size_or_stride_are_not_mixed(div2k):
    prepare_div2k(div2k, size=32, stride=16, **SUBSET)
    for size, stride in ((32, 32), (24, 16)):
        with pytest.raises(ValueError, match=r"HR_sub was converted with \{'s"):
            prepare_div2k(div2k, size=size, stride=stride, **SUBSET)


def convert_div2k(root: Path) -> dict[str, int]:
    return prepare_div2k(root, size=32, stride=16, **SUBSET)


def exchange(first: Path, second: Path) -> None:
    """Two files exchange their content."""
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0])
    first.write_bytes(contents[1])


def test_sub_images_of_changed_photographs_are_refused_by_name(div2k):
    """Also of those of equal size that were exchanged."""
    for name in ('0001', '0800'):
        array = np.random.default_rng(int(name)).integers(0, 256, (50, 70, 3), np.uint8)
        photo = div2k / 'DIV2K_train_HR' / f'{name}.png'
        Image.fromarray(array).save(photo, compress_level=0)
    folder = div2k / 'DIV2K_train_HR_sub'
    convert_div2k(div2k)
    before = files(folder)
    photos = sorted((div2k / 'DIV2K_train_HR').iterdir())
    assert photos[0].stat().st_size == photos[1].stat().st_size
    exchange(*photos)
    with pytest.raises(ValueError, match=r'24 images whose sources have changed.*0001'):
        convert_div2k(div2k)
    assert files(folder) == before

    exchange(*photos)
    assert convert_div2k(div2k)['sub-images'] == 24 and files(folder) == before
    save(photos[0], draw_photo(3, 50, 70))
    with pytest.raises(ValueError, match=r'12 images whose .*0001_32_0000_0000\.png'):
        convert_div2k(div2k)
    for path in folder.glob('0001_*'):
        path.unlink()
    convert_div2k(div2k)
    window = read_image(folder / '0001_32_0000_0000.png', 'color')
    assert np.array_equal(window, draw_photo(3, 50, 70)[:32, :32])


def test_sub_images_of_unknown_or_removed_sources_are_refused(div2k):
    convert_div2k(div2k)
    folder = div2k / 'DIV2K_train_HR_sub'
    save(folder / 'mine.png', draw_photo(0))
    with pytest.raises(ValueError, match=r'1 images that this command did not.*mi'):
        convert_div2k(div2k)
    (folder / 'mine.png').unlink()
    photo = div2k / 'DIV2K_train_HR' / '0800.png'
    photo.rename(div2k / '0800.png')
    with pytest.raises(ValueError, match=r'12 images .* are gone .*0800_32'):
        convert_div2k(div2k)
    (div2k / '0800.png').rename(photo)
    save(div2k / 'DIV2K_train_HR' / '0002.png', draw_photo(5, 50, 70))
    assert convert_div2k(div2k)['sub-images'] == 36  # more photographs are welcome
    (folder / 'sources.json').unlink()
    with pytest.raises(ValueError, match='without a record of their sources'):
        convert_div2k(div2k)


def test_a_photograph_in_two_formats_is_refused(div2k):
    save(div2k / 'DIV2K_train_HR' / '0001.jpg', draw_photo(0, 50, 70))
    with pytest.raises(ValueError, match=r'Two images of one name: .*0001'):
        convert_div2k(div2k)


# DUTS


@pytest.fixture
def duts(tmp_path) -> Path:
    for part in ('DUTS-TR', 'DUTS-TE'):
        for i in range(3):
            photo = draw_photo(i)
            save(tmp_path / part / f'{part}-Image' / f'{i}.jpg', photo)
            save(tmp_path / part / f'{part}-Mask' / f'{i}.png', photo[..., 0])
    return tmp_path


def test_pairs_of_duts_are_counted(duts):
    assert check_duts(duts, **SUBSET) == {'DUTS-TR': 3, 'DUTS-TE': 3}
    with pytest.raises(FileNotFoundError, match=r'has 3 of 10553 .*--subset'):
        check_duts(duts)


def test_all_wrong_pairs_of_duts_are_named_at_once(duts):
    folder = duts / 'DUTS-TE' / 'DUTS-TE-Mask'
    save(folder / '0.png', np.zeros((8, 9), np.uint8))
    broken = folder / '2.png'
    broken.write_bytes(broken.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r'2 pairs of DUTS-TE are wrong') as error:
        check_duts(duts, **SUBSET)
    assert '0.png is (8, 9)' in str(error.value) and '2.png' in str(error.value)
    with pytest.raises(ValueError, match='1 pairs of DUTS-TE'):
        check_duts(duts, decode=False, **SUBSET)


def test_masks_of_zero_and_one_count_and_others_are_refused(duts, capsys):
    folder = duts / 'DUTS-TR' / 'DUTS-TR-Mask'
    half = np.arange(40 * 48).reshape(40, 48) % 2
    save(folder / '0.png', half.astype(np.uint8))
    assert check_duts(duts, **SUBSET)['DUTS-TR'] == 3
    save(folder / '0.png', np.zeros((40, 48), np.uint8))
    check_duts(duts, **SUBSET)
    assert '1 masks of DUTS-TR are black or white everywhere: 0.png' in (
        capsys.readouterr().out
    )
    red = np.stack([half * 255, half * 0, half * 0], axis=2).astype(np.uint8)
    for mask in (red, (half * 7).astype(np.uint8)):
        save(folder / '0.png', mask)
        with pytest.raises(
            ValueError, match=r'1 pairs of DUTS-TR are wrong:\n.*0\.png'
        ):
            check_duts(duts, **SUBSET)


@pytest.mark.parametrize('lost', ['DUTS-TR-Image/1.jpg', 'DUTS-TR-Mask/1.png'])
def test_files_of_duts_without_partner_are_named(duts, lost):
    (duts / 'DUTS-TR' / lost).unlink()
    with pytest.raises(ValueError, match=r'1 of the files .* no partner: 1'):
        check_duts(duts, **SUBSET)


# CelebA-HQ


@pytest.fixture
def faces(tmp_path) -> Path:
    for i in range(12):
        save(tmp_path / 'faces' / f'{i:05d}.jpg', draw_photo(i, 64, 64))
    return tmp_path / 'faces'


def test_faces_are_resized_and_recorded(faces, tmp_path):
    out = tmp_path / 'out'
    record = prepare_celeba_hq(faces, out, 32, 'box', **SUBSET)
    assert record['count'] == 12 and record['filter'] == 'box'
    assert json.loads((out / 'prepared.json').read_text()) == record
    expected = resize(read_image(str(faces / '00003.jpg'), 'color'), (32, 32), 'box')
    got = read_image(str(out / 'images' / '00003.png'), 'color')
    assert np.array_equal(got, expected)

    before = files(out / 'images')
    again = prepare_celeba_hq(faces, out, 32, 'box', **SUBSET)
    assert again == record and files(out / 'images') == before
    with pytest.raises(ValueError, match=r"'filter': 'box'.*not.*'bilinear'.*Remove"):
        prepare_celeba_hq(faces, out, 32, 'bilinear', **SUBSET)


def test_an_interrupted_conversion_continues_with_the_same_options(faces, tmp_path):
    broken = faces / '00011.jpg'
    content = broken.read_bytes()
    broken.write_bytes(content[:100])
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match=r'00011\.jpg'):
        prepare_celeba_hq(faces, out, 32, 'box', **SUBSET | dict(num_workers=1))
    assert len(list((out / 'images').iterdir())) == 11
    broken.write_bytes(content)
    with pytest.raises(ValueError, match=r"'filter': 'box'.*not.*'lanczos'"):
        prepare_celeba_hq(faces, out, 32, 'lanczos', **SUBSET)
    whole = prepare_celeba_hq(faces, tmp_path / 'whole', 32, 'box', **SUBSET)
    assert prepare_celeba_hq(faces, out, 32, 'box', **SUBSET) == whole

    (out / 'prepared.json').write_text('[')
    with pytest.raises(ValueError, match=r'Damaged record.*prepared\.json'):
        prepare_celeba_hq(faces, out, 32, 'box', **SUBSET)


def test_the_hash_is_of_the_pixels(faces, tmp_path):
    first = prepare_celeba_hq(faces, tmp_path / 'a', 32, **SUBSET)['sha256']
    save(faces / '00011.jpg', draw_photo(99, 64, 64))
    assert prepare_celeba_hq(faces, tmp_path / 'b', 32, **SUBSET)['sha256'] != first


def test_wrong_faces_are_reported_before_any_conversion(faces, tmp_path):
    out = tmp_path / 'out'
    with pytest.raises(FileNotFoundError, match='has 12 of 30000'):
        prepare_celeba_hq(faces, out)
    with pytest.raises(ValueError, match="Unknown filter 'area'"):
        prepare_celeba_hq(faces, out, method='area', **SUBSET)
    with pytest.raises(ValueError, match=r'2000 of 12 images'):
        prepare_celeba_hq(faces, out, split=adm_code_split, **SUBSET)
    for inside in (faces, tmp_path):
        with pytest.raises(ValueError, match=r'would be sources.*another --out'):
            prepare_celeba_hq(inside, tmp_path / 'faces', 32, **SUBSET)
    save(faces / 'b' / '00003.jpg', draw_photo(0, 64, 64))
    with pytest.raises(ValueError, match=r'Two images of one name: .*00003.*00003'):
        prepare_celeba_hq(faces, out, 32, **SUBSET)
    assert not out.exists()


def test_faces_of_another_source_are_not_mixed(faces, tmp_path):
    out = tmp_path / 'out'
    prepare_celeba_hq(faces, out, 32, **SUBSET)
    before = files(out)
    for i in range(12):
        save(tmp_path / 'others' / f'{i:05d}.jpg', draw_photo(50 + i, 64, 64))
    with pytest.raises(ValueError, match=r'12 images whose sources have changed'):
        prepare_celeba_hq(tmp_path / 'others', out, 32, **SUBSET)
    (faces / '00011.jpg').unlink()
    with pytest.raises(ValueError, match=r'1 images whose .* gone .*00011\.png'):
        prepare_celeba_hq(faces, out, 32, **SUBSET)
    assert files(out) == before
    (out / 'images' / '00011.png').unlink()
    assert prepare_celeba_hq(faces, out, 32, **SUBSET)['count'] == 11


def test_faces_that_were_changed_after_the_conversion_are_noticed(faces, tmp_path):
    out = tmp_path / 'out'
    record = prepare_celeba_hq(faces, out, 32, **SUBSET)
    (out / 'images' / '00005.png').unlink()
    assert prepare_celeba_hq(faces, out, 32, **SUBSET) == record
    save(out / 'images' / '00005.png', draw_photo(1, 32, 32))
    with pytest.raises(ValueError, match=r'images .* were changed after they'):
        prepare_celeba_hq(faces, out, 32, **SUBSET)


def test_hidden_files_do_not_count_and_linked_folders_do(faces, tmp_path):
    save(faces / '.ipynb_checkpoints' / '00003.jpg', draw_photo(1, 64, 64))
    save(tmp_path / 'elsewhere' / '00012.jpg', draw_photo(1, 64, 64))
    (faces / '._00001.jpg').write_text('resource fork')
    (faces / 'linked').symlink_to(tmp_path / 'elsewhere')
    assert prepare_celeba_hq(faces, tmp_path / 'out', 32, **SUBSET)['count'] == 13


def test_faces_must_be_large_squares(faces, tmp_path):
    save(faces / '00001.jpg', draw_photo(0, 64, 60))
    with pytest.raises(ValueError, match=r'00001\.jpg is 64x60, not a square'):
        prepare_celeba_hq(faces, tmp_path / 'out', 32, **SUBSET)
    save(faces / '00001.jpg', draw_photo(0, 16, 16))
    with pytest.raises(ValueError, match=r'00001\.jpg is 16x16, not a square of at le'):
        prepare_celeba_hq(faces, tmp_path / 'out', 32, **SUBSET)


def lists(folder: Path, train: list[int], test: list[int]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, numbers in (('train', train), ('val', test)):
        text = ''.join(f'{number}.jpg\n' for number in numbers)
        (folder / f'{name}_shuffled.flist').write_text(text)
    return folder


@pytest.mark.parametrize('first', [0, 1])
def test_lamas_split_is_26000_2000_2000(tmp_path, first):
    """Also for releases that count the images from 1."""
    order = np.random.default_rng(0).permutation(30000).tolist()
    folder = lists(tmp_path / 'lists', order[:28000], order[28000:])
    names = [f'{number:05d}.png' for number in range(first, 30000 + first)]
    split = lama_split(names, folder)
    sizes = {name: len(listed) for name, listed in split.items()}
    assert sizes == {'lama_train': 26000, 'lama_val': 2000, 'lama_test': 2000}
    assert len({name for listed in split.values() for name in listed}) == 30000
    assert split['lama_test'][0] == f'{order[28000] + first:05d}.png'
    assert split['lama_val'][0] == f'{order[0] + first:05d}.png'


def test_lamas_own_lists(data_root):
    names = [f'{number}.png' for number in range(30000)]
    split = lama_split(names, data_root / 'acceptance/lama_split')
    assert [len(listed) for listed in split.values()] == [26000, 2000, 2000]
    assert not set(split['lama_train']) & set(split['lama_test'])


def test_images_that_lamas_lists_miss_are_named(tmp_path):
    folder = lists(tmp_path / 'lists', list(range(2005)), [2005, 2006])
    names = [f'{number}.png' for number in range(2006)]
    with pytest.raises(FileNotFoundError, match=r'1 of the 2007 images .*: 2006\.'):
        lama_split(names, folder)
    split = lama_split(names, folder, subset=True)
    assert [len(listed) for listed in split.values()] == [5, 2000, 1]
    with pytest.raises(FileNotFoundError, match=r'2007 of the 2007.*adm_code'):
        lama_split(['face_a.png'], folder, subset=True)
    with pytest.raises(FileNotFoundError, match=r'train_shuffled\.flist'):
        lama_split(names, tmp_path)


def test_lists_that_are_not_lamas_are_refused(tmp_path):
    names = [f'{number}.png' for number in range(2010)]
    folder = lists(tmp_path / 'lists', list(range(2005)), [2004, 2006])
    with pytest.raises(ValueError, match='1 images are in both lists of LaMa'):
        lama_split(names, folder, subset=True)
    lists(folder, list(range(2005)), [2006, 2006])
    with pytest.raises(ValueError, match=r'val_shuffled\.flist has a name twice'):
        lama_split(names, folder)
    (folder / 'train_shuffled.flist').write_text('face_a.jpg\n')
    with pytest.raises(ValueError, match=r"train_.*flist has the name 'face_a'"):
        lama_split(names, folder)


def test_images_are_found_by_unique_numbers(tmp_path, capsys):
    folder = lists(tmp_path / 'lists', list(range(1, 2005)), [2005])
    names = [f'{number}.png' for number in range(1, 2010)]
    lama_split(names, folder)
    assert 'Neither 0 nor 30000' in capsys.readouterr().out
    with pytest.raises(ValueError, match=r'images of the number 7: 7\.png and 0007'):
        lama_split([*names, '0007.png'], folder)


def test_the_authors_split_takes_the_last_names():
    names = [f'{number:05d}.png' for number in range(30000)]
    split = adm_code_split(reversed(names))
    assert split['adm_code_train'] == names[:28000]
    assert split['adm_code_test'] == names[28000:]


# BSDS500


def boundaries_of(photo: np.ndarray) -> np.ndarray:
    return np.stack([photo[..., 0] > 120, photo[..., 0] > 160]).astype(np.uint8)


@pytest.fixture
def bsds500(tmp_path) -> Path:
    for part in ('train', 'val', 'test'):
        for i in range(2):
            photo = draw_photo(i, 40, 60)
            save(tmp_path / 'images' / part / f'{part}{i}.jpg', photo)
            edges = tmp_path / 'groundTruth' / part / f'{part}{i}.mat'
            write_boundaries(edges, boundaries_of(photo))
    return tmp_path


def test_edges_are_turned_mirrored_and_scaled_with_their_image(bsds500):
    counts = prepare_bsds500(bsds500, angles=4, scales=(0.5, 1), **SUBSET)
    assert counts == dict(train=2, val=2, test=2, augmented=4 * 4 * 2 * 2)
    images, edges = (
        {path.stem for path in (bsds500 / 'augmented' / kind).iterdir()}
        for kind in ('images', 'edges')
    )
    assert images == edges and len(images) == 64

    folder = bsds500 / 'augmented'
    edges = mean_map(boundaries_of(draw_photo(0, 40, 60)))
    for name, expected in (
        ('train0_000.0_1_0', edges),
        ('train0_000.0_1_1', edges[:, ::-1]),
        ('train0_090.0_1_0', np.rot90(edges)),
        ('train0_180.0_1_1', edges[::-1]),
    ):
        got = read_image(str(folder / 'edges' / f'{name}.png'), 'grayscale')
        assert np.array_equal(got, expected)
    small = read_image(str(folder / 'images' / 'val1_270.0_0.5_0.jpg'), 'color')
    photo = draw_photo(1, 40, 60)
    expected = resize(np.rot90(photo, 3).copy(), (30, 20), 'bilinear')
    assert np.abs(small.astype(int) - expected).mean() < 4  # two JPEGs apart


def test_missing_variants_are_made_again(bsds500):
    prepare_bsds500(bsds500, angles=3, scales=(1,), **SUBSET)
    before = files(bsds500 / 'augmented')
    lost = 'edges/val0_120.0_1_1.png'
    (bsds500 / 'augmented' / lost).unlink()
    prepare_bsds500(bsds500, angles=3, scales=(1,), **SUBSET)
    after = files(bsds500 / 'augmented')
    assert {name: data for name, (_, data) in after.items()} == {
        name: data for name, (_, data) in before.items()
    }
    same = [name for name in before if 'val0_120.0_1_1' not in name]
    assert all(after[name] == before[name] for name in same)
    with pytest.raises(ValueError, match=r"augmented was converted with \{'angles': 3"):
        prepare_bsds500(bsds500, angles=2, scales=(1,), **SUBSET)


@pytest.mark.parametrize('degrees', [10, 22.5, 45, 67.5, 112.5, 200, 292.5])
@pytest.mark.parametrize('size', [(321, 481), (481, 321), (50, 50), (20, 300)])
def test_rotated_images_have_no_empty_corner_and_are_as_large_as_can_be(size, degrees):
    height, width = inscribed(*size, math.radians(degrees))
    # A rectangle of (H, W) fits if its corners, turned back, lie in the image.
    sin, cos = (
        abs(math.sin(math.radians(degrees))),
        abs(math.cos(math.radians(degrees))),
    )

    def fits(h: float, w: float) -> bool:
        return (
            w * cos + h * sin <= size[1] + 1e-9 and w * sin + h * cos <= size[0] + 1e-9
        )

    assert fits(height, width)
    best = max(
        w * h
        for w in np.arange(1, 600)
        for h in [min((size[1] - w * cos) / sin, (size[0] - w * sin) / cos)]
        if h > 0
    )
    assert height * width >= best - height - width - 2

    white = rotated(np.full(size, 255, np.uint8), degrees)
    assert white.shape == (height, width)
    assert white[2:-2, 2:-2].min() == 255


def test_wrong_pairs_of_bsds500_are_named(bsds500):
    with pytest.raises(FileNotFoundError, match='has 2 of 200 images'):
        prepare_bsds500(bsds500)
    write_boundaries(
        bsds500 / 'groundTruth' / 'val' / 'val1.mat', np.zeros((2, 60, 40), np.uint8)
    )
    (bsds500 / 'groundTruth' / 'test' / 'test0.mat').write_bytes(b'not MATLAB')
    with pytest.raises(ValueError, match='2 pairs are wrong') as error:
        prepare_bsds500(bsds500, **SUBSET)
    assert 'val1.mat is (60, 40)' in str(error.value)
    assert 'test0.mat' in str(error.value)
    assert not (bsds500 / 'augmented').exists()
    (bsds500 / 'groundTruth' / 'val' / 'val1.mat').unlink()
    with pytest.raises(ValueError, match=r'no partner: val1'):
        prepare_bsds500(bsds500, **SUBSET)


def test_pairs_of_changed_ground_truth_are_refused_by_name(bsds500):
    options = dict(angles=1, scales=(1,), **SUBSET)
    prepare_bsds500(bsds500, **options)
    edges = np.ones((2, 40, 60), np.uint8)
    write_boundaries(bsds500 / 'groundTruth' / 'val' / 'val1.mat', edges)
    with pytest.raises(ValueError, match=r'4 images whose sources .*val1_000\.0_1_0'):
        prepare_bsds500(bsds500, **options)


def test_images_of_one_name_in_train_and_val_are_refused(bsds500):
    for kind, suffix in (('images', 'jpg'), ('groundTruth', 'mat')):
        folder = bsds500 / kind / 'val'
        (folder / f'val1.{suffix}').rename(folder / f'train1.{suffix}')
    with pytest.raises(ValueError, match=r'Two images of one name: .*train1'):
        prepare_bsds500(bsds500, **SUBSET)


@pytest.mark.parametrize(
    'options',
    [
        dict(angles=0),
        dict(angles=10**9),
        dict(scales=()),
        dict(scales=(1, float('nan'))),
        dict(scales=(float('inf'),)),
        dict(scales=(1, 1.0)),
        dict(scales=(-1,)),
    ],
)
def test_impossible_angles_and_scales_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match=r'are not possible. Give 1 to 3600 angles'):
        prepare_bsds500(tmp_path, **options)


def test_real_releases_pass(data_root):
    counts = prepare_bsds500(data_root / 'BSDS500/data', check_only=True)
    assert counts == dict(train=200, val=100, test=200)


# The tools


def tool(monkeypatch, name: str, *args: object) -> int:
    """Run a script in this process; its exit code."""
    path = ROOT / 'tools' / 'dataset_converters' / f'{name}.py'
    monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
    try:
        runpy.run_path(str(path), run_name='__main__')
    except SystemExit as end:
        return end.code or 0
    return 0


def test_the_tools_report_counts(monkeypatch, capsys, div2k):
    options = ('--subset', '--size', 32, '--stride', 16)
    assert tool(monkeypatch, 'div2k', div2k, *options) == 0
    assert 'sub-images: 24' in capsys.readouterr().out
    assert tool(monkeypatch, 'div2k', div2k) == 1
    assert 'Error: ' in (message := capsys.readouterr().err)
    assert '2 of 800' in message and 'Traceback' not in message


def test_pairs_are_checked_by_their_tools(monkeypatch, capsys, tmp_path, duts, bsds500):
    assert tool(monkeypatch, 'duts', duts, '--subset', '--fast') == 0
    assert 'DUTS-TE: 3 pairs, sizes checked' in capsys.readouterr().out
    assert tool(monkeypatch, 'bsds500', bsds500, '--subset', '--check-only') == 0
    assert 'val: 2' in capsys.readouterr().out
    assert not (bsds500 / 'augmented').exists()


@pytest.mark.parametrize(
    'name, options, message',
    [
        ('celeba_hq', ['--size', 0], 'size=0 is not possible. Give at least 1'),
        ('celeba_hq', ['--num-workers', -1], 'num_workers=-1 is not possible'),
        ('div2k', ['--stride', 0], r'Give 0 < --stride <= --size'),
        ('bsds500', ['--scales', 'nan'], 'are not possible'),
    ],
)
def test_impossible_numbers_are_refused_by_the_tools(
    monkeypatch, capsys, faces, tmp_path, name, options, message
):
    out = ['--out', tmp_path / 'out'] if name == 'celeba_hq' else []
    assert tool(monkeypatch, name, faces, '--subset', *out, *options) == 1
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error


def test_faces_splits_and_masks_go_together(monkeypatch, capsys, faces, tmp_path):
    out = tmp_path / 'out'
    options = ['--out', out, '--size', 32, '--subset', '--split']
    assert tool(monkeypatch, 'celeba_hq', faces, *options, 'lama') == 1
    assert '--lists is missing' in capsys.readouterr().err
    assert tool(monkeypatch, 'celeba_hq', faces, *options, 'adm_code') == 1
    assert not out.exists()
    assert (
        tool(monkeypatch, 'celeba_hq', faces, *options, 'adm_code', '--num-test', 4)
        == 0
    )
    listed = out / 'splits' / 'adm_code_test.txt'
    assert listed.read_text().split() == [f'{i:05d}.png' for i in range(8, 12)]

    masks = out / 'masks.json'
    args = [masks, '--names', listed, '--size', 32, 32]
    assert tool(monkeypatch, 'inpainting_masks', *args, '--kind', 'free_form') == 0
    printed = capsys.readouterr().out
    assert f'sha256 {json.loads(masks.read_text())["info"]["sha256"]}' in printed
    hidden = np.mean([decode(entry).mean() for entry in read_masks(masks).values()])
    assert f'They hide {hidden:.1%}' in printed
    assert sorted(read_masks(masks)) == [f'{i:05d}' for i in range(8, 12)]
    assert tool(monkeypatch, 'inpainting_masks', *args, '--check-only') == 0
    assert tool(monkeypatch, 'inpainting_masks', *args, '--from-masks', faces) == 1
    assert '--hole is missing' in capsys.readouterr().err
    for option in (['--size', 0, 32], ['--seed', -1], ['--max-hole', 'nan']):
        assert tool(monkeypatch, 'inpainting_masks', *args, *option) == 1
        assert 'Give' in capsys.readouterr().err
    annotations = tmp_path / 'annotations.json'
    annotations.write_text('{"images": []}')
    args[0] = annotations
    assert tool(monkeypatch, 'inpainting_masks', *args) == 1
    assert 'is not a file of test masks' in capsys.readouterr().err
    assert annotations.read_text() == '{"images": []}'
