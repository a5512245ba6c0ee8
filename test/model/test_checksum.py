"""sha256 of files, remembered by path, size and modification time."""

from __future__ import annotations

import hashlib
import os
import resource
from pathlib import Path

import pytest

from depth_anything_ros.model.checksum import sha256_of


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


def _rewritten_in_place(path: Path, content: bytes, keep_mtime: bool) -> None:
    stat = path.stat()
    path.write_bytes(content)
    mtime_ns = stat.st_mtime_ns + (0 if keep_mtime else 1)
    os.utime(path, ns=(stat.st_atime_ns, mtime_ns))


def test_is_the_sha256_over_several_blocks(tmp_path: Path, cache: Path) -> None:
    content = bytes(range(256)) * 4097  # one block of 1 MiB and a bit
    (tmp_path / 'a').write_bytes(content)
    assert sha256_of(tmp_path / 'a') == hashlib.sha256(content).hexdigest()


def test_hashes_once_per_size_and_mtime(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / 'a'
    path.write_bytes(b'first')
    first = sha256_of(path)
    # Same size and mtime, other bytes: only a recalled hash stays the same.
    _rewritten_in_place(path, b'other', keep_mtime=True)
    assert sha256_of(path) == first
    assert sha256_of(path, use_record=False) == hashlib.sha256(b'other').hexdigest()


@pytest.mark.parametrize(
    ('content', 'keep_mtime'), [(b'other', False), (b'longer', True)], ids=['mtime', 'size']
)
def test_hashes_again_after_a_change(
    tmp_path: Path, cache: Path, content: bytes, keep_mtime: bool
) -> None:
    path = tmp_path / 'a'
    path.write_bytes(b'first')
    sha256_of(path)
    _rewritten_in_place(path, content, keep_mtime)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_a_link_shares_the_record_of_its_target(tmp_path: Path, cache: Path) -> None:
    (tmp_path / 'a').write_bytes(b'first')
    (tmp_path / 'link').symlink_to(tmp_path / 'a')
    assert sha256_of(tmp_path / 'link') == sha256_of(tmp_path / 'a')
    assert len(list(cache.rglob('*.json'))) == 1


@pytest.mark.parametrize('record', ['', '[]', '{}', '{"sha256": "0"}', 'nonsense', '[' * 100_000])
def test_a_broken_record_is_ignored_and_replaced(tmp_path: Path, cache: Path, record: str) -> None:
    path = tmp_path / 'a'
    path.write_bytes(b'first')
    expected = sha256_of(path)
    (file,) = cache.rglob('*.json')
    good = file.read_text()
    file.write_text(record)
    assert sha256_of(path) == expected
    assert file.read_text() == good


def test_hashes_again_where_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder under a regular file cannot be made, not even by root.
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file' / 'cache'))
    (tmp_path / 'a').write_bytes(b'first')
    assert sha256_of(tmp_path / 'a') == hashlib.sha256(b'first').hexdigest()


def test_a_full_disk_keeps_no_half_record(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / 'a'
    path.write_bytes(b'first')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What a full disk is to a file: it cannot grow.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        assert sha256_of(path) == hashlib.sha256(b'first').hexdigest()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [each for each in cache.rglob('*') if each.is_file()] == []
    sha256_of(path)
    assert len(list(cache.rglob('*.json'))) == 1


def test_a_relative_cache_folder_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', 'here')
    (tmp_path / 'a').write_bytes(b'first')
    sha256_of(tmp_path / 'a')
    assert not (tmp_path / 'here').exists()
