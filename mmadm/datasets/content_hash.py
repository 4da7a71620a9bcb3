"""Hashes of the content of files."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, as ``sha256sum`` prints it."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def file_hashes(paths: Iterable[str | Path]) -> list[str]:
    """SHA-256 of files, read by several threads."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(file_hash, paths))
