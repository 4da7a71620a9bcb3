"""The reader of image files: what it accepts, converts and refuses."""

import io
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mmadm.utils import images
from mmadm.utils.images import (
    BrokenImageError,
    read_grey,
    read_image,
    read_map,
    read_mask,
    read_size,
)
from tests.conftest import ROOT, draw_photo

READERS = [
    lambda path: read_image(path, 'color'),
    lambda path: read_image(path, 'grayscale'),
    read_grey,
    read_map,
    read_mask,
]
#: Colours of VOC's palette.
VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0, *[200] * 252 * 3, 224, 224, 192]


def hole(value: int = 1) -> np.ndarray:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, 10:25] = value
    return mask


def palette(indices: np.ndarray, colours: list[int] = VOC) -> Image.Image:
    image = Image.fromarray(indices, 'L').convert('P')
    image.putdata(indices.ravel())
    image.putpalette(colours)
    return image


def rgba(colour: tuple, alpha: np.ndarray) -> Image.Image:
    array = np.empty((*alpha.shape, 4), np.uint8)
    array[..., :3], array[..., 3] = colour, alpha
    return Image.fromarray(array)


# Transparency


def test_transparent_pixels_are_composited_on_white(tmp_path):
    photo, alpha = draw_photo(0, 20, 30), hole(255)
    hidden = np.dstack([photo, alpha])
    Image.fromarray(hidden).save(tmp_path / 'a.png')
    expected = np.where(alpha[..., None] > 0, photo, 255)
    assert np.array_equal(read_image(tmp_path / 'a.png', 'color'), expected)
    assert (read_image(tmp_path / 'a.png', 'grayscale')[alpha == 0] == 255).all()

    hidden[..., 3] = 255
    Image.fromarray(hidden).save(tmp_path / 'a.png')
    assert np.array_equal(read_image(tmp_path / 'a.png', 'color'), photo)


@pytest.mark.parametrize('mode', ['L', 'P', 'RGB'])
def test_a_transparent_colour_is_white(tmp_path, mode):
    grey = hole(200)
    image = palette(hole(2)) if mode == 'P' else Image.fromarray(grey).convert(mode)
    clear = {'L': 0, 'P': 0, 'RGB': (0, 0, 0)}[mode]
    image.save(tmp_path / 'a.png', transparency=clear)
    assert (read_image(tmp_path / 'a.png', 'color')[grey == 0] == 255).all()


@pytest.mark.parametrize('colour', [(255, 255, 255), (255, 0, 0), (0, 0, 0)])
def test_strokes_on_a_transparent_layer_are_the_mask(tmp_path, colour):
    rgba(colour, hole(255)).save(tmp_path / 'a.png')
    assert np.array_equal(read_mask(tmp_path / 'a.png'), hole() > 0)
    assert np.array_equal(read_map(tmp_path / 'a.png'), hole(255))


def test_strokes_in_two_colours_are_the_mask_and_a_photo_with_a_hole_is_none(tmp_path):
    """In one convention the hole of a photo is transparent, here it is opaque."""
    layer = np.zeros((20, 30, 4), np.uint8)
    layer[2:5] = (250, 10, 10, 255)
    layer[9:12] = (10, 10, 250, 255)
    layer[12] = (12, 9, 250, 140)  # the soft border of a brush
    layer[13] = (3, 90, 250, 20)
    Image.fromarray(layer).save(tmp_path / 'a.png')
    assert np.array_equal(read_mask(tmp_path / 'a.png'), layer[..., 3] > 127)
    Image.fromarray(np.dstack([draw_photo(0, 20, 30), hole(255)])).save(
        tmp_path / 'a.png'
    )
    with pytest.raises(BrokenImageError, match='Map in colours'):
        read_mask(tmp_path / 'a.png')


def test_transparent_pixels_of_a_map_count_as_nothing(tmp_path):
    white = hole(255)
    two = np.dstack([*[np.where(np.arange(30) < 15, 255, 0) + 0 * white] * 3, white])
    Image.fromarray(two.astype(np.uint8)).save(tmp_path / 'two.png')
    expected = (white > 0) & (np.arange(30) < 15)
    assert np.array_equal(read_mask(tmp_path / 'two.png'), expected)


# Values of masks and maps


@pytest.mark.parametrize(
    'image',
    [
        Image.fromarray(hole(1)),
        Image.fromarray(hole(255)),
        Image.fromarray(hole(255)).convert('1'),
        Image.fromarray(hole(255)).convert('RGB'),
        palette(hole(1)),
        palette(hole(255)),
        palette(hole(1), [0, 0, 0, 255, 255, 255]),
        palette(hole(1), [0, 0, 0, 1, 1, 1]),
    ],
    ids=['0 1', '0 255', 'bit', 'rgb', 'voc', 'void', 'grey palette', 'dark palette'],
)
def test_masks_of_two_values_are_read_alike(tmp_path, image):
    image.save(tmp_path / 'a.png')
    assert np.array_equal(read_mask(tmp_path / 'a.png'), hole() > 0)
    assert np.array_equal(read_map(tmp_path / 'a.png'), hole(255))


def test_soft_edges_and_jpeg_are_thresholded(tmp_path):
    soft = cv2.GaussianBlur(hole(255), (3, 3), 0)
    Image.fromarray(soft).save(tmp_path / 'a.png')
    Image.fromarray(hole(255)).save(tmp_path / 'a.jpg')
    assert np.array_equal(read_mask(tmp_path / 'a.png'), soft > 127)
    assert np.array_equal(read_mask(tmp_path / 'a.jpg'), hole() > 0)
    assert np.array_equal(read_map(tmp_path / 'a.png'), soft)


@pytest.mark.parametrize('value', [0, 255])
def test_an_empty_or_full_mask_is_read(tmp_path, value):
    Image.new('L', (8, 8), value).save(tmp_path / 'a.png')
    assert (read_mask(tmp_path / 'a.png') == (value > 0)).all()


@pytest.mark.parametrize(
    'image, message',
    [
        (Image.fromarray(hole(128)), '2 values from 0 to 128'),
        (Image.fromarray(hole(255) // 2 + 100), 'from 100 to 227'),
        (Image.fromarray(np.arange(20, dtype=np.uint8)[:, None]), '20 values'),
        (Image.fromarray(np.uint8([[0, 1, 2, 15, 255]])), '5 values'),
        (Image.fromarray(draw_photo(0)), 'Map in colours'),
        (palette(np.uint8([[0, 1, 2, 255]])), r'palette indices \[0, 1, 2, 255\]'),
        (palette(hole(2)), r'palette indices \[0, 2\]'),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, image, message):
    image.save(tmp_path / 'a.png')
    with pytest.raises(BrokenImageError, match=rf'{message}.*'):
        read_mask(tmp_path / 'a.png')
    with pytest.raises(BrokenImageError, match=r'a\.png'):
        read_mask(tmp_path / 'a.png')


def test_a_pure_red_map_is_refused_and_a_dark_prediction_keeps_its_values(tmp_path):
    red = np.zeros((20, 30, 3), np.uint8)
    red[..., 0] = hole(255)
    Image.fromarray(red).save(tmp_path / 'red.png')
    for read in (read_grey, read_map, read_mask):
        with pytest.raises(BrokenImageError, match=r'colours.*red\.png.*8-bit grey'):
            read(tmp_path / 'red.png')
    Image.fromarray(hole(1)).save(tmp_path / 'dark.png')
    assert np.array_equal(read_grey(tmp_path / 'dark.png'), hole(1))


# Depth, frames, size


def png_with(path, *chunks: bytes) -> None:
    """A small PNG with further chunks (type and content) after its header."""
    data = io.BytesIO()
    Image.fromarray(draw_photo(0, 8, 8)).save(data, 'PNG')
    whole = data.getvalue()
    inserted = b''.join(
        struct.pack('>I', len(chunk) - 4) + chunk + struct.pack('>I', zlib.crc32(chunk))
        for chunk in chunks
    )
    path.write_bytes(whole[:33] + inserted + whole[33:])


@pytest.mark.parametrize('channels', [1, 3])
def test_sixteen_bits_in_a_ppm_are_refused(tmp_path, channels):
    suffix = 'pgm' if channels == 1 else 'ppm'
    deep = np.full((8, 8, channels), 40000, np.uint16)
    cv2.imwrite(str(tmp_path / f'a.{suffix}'), deep)
    for read in READERS:
        with pytest.raises(BrokenImageError, match='more than 8 bits'):
            read(tmp_path / f'a.{suffix}')


def test_plain_text_formats_are_read(tmp_path):
    (tmp_path / 'a.pbm').write_text('P1 3 1 0 1 0')  # 1 is black
    (tmp_path / 'a.ppm').write_text('P3 1 1 255 7 8 9')
    (tmp_path / 'a.pgm').write_text('P2 2 1 15 0 15')
    assert read_mask(tmp_path / 'a.pbm').tolist() == [[True, False, True]]
    assert read_image(tmp_path / 'a.ppm', 'color').tolist() == [[[7, 8, 9]]]
    assert read_grey(tmp_path / 'a.pgm').tolist() == [[0, 255]]


def test_a_bitmap_of_565_bits_is_read(tmp_path):
    pixels = np.full((4, 4), 0b11111_000000_00000, '<u2').tobytes()
    info = struct.pack('<IiiHHIIiiII', 40, 4, 4, 1, 16, 3, len(pixels), 0, 0, 0, 0)
    masks = struct.pack('<III', 0xF800, 0x07E0, 0x001F)
    head = b'BM' + struct.pack('<IHHI', 66 + len(pixels), 0, 0, 66)
    (tmp_path / 'a.bmp').write_bytes(head + info + masks + pixels)
    assert (read_image(tmp_path / 'a.bmp', 'color') == (255, 0, 0)).all()


@pytest.mark.parametrize('suffix', ['png', 'webp', 'tif'])
def test_several_frames_or_pages_are_refused(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    frames = [Image.fromarray(draw_photo(i, 8, 8)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    for read in READERS:
        with pytest.raises(BrokenImageError, match=r'3 frames or pages: .*a\.'):
            read(path)


def test_the_previews_of_a_phone_are_left_out(tmp_path):
    frames = [Image.fromarray(draw_photo(i, 16, 16)) for i in range(2)]
    frames[0].save(tmp_path / 'a.jpg', 'MPO', save_all=True, append_images=frames[1:])
    image = read_image(tmp_path / 'a.jpg', 'color')
    assert np.abs(image.astype(int) - draw_photo(0, 16, 16)).mean() < 10


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    ihdr = struct.pack('>IIBBBBB', 12000, 12000, 8, 2, 0, 0, 0)
    chunks = (b'IHDR' + ihdr, b'IDAT' + zlib.compress(b'\0' * 1000), b'IEND')
    data = b''.join(
        struct.pack('>I', len(c) - 4) + c + struct.pack('>I', zlib.crc32(c))
        for c in chunks
    )
    (tmp_path / 'a.png').write_bytes(b'\x89PNG\r\n\x1a\n' + data)
    for read in (*READERS, read_size):
        with (
            pytest.raises(BrokenImageError, match=r'a\.png.*12000 x 12000'),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter('ignore')
            read(tmp_path / 'a.png')


# Metadata


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('suffix', ['png', 'tif', 'webp'])
def test_the_orientation_of_exif_is_applied(tmp_path, orientation, suffix):
    photo = draw_photo(0, 8, 12)
    exif = Image.Exif()
    exif[0x112] = orientation
    options = dict(lossless=True) if suffix == 'webp' else {}
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(photo).save(path, exif=exif, **options)
    upright = np.rot90(photo, {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0))
    if orientation in (2, 4, 5, 7):
        upright = upright[:, ::-1]
    assert np.array_equal(read_image(path, 'color'), upright)
    assert read_size(path) == upright.shape[:2]


@pytest.mark.parametrize(
    'tag, kind, count, value',
    [
        (0x128, 5, 1, 26),  # ResolutionUnit as RATIONAL
        (0x11A, 2, 4, 0x41424344),  # XResolution as text
        (0x11A, 5, 3, 26),
        (0x132, 12, 9, 2**31),
        (0x8769, 2, 4, 0),  # a sub-directory as text
        (0x8769, 4, 1, 8),  # a sub-directory that contains itself
        (0x10F, 99, 1, 0),
    ],
)
def test_odd_metadata_do_not_end_the_reading(tmp_path, tag, kind, count, value):
    entries = [(0x112, 3, 1, 6), (tag, kind, count, value)]
    packed = b''.join(struct.pack('<HHII', *entry) for entry in sorted(entries))
    exif = b'Exif\0\0II*\0\x08\0\0\0' + struct.pack('<H', 2) + packed + bytes(4)
    photo = draw_photo(0, 8, 16)
    Image.fromarray(photo).save(tmp_path / 'a.jpg', exif=exif)
    assert read_image(tmp_path / 'a.jpg', 'color').shape == (16, 8, 3)


@pytest.mark.parametrize('kind', ['text', 'profile'])
def test_metadata_that_unpack_to_megabytes_are_refused_by_name(tmp_path, kind):
    bomb = zlib.compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK + 1000))
    name = b'zTXtComment' if kind == 'text' else b'iCCPicc'
    png_with(tmp_path / 'a.png', name + b'\0\0' + bomb)
    with pytest.raises(BrokenImageError, match=r'Broken image file: .*a\.png'):
        read_image(tmp_path / 'a.png', 'color')


# Corrupted files


def seeds() -> list[tuple[str, bytes]]:
    """Small files of all formats and many kinds."""
    photo = Image.fromarray(draw_photo(0, 16, 20))
    exif = Image.Exif()
    exif[0x112], exif[0x10F], exif[0x11A] = 6, 'maker', 72.0
    more = [photo, photo.rotate(90)]
    files = []
    for suffix, image, options in [
        ('png', photo, dict(exif=exif)),
        ('png', photo.convert('P'), dict(transparency=3)),
        ('png', photo.convert('RGBA'), {}),
        ('png', photo, dict(save_all=True, append_images=more)),
        ('jpeg', photo, dict(exif=exif)),
        ('jpeg', photo.convert('CMYK'), dict(progressive=True)),
        ('bmp', photo, {}),
        ('bmp', photo.convert('P'), {}),
        ('webp', photo, dict(exif=exif)),
        ('webp', photo, dict(save_all=True, append_images=more)),
        ('tiff', photo, dict(exif=exif)),
        ('tiff', photo, dict(compression='tiff_lzw')),
        ('tiff', photo.convert('1'), dict(compression='group4')),
        ('ppm', photo, {}),
        ('ppm', photo.convert('1'), {}),
    ]:
        data = io.BytesIO()
        image.save(data, suffix, **options)
        files.append((suffix, data.getvalue()))
    files.append(('ppm', b'P3 2 2 255\n' + b'1 2 3 ' * 4))
    return files


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Flipped, inserted, removed and repeated bytes, mostly near the header."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        reach = len(out) if rng.random() < 0.3 else min(len(out), 160)
        place, kind = int(rng.integers(max(reach, 1))), rng.integers(5)
        length = int(rng.integers(1, 9))
        if kind == 0:
            out[place : place + 1] = bytes([rng.integers(256)])
        elif kind == 1:
            out[place : place + length] = rng.bytes(length)
        elif kind == 2:
            del out[place : place + length]
        elif kind == 3:
            out[place:place] = out[place : place + length] * int(rng.integers(1, 4))
        else:
            del out[place + 8 :]
    return bytes(out)


def with_right_sums(data: bytes) -> bytes:
    """A PNG whose chunks have right check sums: decoders look further into it."""
    out, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        (length,) = struct.unpack('>I', data[place : place + 4])
        body = data[place + 4 : place + 8 + length]
        out += data[place : place + 4] + body + struct.pack('>I', zlib.crc32(body))
        place += 12 + length
    return bytes(out)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('number', range(len(seeds())))
def test_a_mutated_file_is_read_or_refused_by_name(tmp_path, number, monkeypatch):
    """No other error than BrokenImageError, whatever the bytes are."""
    monkeypatch.setattr(images, 'MAX_PIXELS', 10**6)  # for the speed of the test
    suffix, data = seeds()[number]
    path = tmp_path / f'mutated.{suffix}'
    rng = np.random.default_rng(number)
    refused = 0
    for _ in range(150):
        broken = mutated(data, rng)
        if suffix == 'png' and rng.random() < 0.7:
            broken = with_right_sums(broken)
        path.write_bytes(broken)
        for read in (READERS[0], read_mask, read_size):
            try:
                array = read(path)
            except BrokenImageError as error:
                assert str(path) in str(error)
                refused += 1
            else:
                assert isinstance(array, tuple) or array.dtype in (np.uint8, bool)
    assert refused


def test_every_error_of_a_decoder_names_the_file(tmp_path, monkeypatch):
    Image.fromarray(draw_photo(0)).save(tmp_path / 'a.png')
    for error in (TypeError, KeyError, MemoryError, RecursionError, struct.error):

        def fail(*_, error=error):
            raise error('from inside')

        monkeypatch.setattr(PngImagePlugin.PngImageFile, 'load', fail)
        with pytest.raises(BrokenImageError, match=r'a\.png \(.*from inside'):
            read_image(tmp_path / 'a.png', 'color')


def test_no_other_code_reads_image_files():
    """What the reader refuses must not come in elsewhere."""
    calls = ('Image.open(', 'imread(', 'imdecode(', 'imfrombytes(')
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in ('mmadm', 'tools', 'demo')
        for path in (ROOT / folder).rglob('*.py')
        if any(call in path.read_text() for call in calls)
    }
    assert found == {'mmadm/utils/images.py'}
