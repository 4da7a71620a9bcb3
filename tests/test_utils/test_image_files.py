"""Listing image files, and pairing them by name."""

import pytest

from mmadm.utils.image_files import (
    file_name,
    list_images,
    name_files,
    pair_by_name,
    pair_folders,
)


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def listed(folder) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in list_images(folder)]


def paired(images: list[str], partners: list[str], **options) -> dict[str, str]:
    pairs = pair_by_name(
        dict.fromkeys(images), {p: p for p in partners}, 'in', 'masks', **options
    )
    assert list(pairs) == images
    return {name: partner for name, (_, partner) in pairs.items()}


def test_what_systems_leave_in_folders_does_not_count(tmp_path):
    make(tmp_path, 'b.png', 'a/c.JPG', 'a/notes.txt', 'Thumbs.db', 'a/.DS_Store')
    make(tmp_path, '.ipynb_checkpoints/b.png', '@eaDir/b.png', '__MACOSX/._b.png')
    make(tmp_path, '._b.png', '.hidden.png', 'a/.thumbs/c.jpg')
    assert listed(tmp_path) == ['a/c.JPG', 'b.png']


def test_a_hidden_folder_that_was_named_is_listed(tmp_path):
    assert listed(make(tmp_path / '.cache' / 'faces', 'a.png')) == ['a.png']


def test_linked_folders_are_followed_but_loops_are_not(tmp_path):
    data, other = make(tmp_path / 'data', 'a.png'), make(tmp_path / 'other', 'b.png')
    (data / 'linked').symlink_to(other)
    (data / 'again').symlink_to(other)
    (other / 'back').symlink_to(data)
    (data / 'self').symlink_to(data)
    assert listed(data) == ['a.png', 'again/b.png', 'linked/b.png']


def test_a_dangling_link_is_listed_and_a_folder_with_a_suffix_is_not(tmp_path):
    """What the list left out would be lost without a message."""
    make(tmp_path, 'folder.png/a.png')
    (tmp_path / 'b.png').symlink_to(tmp_path / 'nowhere.png')
    assert listed(tmp_path) == ['b.png', 'folder.png/a.png']


@pytest.mark.parametrize('affix', ['_mask', '-gt', '.jpg', ' (mask)', '_seg_map'])
def test_a_common_suffix_of_all_partners_is_recognised(affix):
    names = [str(i) for i in range(1, 11)]
    masks = sorted(name + affix for name in names)  # 10 comes before 1 or after it
    assert paired(names, masks) == {name: name + affix for name in names}


def test_a_common_prefix_and_affixes_of_the_images_are_recognised():
    assert paired(['d/1', 'd/2'], ['d/mask_2', 'd/mask_1']) == {
        'd/1': 'd/mask_1',
        'd/2': 'd/mask_2',
    }
    assert paired(['1_pred', '2_pred'], ['1', '2']) == {'1_pred': '1', '2_pred': '2'}


def test_equal_names_in_several_folders_are_kept_apart():
    names = ['a/0', 'b/0', 'b/1']
    assert paired(names, ['b/1', 'b/0', 'a/0']) == {name: name for name in names}


@pytest.mark.parametrize(
    'images, partners, missing',
    [
        ('abcde', 'acde', 'in have no partner: b'),
        ('acde', 'abcde', 'masks have no partner: b'),
        (['1', '2', '3'], ['1_mask', '3_mask'], 'in have no partner: 2'),
        (['1', '2'], ['1', '2_mask'], 'in have no partner: 2'),
        (['1'], ['1_2'], 'in have no partner: 1'),  # a number is no affix
        (['train_1'], ['val_1'], 'in have no partner: train_1'),
        (['a/0', 'b/0'], ['0'], 'in have no partner: a/0, b/0'),
        (list('abcdefgh'), ['x'], 'a, b, c, d, e and 3 more'),
        (['a'], ['amask'], 'no partner: a'),  # not set off by a sign
    ],
)
def test_all_are_paired_or_none(images, partners, missing):
    with pytest.raises(ValueError, match=rf'{missing}\. .*Rename or remove'):
        paired(list(images), list(partners))


def test_more_partners_are_allowed_on_request():
    assert paired(['b'], ['a', 'b', 'c'], allow_extra=True) == {'b': 'b'}
    masks = ['a_mask', 'b_mask', 'c_mask']
    assert paired(['b'], masks, allow_extra=True) == {'b': 'b_mask'}
    with pytest.raises(ValueError, match='no partner: d'):
        paired(['d', 'a'], masks, allow_extra=True)


def test_folders_are_paired_by_path_without_suffix(tmp_path):
    images = make(tmp_path / 'in', 'a/0.jpg', 'b/0.jpg', 'v1.0.jpg')
    masks = make(tmp_path / 'masks', 'b/0_m.png', 'a/0_m.png', 'v1.0_m.png')
    pairs = pair_folders(images, masks)
    assert {k: (a.suffix, file_name(masks, b)) for k, (a, b) in pairs.items()} == {
        'a/0': ('.jpg', 'a/0_m'),
        'b/0': ('.jpg', 'b/0_m'),
        'v1.0': ('.jpg', 'v1.0_m'),
    }
    make(images, 'a/0.png')
    with pytest.raises(ValueError, match=r'Two files of one name: .*0\.jpg.*0\.png'):
        name_files(images, list_images(images))
