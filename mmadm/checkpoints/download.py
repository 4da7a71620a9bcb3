"""Downloads of checkpoints: kept by their whole address, resumed, verified."""

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log

from .reading import file_sha256

_BLOCK = 1 << 20


def is_address(name: str) -> bool:
    """Whether a checkpoint is named by an address of the web."""
    return name.startswith(('http://', 'https://'))


def download(address: str, sha256: str | None = None) -> Path:
    """The file of an address: from the cache, or downloaded now, which is logged.

    The cache knows the whole address, so that two files of one name are two files. An
    interrupted download goes on where it ended.

    Args:
        address: http:// or https://.
        sha256: of the whole file, or its beginning; without it the digits at the end of
            the name (``model-1234abcd.pth``), if there are any.

    Raises:
        ValueError: the address cannot be read, or the file has another SHA-256.
    """
    name = Path(urllib.request.url2pathname(address.split('?')[0])).name or 'file'
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    path = Path(torch.hub.get_dir(), 'checkpoints', 'mmadm', key, name)
    if sha256 is None:
        digits = re.search(r'-([0-9a-f]{8,64})\.\w+$', name)
        sha256 = digits[1] if digits else ''
    if is_main_process() and not (path.is_file() and _is_sound(path, sha256)):
        print_log(f'Downloading {address} to {path}', 'current')
        _fetch(address, path)
        if not _is_sound(path, sha256):
            found = file_sha256(path)
            path.unlink()
            raise ValueError(
                f'Not the file that was published: {address} has the SHA-256 {found}, '
                f'but {sha256} was expected. Download it again, or check the '
                'address.'
            )
    barrier()
    return path


def _is_sound(path: Path, sha256: str) -> bool:
    return not sha256 or file_sha256(path).startswith(sha256)


def _fetch(address: str, path: Path) -> None:
    part = path.with_name(f'.{path.name}.part')
    part.parent.mkdir(parents=True, exist_ok=True)
    begin = part.stat().st_size if part.is_file() else 0
    headers = {'Range': f'bytes={begin}-'} if begin else {}
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            # A server that does not know of ranges sends all.
            resumed = response.status == 206
            length = int(response.headers.get('Content-Length') or -1)
            with part.open('ab' if resumed else 'wb') as file:
                received = 0
                while block := response.read(_BLOCK):
                    file.write(block)
                    received += len(block)
        if length not in (-1, received):
            raise OSError(f'it ended after {received} of {length} bytes')
    except urllib.error.HTTPError as error:
        if error.code == 416:
            # Nothing remains, or the file has changed: begin again.
            part.unlink()
            return _fetch(address, path)
        raise _failed(address, error) from error
    except (OSError, http.client.HTTPException) as error:
        raise _failed(address, error) from error
    part.replace(path)


def _failed(address: str, error: Exception) -> ValueError:
    return ValueError(
        f'Download failed: {address} ({error}). Try again, which goes on where this '
        'ended, or download the file by other means and give its path.'
    )
