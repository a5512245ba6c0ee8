"""The sha256 of large files, computed once per (file, size, modification time)."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from depth_anything_ros.model.user_cache import keep, user_cache

__all__ = ['sha256_of']

_BLOCK_BYTES = 1 << 20


def sha256_of(path: Path, *, use_record: bool = True) -> str:
    """Return the sha256 of a file, recorded or computed.

    A record is used while the file's size and mtime_ns are those of the record. Records are small
    files in $XDG_CACHE_HOME/depth_anything_ros/sha256; where that cannot be read or written, the
    file is hashed again. `use_record=False` always hashes. Raises OSError where `path` cannot be
    read.
    """
    real = path.resolve()
    stat = real.stat()
    # Taken before hashing: a write in between changes the mtime, so the record is not used.
    key = {'path': str(real), 'size': stat.st_size, 'mtime_ns': stat.st_mtime_ns}
    root = user_cache()
    name = hashlib.sha256(os.fsencode(real)).hexdigest()[:32]
    record = root and root / 'sha256' / f'{name}.json'
    if record is not None and use_record:
        with suppress(OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
            known = json.loads(record.read_text(encoding='utf-8'))
            sha256 = str(known.pop('sha256'))
            if known == key:
                return sha256
    digest = hashlib.sha256()
    with real.open('rb') as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    if record is not None:
        keep(record, json.dumps({**key, 'sha256': digest.hexdigest()}).encode())
    return digest.hexdigest()
