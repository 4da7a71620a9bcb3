"""The reader of .mat files equals SciPy on sound files and survives all others."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from mmadm.utils.bsds import read_boundaries
from mmadm.utils.mat_file import read_variable


def mat_file(compressed: bool, **variables) -> bytes:
    stream = io.BytesIO()
    savemat(stream, variables, do_compression=compressed)
    return stream.getvalue()


def cell(*values) -> np.ndarray:
    array = np.empty((1, len(values)), object)
    for index, value in enumerate(values):
        array[0, index] = value
    return array


def boundaries_file(compressed: bool, maps: np.ndarray) -> bytes:
    structs = [dict(Segmentation=map_.astype('u2'), Boundaries=map_) for map_ in maps]
    return mat_file(compressed, groundTruth=cell(*structs))


ARRAYS = [
    *(np.arange(6).reshape(2, 3).astype(kind) for kind in ('f8', 'f4', 'i1', 'u1')),
    *(np.arange(-3, 5).reshape(2, 2, 2).astype(k) for k in ('i2', 'i4', 'i8')),
    *(np.full((1, 1), 250, kind) for kind in ('u2', 'u4', 'u8')),
    np.array([[True, False], [False, False], [True, True]]),
    np.array([[0.25, np.inf]]),
    np.empty((0, 3)),
]


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('array', ARRAYS, ids=lambda x: f'{x.dtype}{x.shape}')
def test_arrays_are_read_as_by_scipy(tmp_path, array, compressed):
    path = tmp_path / 'a.mat'
    path.write_bytes(mat_file(compressed, other='text', x=array, c=cell(array, 1)))
    expected = loadmat(path)
    for found in (read_variable(path, 'x'), read_variable(path, 'c')[0, 0]):
        np.testing.assert_array_equal(found, expected['x'])
        assert found.dtype == expected['x'].dtype


def test_cells_and_structs_keep_shape_names_and_order(tmp_path):
    path = tmp_path / 'a.mat'
    inner = dict(name='text', map=np.eye(2), long_name=cell(1.0, cell(2.0)))
    path.write_bytes(mat_file(True, s=inner, c=cell(inner, np.ones(3), cell())))
    struct_ = read_variable(path, 's').item()
    assert list(struct_) == ['name', 'map', 'long_name']
    assert struct_['name'] is None  # text is not supported
    assert (struct_['map'] == np.eye(2)).all()
    assert struct_['long_name'][0, 1][0, 0] == 2
    found = read_variable(path, 'c')
    assert found.shape == (1, 3) and found[0, 2].size == 0
    assert found[0, 0].item().keys() == inner.keys()


def test_big_endian_files_are_read(tmp_path):
    def element(kind: int, content: bytes) -> bytes:
        return (
            struct.pack('>II', kind, len(content)) + content + bytes(-len(content) % 8)
        )

    parts = (
        element(6, struct.pack('>II', 11, 0)),  # an array of uint16
        element(5, struct.pack('>ii', 1, 2)),
        struct.pack('>I4s', 1 << 16 | 1, b'x'),  # the short form of an element
        element(4, struct.pack('>HH', 258, 3)),
    )
    header = b' ' * 124 + struct.pack('>H', 0x0100) + b'MI'
    (tmp_path / 'a.mat').write_bytes(header + element(14, b''.join(parts)))
    assert read_variable(tmp_path / 'a.mat', 'x').tolist() == [[258, 3]]


def test_all_annotators_of_bsds500_are_read_as_by_scipy(data_root):
    paths = sorted((data_root / 'BSDS500/data/groundTruth').rglob('*.mat'))
    assert len(paths) == 500
    for path in paths:
        cells = loadmat(path)['groundTruth'].flat
        expected = np.stack([cell['Boundaries'][0, 0] for cell in cells])
        np.testing.assert_array_equal(read_boundaries(path), expected)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes or numbers changed, removed or put in, behind the header's text."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place, number = int(rng.integers(124, len(data))), rng.integers(4)
        if number == 0:
            data[place] = rng.integers(256)
        elif number == 1:
            value = rng.choice([0, 1, 5, 14, 15, 10**6, 2**31 - 1, 2**31, 2**32 - 1])
            place -= place % 4
            data[place : place + 4] = struct.pack('<I', int(value))
        elif number == 2:
            data[place : place + 8] = b''
        else:
            data[place:place] = rng.bytes(8)
    return bytes(data)


def test_damaged_files_end_in_an_error_that_names_them(tmp_path):
    rng = np.random.default_rng(0)
    path, maps = tmp_path / 'damaged.mat', rng.random((3, 6, 5)) > 0.5
    plain = boundaries_file(False, maps)
    errors = 0
    for trial in range(1500):
        data = mutated(plain, rng)
        if trial % 2:  # damage within what is compressed
            packed = zlib.compress(data[128:])
            data = data[:128] + struct.pack('<II', 15, len(packed)) + packed
        path.write_bytes(data)
        try:
            assert read_boundaries(path).dtype == np.uint8
        except ValueError as error:
            errors += 1
            assert str(path) in str(error) and 'unpack the release' in str(error)
    assert errors > 1000


@pytest.mark.parametrize('compressed', [False, True])
def test_files_that_end_early_are_refused_wherever_they_end(tmp_path, compressed):
    content = boundaries_file(compressed, np.ones((2, 6, 5), bool))
    path = tmp_path / 'a.mat'
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r'No ground truth of BSDS500: .*a\.mat'):
            read_boundaries(path)


def compressed_file(body: bytes) -> bytes:
    header = mat_file(False)[:128]
    packed = zlib.compress(body, 9)
    return header + struct.pack('<II', 15, len(packed)) + packed


def nested(depth: int) -> bytes:
    inner = b''
    for _ in range(depth):
        head = struct.pack('<IIII', 6, 8, 1, 0) + struct.pack('<IIii', 5, 8, 1, 1)
        inner = (
            head + struct.pack('<II', 1, 0) + struct.pack('<II', 14, len(inner)) + inner
        )
    return struct.pack('<II', 14, len(inner)) + inner


WIDE = (
    struct.pack('<IIII', 6, 8, 1, 0)
    + struct.pack('<IIii', 5, 8, 1, 2**31 - 1)
    + struct.pack('<II', 1, 0)
)


@pytest.mark.parametrize(
    'body, message',
    [
        (bytes(2**28 + 1), 'more than 256 MiB'),
        (nested(200), 'within each other'),
        (struct.pack('<II', 14, len(WIDE)) + WIDE, 'shape [1, 2147483647]'),
    ],
    ids=['bomb', 'nested', 'wide'],
)
def test_small_files_cannot_take_much_memory_or_depth(tmp_path, body, message):
    path = tmp_path / 'a.mat'
    path.write_bytes(compressed_file(body))
    assert path.stat().st_size < 300_000
    with pytest.raises(ValueError, match=message.replace('[', r'\[')):
        read_variable(path, '')


def test_other_formats_are_named(tmp_path: Path):
    path = tmp_path / 'a.mat'
    savemat(path, dict(x=np.ones(3)), format='4')
    with pytest.raises(ValueError, match='not a MATLAB file of level 5'):
        read_variable(path, 'x')
    path.write_bytes(b'MATLAB 7.3 MAT-file'.ljust(124) + b'\x00\x02IM' + bytes(400))
    with pytest.raises(ValueError, match=r'version 0x0200 .*-v7'):
        read_variable(path, 'x')
    path.write_bytes(mat_file(True, y=1, z=2))
    with pytest.raises(ValueError, match=r"no variable 'x', only \['y', 'z'\]"):
        read_variable(path, 'x')
