"""Reader of MATLAB level 5 files, for the part of the format that BSDS500 uses.

Numeric and logical arrays, cells and structs, compressed by zlib or not. SciPy reads
more of the format, but a damaged file of 2,000 bytes can crash the process in it. Here
every read stays within the bytes of the file, and memory and time are limited.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT = 1, 2
_COMPLEX = 0x800
#: NumPy types of stored data, by the type of an element.
_STORED = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8'}
_STORED |= {12: 'i8', 13: 'u8'}
#: NumPy types of arrays, by MATLAB's class.
_ARRAYS = {6: 'f8', 7: 'f4', 8: 'i1', 9: 'u1', 10: 'i2', 11: 'u2', 12: 'i4', 13: 'u4'}
_ARRAYS |= {14: 'i8', 15: 'u8'}
_MAX_BYTES = 2**28
_MAX_ARRAYS = 10_000
_MAX_DEPTH = 8


def read_variable(path: str | Path, name: str) -> Any:
    """One variable of a ``.mat`` file.

    Args:
        path: the file.
        name: of the variable.

    Returns:
        a numeric array; a cell as an object array of its contents; a struct array as
        an object array of dicts; None for what this reader does not support (text,
        sparse and complex arrays, objects).

    Raises:
        ValueError: the file is damaged, too large, of another format, or has no such
            variable. The message does not name the file.
    """
    path = Path(path)
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f'more than {_MAX_BYTES >> 20} MiB')
    try:
        return _Parser(path.read_bytes()).variable(name)
    except (struct.error, zlib.error) as error:
        raise ValueError(f'damaged file: {error}') from error


class _Parser:
    """The content of one file, with what is left of the limits."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.bytes_left = _MAX_BYTES
        self.arrays_left = _MAX_ARRAYS
        mark = content[126:_HEADER]
        if mark not in (b'IM', b'MI'):
            raise ValueError('not a MATLAB file of level 5')
        self.order = '<' if mark == b'IM' else '>'
        (version,) = struct.unpack_from(f'{self.order}H', content, 124)
        if version != 0x0100:
            raise ValueError(
                f'version {version:#06x} instead of 0x0100 (save with -v7)'
            )

    def variable(self, name: str) -> Any:
        found = []
        for kind, data in self.elements(memoryview(self.content)[_HEADER:]):
            if kind == _COMPRESSED:
                kind, data = _next(self.elements(self.decompress(data)))
            if kind != _MATRIX:
                continue
            found.append(self.name(data))
            if found[-1] == name:
                return self.array(data)
        raise ValueError(f'no variable {name!r}, only {found[:10]}')

    def elements(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """Type and content of each element, one after the other."""
        offset = 0
        while offset < len(data):
            kind, size = struct.unpack_from(f'{self.order}II', data, offset)
            if kind >> 16:  # up to four bytes stand in the second half of the tag
                kind, size, begin, available = kind & 0xFFFF, kind >> 16, offset + 4, 4
                step = 8
            else:
                begin, available = offset + 8, len(data) - offset - 8
                step = 8 + (size if kind == _COMPRESSED else size + -size % 8)
            if size > available:
                raise ValueError('an element is longer than what contains it')
            yield kind, data[begin : begin + size]
            offset += step

    def decompress(self, data: memoryview) -> memoryview:
        stream = zlib.decompressobj()
        content = stream.decompress(data, self.bytes_left + 1)
        self.spend(len(content))
        if not stream.eof:
            raise ValueError('compressed data end early')
        return memoryview(content)

    def spend(self, size: int) -> None:
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise ValueError(f'more than {_MAX_BYTES >> 20} MiB when decompressed')

    def name(self, data: memoryview) -> str:
        parts = self.elements(data)
        _flags, _shape, (_, name) = (_next(parts) for _ in range(3))
        return bytes(name).decode('latin-1')

    def array(self, data: memoryview, depth: int = 0) -> Any:
        """The content of one matrix element."""
        self.arrays_left -= 1
        if self.arrays_left < 0 or depth > _MAX_DEPTH:
            raise ValueError(
                f'more than {_MAX_ARRAYS} arrays, or {_MAX_DEPTH} within each other'
            )
        if not len(data):
            return np.empty((0, 0))
        parts = self.elements(data)
        flags, shape = self.integers(parts)[0], self.integers(parts)
        _next(parts)  # the name
        if min(shape) < 0:
            raise ValueError(f'an array of the shape {shape}')
        kind, count = flags & 0xFF, math.prod(shape)

        if kind == _CELL:
            fields = None
        elif kind == _STRUCT:
            fields = self.field_names(parts)
        elif kind in _ARRAYS and not flags & _COMPLEX:
            values = self.numbers(*_next(parts))
            if len(values) != count:
                raise ValueError(f'{len(values)} values for the shape {shape}')
            self.spend(count * np.dtype(_ARRAYS[kind]).itemsize)
            return values.astype(_ARRAYS[kind]).reshape(shape, order='F')
        else:
            return None

        if count > self.arrays_left:
            raise ValueError(f'a cell or struct array of the shape {shape}')
        values = np.empty(count, object)
        for index in range(count):
            if fields is None:
                values[index] = self.child(parts, depth)
            else:
                values[index] = {name: self.child(parts, depth) for name in fields}
        return values.reshape(shape, order='F')

    def child(self, parts: Iterator[tuple[int, memoryview]], depth: int) -> Any:
        kind, data = _next(parts)
        if kind != _MATRIX:
            raise ValueError(f'an element of type {kind} where an array belongs')
        return self.array(data, depth + 1)

    def field_names(self, parts: Iterator[tuple[int, memoryview]]) -> list[str]:
        length = self.integers(parts)[0]
        names = bytes(_next(parts)[1])
        if length < 1 or len(names) > length * self.arrays_left:
            raise ValueError(f'{len(names)} bytes of field names of {length} bytes')
        return [
            names[start : start + length].split(b'\0')[0].decode('latin-1')
            for start in range(0, len(names), length)
        ]

    def integers(self, parts: Iterator[tuple[int, memoryview]]) -> list[int]:
        numbers = self.numbers(*_next(parts))
        if numbers.dtype.kind == 'f' or not len(numbers):
            raise ValueError('an integer is missing')
        return numbers.tolist()

    def numbers(self, kind: int, data: memoryview) -> np.ndarray:
        """The numbers of an element, (N,), in the type in which they are stored."""
        if kind not in _STORED:
            raise ValueError(f'numbers of the unknown type {kind}')
        return np.frombuffer(data, f'{self.order}{_STORED[kind]}')


def _next(parts: Iterator[tuple[int, memoryview]]) -> tuple[int, memoryview]:
    for part in parts:
        return part
    raise ValueError('an element is missing')
