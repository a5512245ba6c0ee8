"""Nothing unpacks to more than it declares, and to more than a limit."""

from __future__ import annotations

import shutil
import sqlite3
import struct
import tracemalloc
from collections import namedtuple
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard
from written_bag import MAKE, write_bag

from depth_anything_ros.bag import unpacking
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.unpacking import unpack_file, unpacked
from depth_anything_ros.core.errors import DepthAnythingError

MIB = 2**20
TEXT = bytes(range(256)) * 40


def streamed(data: bytes) -> bytes:
    """A zstd frame that does not say how large it is."""
    frame = zstandard.ZstdCompressor().compressobj()
    return frame.compress(data) + frame.flush()


PACKED = {
    'zstd': zstandard.compress(TEXT),
    'zstd streamed': streamed(TEXT),
    'lz4': lz4.frame.compress(TEXT),
    '': TEXT,
}
BOMBS = {
    'zstd': zstandard.compress(bytes(64 * MIB)),
    'zstd streamed': streamed(bytes(64 * MIB)),
    'lz4': lz4.frame.compress(bytes(64 * MIB)),
}


@pytest.mark.parametrize('name', PACKED)
def test_what_fits_its_declaration_is_returned(name: str) -> None:
    kind = name.partition(' ')[0]
    assert unpacked(PACKED[name], kind, len(TEXT)) == TEXT
    for declared in (0, len(TEXT) - 1, len(TEXT) + 1, 2**40):
        with pytest.raises(ValueError, match='bytes'):
            unpacked(PACKED[name], kind, declared)
    if kind:
        with pytest.raises(ValueError, match=r'.'):
            unpacked(PACKED[name][:-9], kind, len(TEXT))
        with pytest.raises(ValueError, match=r'.'):
            unpacked(b'rubbish', kind, len(TEXT))
    with pytest.raises(ValueError, match="compression 'br' is not known"):
        unpacked(PACKED[name], 'br', len(TEXT))


@pytest.mark.parametrize('name', BOMBS)
@pytest.mark.parametrize('declared', [1000, None])
def test_a_bomb_costs_no_memory(
    name: str, declared: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, '_MOST_BYTES', MIB)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match='more than'):
            unpacked(BOMBS[name], name.partition(' ')[0], declared)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A step of a stream unpacks to 8 MiB at most, and a buffer grows.
    assert peak < 24 * MIB


def test_a_file_is_unpacked_within_a_limit_and_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, target = tmp_path / 'a.zstd', tmp_path / 'a'
    file.write_bytes(PACKED['zstd'] + PACKED['zstd streamed'])
    assert unpack_file(file, target) == ''
    assert target.read_bytes() == 2 * TEXT
    monkeypatch.setattr(unpacking, '_MOST_BYTES', MIB)
    file.write_bytes(BOMBS['zstd streamed'])
    assert 'more than' in unpack_file(file, target)
    assert target.stat().st_size <= max(MIB, 1000 * file.stat().st_size) + MIB
    usage = namedtuple('usage', 'total used free')(0, 0, 1000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(OSError, match=r'no room in .*: set TMPDIR'):
        unpack_file(file, target)


def mcap_with(path: Path, compression: str, payload: bytes, declared: int) -> Path:
    """An MCAP with one good chunk, then one that holds `payload`, and no index."""
    good = (write_bag(path / 'good', pictures()) / 'good.mcap').read_bytes()
    name = compression.encode()
    chunk = struct.pack('<QQQII', 1, 1, declared, 0, len(name)) + name
    chunk += struct.pack('<Q', len(payload)) + payload
    end = good.index(struct.pack('<BQI', 0x0F, 4, 0))
    parts = struct.pack('<BQ', 0x06, len(chunk)) + chunk
    tail = struct.pack('<BQI', 0x0F, 4, 0) + struct.pack('<BQQQI', 0x02, 20, 0, 0, 0) + good[:8]
    file = path / 'bomb.mcap'
    file.write_bytes(good[:end] + parts + parts + good[8:end] + tail)
    return file


def pictures() -> list[tuple[str, int, Any]]:
    return [('/header', 5, MAKE.header(5, 'lens'))]


@pytest.mark.parametrize('name', BOMBS)
@pytest.mark.parametrize('declared', [1000, 64 * MIB, 2**50])
def test_a_chunk_that_is_a_bomb_is_left_out(
    tmp_path: Path, name: str, declared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, '_MOST_BYTES', MIB)
    kind = name.partition(' ')[0]
    with BagReader(mcap_with(tmp_path, kind, BOMBS[name], declared)) as reader:
        assert len(list(reader.messages())) == 2
        texts = [each.message for each in reader.left_out]
    assert len(texts) == 2
    assert all('a damaged chunk of bomb.mcap: ' in text and 'more than' in text for text in texts)


def test_a_packed_message_that_is_a_bomb_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_bag(tmp_path / 'bag', pictures(), 'sqlite3')
    with sqlite3.connect(path / 'bag.db3') as file:
        row = BOMBS['zstd streamed'], 1, 7
        file.execute('INSERT INTO messages (data, topic_id, timestamp) VALUES (?, ?, ?)', row)
    file.close()
    monkeypatch.setattr(unpacking, '_MOST_BYTES', MIB)
    with BagReader(path) as reader:
        assert len(list(reader.messages())) == 1
        (left_out,) = reader.left_out
    assert (left_out.name, left_out.count) == ('/header', 1)


def test_a_packed_file_that_is_a_bomb_is_no_bag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, '_MOST_BYTES', MIB)
    (tmp_path / 'a.mcap.zstd').write_bytes(BOMBS['zstd'])
    with pytest.raises(DepthAnythingError, match='cannot be opened'):
        BagReader(tmp_path / 'a.mcap.zstd').__enter__()


def test_every_channel_number_may_be_used(tmp_path: Path) -> None:
    topics = tuple((f'/t{number}', 'std_msgs/msg/Header') for number in range(1100))
    path = write_bag(tmp_path / 'bag', pictures(), extra_topics=topics)
    with BagReader(path) as reader:
        assert len(reader.topics) == 1101
        assert len(list(reader.messages())) == 1
