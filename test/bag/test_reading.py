from __future__ import annotations

import re
import shutil
import sqlite3
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rosbags.interfaces import (
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionMode, Reader, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from written_bag import MAKE, write_bag

from depth_anything_ros.bag.discovery import color_topics
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import DepthAnythingError, SettingError

SECOND = 10**9
START = 1_700_000_000 * SECOND
SIZE = (24, 32)
UNSET = QosTime(0, 0)
BEST_EFFORT = Qos(
    QosHistory.KEEP_LAST,
    5,
    QosReliability.BEST_EFFORT,
    QosDurability.VOLATILE,
    UNSET,
    UNSET,
    QosLiveliness.AUTOMATIC,
    UNSET,
    False,
)
FORMS = [
    ('mcap', CompressionMode.NONE),
    ('mcap', CompressionMode.STORAGE),
    ('mcap', CompressionMode.MESSAGE),
    ('mcap', CompressionMode.FILE),
    ('sqlite3', CompressionMode.NONE),
    ('sqlite3', CompressionMode.MESSAGE),
    ('sqlite3', CompressionMode.FILE),
]


def noise(count: int, shape: tuple[int, ...] = (*SIZE, 3)) -> Iterator[np.ndarray[Any, Any]]:
    generator = np.random.default_rng(0)
    return (generator.integers(0, 256, shape, np.uint8) for _ in range(count))


def two_topics(count: int = 6, shape: tuple[int, ...] = (*SIZE, 3)) -> list[tuple[str, int, Any]]:
    """An image every 100 ms and a scan 30 ms after it."""
    messages: list[tuple[str, int, Any]] = []
    for index, pixels in enumerate(noise(count, shape)):
        stamp = START + index * SECOND // 10
        messages.append(('/camera/image_raw', stamp, MAKE.color(stamp, 'lens', pixels)))
        messages.append(('/range', stamp + 30_000_000, reading(stamp + 30_000_000, index)))
    return messages


def reading(stamp: int, value: float) -> Any:
    return MAKE._make(
        'sensor_msgs/msg/Range', MAKE.header(stamp, 'cone'), 0, 0.5, 0.1, 9.0, float(value), 0.0
    )


def raw(messages: list[tuple[str, int, Any]]) -> list[tuple[str, int, bytes]]:
    return [
        (topic, time_ns, bytes(MAKE.store.serialize_cdr(message, message.__msgtype__)))
        for topic, time_ns, message in messages
    ]


def left_out(bag: BagReader) -> str:
    return '; '.join(each.message for each in bag.left_out)


def read(path: Path, topics: list[str] | None = None) -> list[tuple[str, int, bytes]]:
    with BagReader(path) as bag:
        return [(x.topic, x.receive_ns, bytes(x.raw)) for x in bag.messages(topics)]


@pytest.fixture(scope='module', params=FORMS, ids=lambda form: f'{form[0]}-{form[1].name}')
def form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('forms') / 'drive'
    return write_bag(path, two_topics(), *request.param, qos=(BEST_EFFORT,))


def test_every_storage_and_compression_reads_alike(form: Path) -> None:
    written = raw(two_topics())
    assert read(form) == written
    assert read(form, topics=['/range']) == [x for x in written if x[0] == '/range']
    with BagReader(form) as bag:
        assert bag.left_out == []
        image, _ = (message.read() for message in list(bag.messages())[:2])
        assert (image.header.frame_id, image.encoding) == ('lens', 'bgr8')
        assert np.array_equal(image.data.reshape(*SIZE, 3), next(noise(1)))


def test_topics_carry_what_a_copy_needs(form: Path) -> None:
    with BagReader(form) as bag:
        assert list(bag.topics) == ['/camera/image_raw', '/range']
        image = bag.topics['/camera/image_raw']
        assert (image.kind, image.count) == ('sensor_msgs/msg/Image', 6)
        assert (image.qos, image.serialization) == ((BEST_EFFORT,), 'cdr')
        assert image.definition.format is MessageDefinitionFormat.MSG
        assert image.definition.data.startswith('std_msgs/Header header')


def test_nothing_is_read_in_vain_and_two_may_read_at_once(form: Path) -> None:
    with BagReader(form) as bag:
        pairs = zip(bag.messages(['/camera/image_raw']), bag.messages(['/range']), strict=True)
        times = [(a.receive_ns, b.receive_ns) for a, b in pairs]
    assert [b - a for a, b in times] == [30_000_000] * 6
    assert len(times) == 6


@pytest.mark.parametrize('metadata', ['missing', 'empty', 'half', 'a list'])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_metadata_may_be_missing_or_damaged(tmp_path: Path, storage: str, metadata: str) -> None:
    path = write_bag(tmp_path / 'bag', two_topics(), storage, CompressionMode.MESSAGE)
    file = path / 'metadata.yaml'
    if metadata == 'missing':
        file.unlink()
    else:
        texts = {'empty': '', 'half': file.read_text()[:300] + '\n  - [', 'a list': '[1, 2]'}
        file.write_text(texts[metadata])
    assert read(path) == raw(two_topics())


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_bare_file_is_a_bag(tmp_path: Path, storage: str) -> None:
    path = write_bag(tmp_path / 'bag', two_topics(), storage)
    (file,) = (x for x in path.iterdir() if x.suffix in ('.mcap', '.db3'))
    alone = file.rename(tmp_path / f'moved{file.suffix}')
    assert read(alone) == raw(two_topics())


@pytest.mark.parametrize('version', [4, 5, 6, 7, 8, 9, 10])
def test_versions_of_the_metadata_make_no_difference(tmp_path: Path, version: int) -> None:
    path = write_bag(tmp_path / 'bag', two_topics(), version=8)
    file = path / 'metadata.yaml'
    content = yaml.safe_load(file.read_text())
    content['rosbag2_bagfile_information']['version'] = version
    file.write_text(yaml.safe_dump(content))
    assert read(path) == raw(two_topics())


@pytest.mark.parametrize('metadata', [True, False])
def test_split_bags_are_read_file_by_file(tmp_path: Path, metadata: bool) -> None:
    messages = two_topics(12)
    folder = tmp_path / 'split'
    folder.mkdir()
    # bag_10 sorts before bag_2 as text.
    messages = messages[:16] + messages[17::2]
    for number, part in ((2, messages[:8]), (10, messages[8:16]), (11, messages[16:])):
        name = f'bag_{number}'
        write_bag(tmp_path / name, part)
        (tmp_path / name / f'{name}.mcap').rename(folder / f'{name}.mcap')
    if metadata:
        names = ['split/bag_2.mcap', 'split/bag_10.mcap', 'split/bag_11.mcap']
        information = {'relative_file_paths': names, 'compression_mode': ''}
        content = {'rosbag2_bagfile_information': information}
        (folder / 'metadata.yaml').write_text(yaml.safe_dump(content))
    assert read(folder) == raw(messages)
    # The last one has no pictures.
    assert read(folder, topics=['/camera/image_raw']) == raw(messages[:16:2])
    with BagReader(folder) as bag:
        assert bag.topics['/range'].count == 12
    (folder / 'bag_10.mcap').unlink()
    assert read(folder) == raw(messages[:8] + messages[16:])
    with BagReader(folder) as bag:
        missing = 'bag_10.mcap is missing, which metadata.yaml names: copy it there'
        assert left_out(bag) == (missing if metadata else '')
    if metadata:
        for name in ('bag_2.mcap', 'bag_11.mcap'):
            (folder / name).rename(folder / f'other_{name}')
        with pytest.raises(DepthAnythingError, match=r'lacks bag_2\.mcap, .*: copy it there'):
            read(folder)


def humble_bag(path: Path) -> Path:
    """A bag as Humble's rosbag2 writes it with sqlite3: no definitions, a shorter Range."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    header = store.types['std_msgs/msg/Header'](
        store.types['builtin_interfaces/msg/Time'](5, 6), 'cone'
    )
    message = store.types['sensor_msgs/msg/Range'](header, 0, 0.5, 0.1, 9.0, 1.25)
    qos = '- history: 1\n  depth: 7\n  reliability: 2\n  durability: 2\n  liveliness: 1\n'
    for name in ('deadline', 'lifespan', 'liveliness_lease_duration'):
        qos += f'  {name}:\n    sec: 0\n    nsec: 0\n'
    qos += '  avoid_ros_namespace_conventions: false'
    with sqlite3.connect(path) as file:
        file.executescript("""
            CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
            CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL,
                metadata TEXT NOT NULL);
            CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
                serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
            CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
                timestamp INTEGER NOT NULL, data BLOB NOT NULL);
            CREATE INDEX timestamp_idx ON messages (timestamp ASC);
            INSERT INTO schema VALUES (3, 'humble');
            """)
        kind = 'sensor_msgs/msg/Range'
        file.execute('INSERT INTO topics VALUES (1, ?, ?, ?, ?)', ('/range', kind, 'cdr', qos))
        data = bytes(store.serialize_cdr(message, kind))
        file.execute('INSERT INTO messages VALUES (1, 1, ?, ?)', (START, data))
    file.close()
    return path


def test_bags_of_humble_need_no_definitions(tmp_path: Path) -> None:
    with BagReader(humble_bag(tmp_path / 'bag_0.db3')) as bag:
        (message,) = bag.messages()
        content = message.read()
        assert content.range == 1.25
        # Came with Iron.
        assert not hasattr(content, 'variance')
        topic = bag.topics['/range']
        assert topic.definition.format is MessageDefinitionFormat.NONE
        assert topic.qos[0].reliability is QosReliability.BEST_EFFORT
        assert topic.qos[0].depth == 7


def test_the_definition_in_the_bag_counts(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    del store.fielddefs['sensor_msgs/msg/Range'], store.types['sensor_msgs/msg/Range']
    store.register(
        get_types_from_msg('float64 reach\nrobot_msgs/Tag tag', 'sensor_msgs/msg/Range')
        | get_types_from_msg('string name', 'robot_msgs/msg/Tag')
    )
    message = store.types['sensor_msgs/msg/Range'](2.5, store.types['robot_msgs/msg/Tag']('x'))
    before, MAKE.store = MAKE.store, store
    try:
        path = write_bag(tmp_path / 'bag', [('/reach', START, message)])
    finally:
        MAKE.store = before
    with BagReader(path) as bag:
        (found,) = bag.messages()
        assert (found.read().reach, found.read().tag.name) == (2.5, 'x')


def mcap_file(path: Path, *arguments: Any) -> Path:
    return write_bag(path, *arguments) / f'{path.name}.mcap'


# Over 1 MiB, which is where rosbags closes a chunk: two whole ones and the beginning of a third.
LONG = (36, (200, 120, 3))


@pytest.mark.parametrize('compression', [CompressionMode.NONE, CompressionMode.STORAGE])
def test_a_recording_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, compression: CompressionMode
) -> None:
    messages = two_topics(*LONG)
    written = raw(messages)
    file = mcap_file(tmp_path / 'bag', messages, 'mcap', compression)
    content = file.read_bytes()
    (file.parent / 'metadata.yaml').unlink()
    counts = []
    # The end of the file only; in the third chunk; in the second; in the first.
    for kept in (len(content) - 20, 2_400_000, 2_150_000, 1_500_000, 600_000):
        file.write_bytes(content[:kept])
        with BagReader(file.parent) as bag:
            found = [(x.topic, x.receive_ns, bytes(x.raw)) for x in bag.messages()]
            assert found == written[: len(found)]
            assert sum(topic.count for topic in bag.topics.values()) == len(found)
            # Only what says where things are is lost with the end.
            whole = kept == len(content) - 20
            assert whole or f'{file.name} ends in the middle of a record' in left_out(bag)
            assert whole or f'{len(found)} messages are there to read' in left_out(bag)
            assert not whole or bag.left_out == []
        counts.append(len(found))
    assert counts[0] == len(written)
    if compression is CompressionMode.NONE:
        # Every whole message: 72 kB each, and the ranges between.
        sizes = np.cumsum([len(data) + 31 for _, _, data in written])
        lost = [int(np.searchsorted(sizes, kept)) for kept in (2_400_000, 600_000)]
        assert counts[1] in (lost[0], lost[0] - 1)
        assert counts[-1] in (lost[1], lost[1] - 1)
    else:
        # A compressed chunk is there as a whole or not at all.
        assert 0 == counts[-1] < counts[-2] == counts[-2] < counts[1]


def test_a_cut_recording_gives_parts_of_itself(tmp_path: Path) -> None:
    file = mcap_file(tmp_path / 'bag', two_topics(*LONG))
    file.write_bytes(file.read_bytes()[:1_800_000])
    found = read(file)
    assert len(found) > 40
    ranges = [x for x in found if x[0] == '/range']
    assert read(file, topics=['/range']) == ranges
    with BagReader(file) as bag:
        assert bag.topics['/range'].count == len(ranges)
        assert len(list(bag.messages())) == len(list(bag.messages()))


def test_messages_of_a_cut_recording_come_by_time(tmp_path: Path) -> None:
    messages = two_topics(*LONG)
    # Received earlier than what was written before them, once across the end of a chunk.
    late = [messages[at] for at in (3, 10, 28, 29)]
    messages = [x for x in messages if x not in late]
    for place, message in zip((6, 14, 38, 39), late, strict=True):
        messages.insert(place, message)
    file = mcap_file(tmp_path / 'bag', messages)
    whole = read(file)
    assert whole == sorted(raw(messages), key=lambda x: x[1]) != raw(messages)
    file.write_bytes(file.read_bytes()[:2_300_000])
    found = read(file)
    assert found == whole[: len(found)]
    assert len(found) > 50


def places(content: bytes) -> Iterator[tuple[int, int]]:
    """Operation and place of each record."""
    at = 0
    while at + 9 <= len(content):
        op, size = struct.unpack_from('<BQ', content, at)
        yield op, at
        at += 9 + size


def records(content: bytes) -> Iterator[tuple[int, bytes]]:
    found = [*places(content), (0, len(content))]
    for (op, at), (_, end) in pairwise(found):
        yield op, content[at:end]


def test_blocks_of_zeros_at_the_end_are_a_cut(tmp_path: Path) -> None:
    messages = two_topics(*LONG)
    file = mcap_file(tmp_path / 'bag', messages, 'mcap', CompressionMode.STORAGE)
    content = bytearray(file.read_bytes())
    second = [8 + at for op, at in places(content[8:]) if op == 0x06][1]
    for start in (1_500_000, 2_450_000, second):
        file.write_bytes(content[:start] + bytes(len(content) - start))
        with BagReader(file) as bag:
            found = [(x.topic, x.receive_ns, bytes(x.raw)) for x in bag.messages()]
            assert 0 < len(found) < len(messages)
            assert found == raw(messages)[: len(found)]
            assert f'{len(found)} messages' in left_out(bag)
            (at,) = re.findall(r'at byte (\d+)', left_out(bag))
            assert int(at) <= start


def rebuilt(content: bytes, change: Callable[[int, bytes], bytes]) -> bytes:
    """The data section of an MCAP file, changed, with an end and no index."""
    magic = content[:8]
    parts = [magic]
    for op, record in records(content[8:-8]):
        if op == 0x0F:
            break
        # Metadata, which a copy of metadata.yaml fills.
        if op != 0x0C:
            parts.append(change(op, record))
    end = struct.pack('<BQI', 0x0F, 4, 0) + struct.pack('<BQQQI', 0x02, 20, 0, 0, 0)
    return b''.join([*parts, end, magic])


def test_files_without_chunks_need_no_order(tmp_path: Path) -> None:
    """As `--storage-preset-profile fastwrite` makes them."""
    messages = two_topics()
    messages[3], messages[4] = messages[4], messages[3]

    def unpacked(op: int, record: bytes) -> bytes:
        # Head of the record, times, size, checksum, no name of a compression, size.
        return record[9 + 8 * 3 + 4 + 4 + 8 :] if op == 0x06 else b'' if op == 0x07 else record

    file = mcap_file(tmp_path / 'bag', messages)
    file.write_bytes(rebuilt(file.read_bytes(), unpacked))
    assert read(file) == raw(messages)
    with BagReader(file) as bag:
        assert bag.left_out == []
        assert bag.topics['/range'].count == 6
    # The end takes 50 bytes, the last range some 90.
    file.write_bytes(file.read_bytes()[:-100])
    with BagReader(file) as bag:
        assert len(list(bag.messages())) == 11
        assert '11 messages' in left_out(bag)


def test_a_record_that_claims_more_than_the_file_has_is_a_cut(tmp_path: Path) -> None:
    messages = two_topics(*LONG)
    file = mcap_file(tmp_path / 'bag', messages)
    content = bytearray(file.read_bytes())
    second = [8 + at for op, at in places(content[8:]) if op == 0x06][1]
    struct.pack_into('<Q', content, second + 1, 2**40)
    # Without the end, which says where the chunks are.
    file.write_bytes(content[:-100])
    tracemalloc.start()
    try:
        with BagReader(file) as bag:
            found = [(x.topic, x.receive_ns, bytes(x.raw)) for x in bag.messages()]
            assert f'at byte {second} ' in left_out(bag)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) > 10
    assert found == raw(messages)[: len(found)]
    assert peak < 20_000_000


def test_a_cut_recording_keeps_its_profiles(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', two_topics(), qos=(BEST_EFFORT,))
    file = path / 'bag.mcap'
    with BagReader(path) as bag:
        whole = bag.topics['/range'].qos
    file.write_bytes(file.read_bytes()[:-100])
    with BagReader(file) as bag:
        assert bag.topics['/range'].qos == whole == (BEST_EFFORT,)
        assert bag.topics['/range'].digest == ''


def test_chunks_without_index_are_read(tmp_path: Path) -> None:
    messages = two_topics(*LONG)
    file = mcap_file(tmp_path / 'bag', messages)
    whole = file.read_bytes()
    file.write_bytes(rebuilt(whole, lambda op, record: b'' if op == 0x07 else record))
    assert read(file) == raw(messages)
    with Reader(file) as reader:
        assert reader.message_count == len(messages)


def test_a_foreign_schema_costs_its_topic_only(tmp_path: Path) -> None:
    file = mcap_file(tmp_path / 'bag', two_topics())
    # The schemas of Image and Range, in the data and again in the summary.
    parts = file.read_bytes().split(b'ros2msg')
    assert len(parts) == 5
    file.write_bytes(
        b''.join(
            [
                x + y
                for x, y in zip(
                    parts, (b'jsonsch', b'ros2msg', b'jsonsch', b'ros2msg', b''), strict=True
                )
            ]
        )
    )
    assert read(file) == raw(two_topics())
    with BagReader(file) as bag:
        formats = {topic.kind: topic.definition.format for topic in bag.topics.values()}
        assert formats == {
            'sensor_msgs/msg/Image': MessageDefinitionFormat.NONE,
            'sensor_msgs/msg/Range': MessageDefinitionFormat.MSG,
        }
        assert [message.read().header.frame_id for message in bag.messages()][:2] == [
            'lens',
            'cone',
        ]


def flipped(path: Path, size: int) -> None:
    content = bytearray(path.read_bytes())
    at = len(content) // 2 // PAGE * PAGE
    content[at : at + size] = bytes(255 - x for x in content[at : at + size])
    path.write_bytes(content)


# Neither SQLite nor the zstd of rosbags has a checksum. Damage shows where it hits what frames
# the data: a block of zstd, one in 128 kB, or the head of a page of SQLite, which links the pages
# of a long message; the picture itself may be wrong unnoticed.
PAGE = 4096


@pytest.mark.parametrize(('storage', 'size'), [('mcap', 200_000), ('sqlite3', PAGE)])
def test_damage_inside_is_named(tmp_path: Path, storage: str, size: int) -> None:
    compression = CompressionMode.STORAGE if storage == 'mcap' else CompressionMode.MESSAGE
    messages = two_topics(*LONG)
    for _, _, message in messages[::2]:
        # Noise itself would be stored as it is, and any other noise is as good.
        message.data &= 15
    path = write_bag(tmp_path / 'bag', messages, storage, compression)
    (file,) = (x for x in path.iterdir() if x.suffix != '.yaml')
    flipped(file, size)
    whole = raw(messages)
    with BagReader(path) as bag:
        found = [(x.topic, x.receive_ns, bytes(x.raw)) for x in bag.messages()]
        assert 0 < len(found) < len(whole)
        assert '\n' not in left_out(bag)
        if storage == 'mcap':
            # The chunks around it are read.
            assert re.match(rf'a damaged chunk of {file.name}: .', left_out(bag))
            assert (found[0], found[-1]) == (whole[0], whole[-1])
            assert set(found) < set(whole)
        else:
            # So far as the pages go.
            assert left_out(bag).startswith(f'{file.name} is damaged: ')
            assert found == whole[: len(found)]
            assert [x.count for x in bag.left_out] == [len(whole) - len(found)]


@pytest.mark.parametrize('name', ['x.mcap', 'x.db3'])
def test_rubbish_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'rubbish\n' * 50)
    with pytest.raises(DepthAnythingError, match='copy it again') as caught:
        read(path)
    assert str(caught.value).startswith(f'bag {path} cannot be opened: ')
    assert '\n' not in str(caught.value)


def test_a_short_database_is_named(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', two_topics(), 'sqlite3')
    file = path / 'bag.db3'
    file.write_bytes(file.read_bytes()[:-9000])
    with pytest.raises(DepthAnythingError, match=r'bag\.db3.*malformed'):
        read(path)


def test_a_log_that_was_never_merged_is_said(tmp_path: Path) -> None:
    path = humble_bag(tmp_path / 'a.db3')
    file = sqlite3.connect(path)
    file.execute('PRAGMA journal_mode=WAL')
    file.execute('INSERT INTO messages SELECT 2, topic_id, timestamp + 1, data FROM messages')
    file.commit()
    copy = tmp_path / 'cut.db3'
    for ending in ('', '-wal'):
        shutil.copy(f'{path}{ending}', f'{copy}{ending}')
    file.close()
    with BagReader(copy) as bag:
        assert len(list(bag.messages())) == 1
        assert 'cut.db3-wal holds messages' in left_out(bag)
        assert 'wal_checkpoint' in left_out(bag)


def empty_file(path: Path) -> Path:
    path.touch()
    return path


def folder_with(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_bytes(b'#ROSBAG V2.0\n' if name.endswith('.bag') else b'x')
    return path


@pytest.mark.parametrize(
    ('make', 'kind', 'complaint'),
    [
        (lambda at: at / 'nowhere', SettingError, 'nowhere does not exist: check the path'),
        (
            lambda at: folder_with(at / 'f'),
            SettingError,
            r'f is not a bag: give .*\.mcap or \.db3',
        ),
        (lambda at: folder_with(at / 'f', 'a.txt'), SettingError, 'f is not a bag'),
        (
            lambda at: folder_with(at / 'f', 'a.bag'),
            SettingError,
            'ROS 1 bag: convert it with `rosbags-convert --src .*/a.bag --dst .*/f/a_ros2 --dst-t',
        ),
        (lambda at: folder_with(at / 'f', 'a.bag') / 'a.bag', SettingError, 'is a ROS 1 bag'),
        (lambda at: folder_with(at / 'f', 'a.txt') / 'a.txt', SettingError, 'a.txt is not a bag'),
        (lambda at: folder_with(at / 'f', 'a.mcap.zst'), SettingError, 'a.mcap.zst is not a bag'),
        (lambda at: empty_file(at / 'a.mcap'), DepthAnythingError, 'a.mcap is an empty file'),
        (lambda at: empty_file(at / 'a.db3'), DepthAnythingError, 'a.db3 is an empty file'),
    ],
)
def test_what_is_no_bag_is_said(
    tmp_path: Path, make: Callable[[Path], Path], kind: type[Exception], complaint: str
) -> None:
    with pytest.raises(kind, match=complaint) as caught:
        read(make(tmp_path))
    assert '\n' not in str(caught.value)


def test_an_unknown_type_costs_its_topic_only(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', two_topics(), 'sqlite3')
    with sqlite3.connect(path / 'bag.db3') as file:
        file.execute("UPDATE topics SET type = 'robot_msgs/msg/Gone' WHERE name = '/range'")
    file.close()
    with BagReader(path) as bag:
        image, gone = list(bag.messages())[:2]
        assert image.read().encoding == 'bgr8'
        assert gone.raw == raw(two_topics())[1][2]
        with pytest.raises(DepthAnythingError, match=r'of /range .*type robot_msgs/msg/Gone'):
            gone.read()


def test_bytes_of_another_type_are_said(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', two_topics(), 'sqlite3')
    with sqlite3.connect(path / 'bag.db3') as file:
        file.execute("UPDATE messages SET data = x'00010000ffff' WHERE topic_id = 2")
    file.close()
    with BagReader(path) as bag:
        _, short = list(bag.messages())[:2]
        with pytest.raises(DepthAnythingError, match=r'/range .* is not a sensor_msgs/msg/Range'):
            short.read()


def test_a_topic_that_is_not_there(tmp_path: Path) -> None:
    with (
        BagReader(write_bag(tmp_path / 'bag', two_topics())) as bag,
        pytest.raises(
            SettingError, match=r'no topic /camera: near it are /camera/image_raw \(sens'
        ),
    ):
        bag.messages(['/camera'])


def test_of_many_topics_ten_are_named(tmp_path: Path) -> None:
    many = tuple((f'/silent/{number:02}', 'std_msgs/msg/String') for number in range(30))
    with (
        BagReader(write_bag(tmp_path / 'bag', two_topics(), extra_topics=many)) as bag,
        pytest.raises(SettingError) as caught,
    ):
        bag.messages(['/xyz'])
    assert str(caught.value).count('messages)') == 10
    assert str(caught.value).endswith(', and 22 more')
    with BagReader(tmp_path / 'bag') as bag, pytest.raises(SettingError) as caught:
        bag.messages(['/silent/0'])
    assert str(caught.value).count('messages)') == 3


def test_a_topic_of_two_types_is_refused_by_name(tmp_path: Path) -> None:
    path = two_typed(tmp_path / 'bag')
    with BagReader(path) as bag:
        assert len(list(bag.messages(['/camera/image_raw']))) == 6
        with pytest.raises(SettingError) as caught:
            bag.messages(['/range'])
    assert 'types (sensor_msgs/msg/Range, std_msgs/msg/Header): leave it out' in str(caught.value)


def two_typed(path: Path) -> Path:
    """A bag with two types on /range."""
    with Writer(path, version=9) as writer:
        connections = {
            (topic, kind): writer.add_connection(topic, kind, typestore=MAKE.store)
            for topic, kind in (
                ('/camera/image_raw', 'sensor_msgs/msg/Image'),
                ('/range', 'sensor_msgs/msg/Range'),
                ('/range', 'std_msgs/msg/Header'),
            )
        }
        for topic, time_ns, message in [
            *two_topics(),
            ('/range', START + SECOND, MAKE.header(START, 'cone')),
        ]:
            kind = message.__msgtype__
            data = MAKE.store.serialize_cdr(message, kind)
            writer.write(connections[topic, kind], time_ns, data)
    return path


def test_a_path_that_the_system_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(DepthAnythingError, match=r'opened \(File name too long\): check the path'):
        read(tmp_path / ('x' * 300))


GREY = np.zeros(SIZE, np.uint8)
DEEP = np.ones(SIZE, np.uint16)
FAR = np.ones(SIZE, np.float32)


def pictures() -> list[tuple[str, int, Any]]:
    color = next(noise(1))
    depth = MAKE.jpeg(START, 'lens', color)
    depth.format = '16UC1; compressedDepth png'
    png = MAKE.jpeg(START, 'lens', color)
    png.format = '16UC1; png compressed '
    old = MAKE.jpeg(START, 'lens', color)
    old.format = 'compressedDepth png'
    messages = {
        '/front/image_raw': MAKE.color(START, 'lens', color),
        '/front/image_raw/compressed': MAKE.jpeg(START, 'lens', color),
        '/rear/image_raw/compressed': MAKE.jpeg(START, 'lens', color),
        '/grey': MAKE.image(START, 'lens', 'mono8', GREY),
        '/depth/image_raw': MAKE.millimetres(START, 'lens', DEEP),
        '/depth/image': MAKE.image(START, 'lens', 'mono16', DEEP),
        '/depth/image/compressedDepth': depth,
        '/depth/image/compressed': png,
        '/old/depth/compressedDepth': old,
        '/relative/image': MAKE.metres(START, 'lens', FAR),
        '/labels': MAKE.image(START, 'lens', '32SC1', FAR.astype(np.int32)),
    }
    return [(topic, START, message) for topic, message in messages.items()]


def test_pictures_are_told_from_depth_by_their_first_message(tmp_path: Path) -> None:
    silent = (('/silent/image_raw', 'sensor_msgs/msg/Image'),)
    path = write_bag(tmp_path / 'bag', pictures(), extra_topics=silent)
    with BagReader(path) as bag:
        expected = ['/front/image_raw', '/grey', '/rear/image_raw/compressed']
        assert color_topics(bag) == expected
        assert '/silent/image_raw' in bag.topics
        assert '/silent/image_raw' not in bag.of_type('sensor_msgs/msg/Image')


def test_a_bag_without_pictures_says_what_it_has(tmp_path: Path) -> None:
    some = [x for x in pictures() if x[0] == '/depth/image_raw'] + two_topics()[1:2]
    with (
        BagReader(write_bag(tmp_path / 'bag', some)) as bag,
        pytest.raises(DepthAnythingError) as caught,
    ):
        color_topics(bag)
    text = str(caught.value)
    assert (
        'bag has no colour images: /depth/image_raw is 16UC1, which means no colours; it' in text
    )
    assert '/range (sensor_msgs/msg/Range, 1 messages)' in text


def test_a_recording_cut_in_its_first_chunk_says_why_it_has_no_pictures(tmp_path: Path) -> None:
    file = mcap_file(tmp_path / 'bag', two_topics(), 'mcap', CompressionMode.STORAGE)
    file.write_bytes(file.read_bytes()[:5000])
    with (
        BagReader(file) as bag,
        pytest.raises(DepthAnythingError, match=r'no topics at all; .* in the middle of a record'),
    ):
        color_topics(bag)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_bag_without_messages_is_one(tmp_path: Path, storage: str) -> None:
    silent = (('/image', 'sensor_msgs/msg/Image'),)
    with BagReader(write_bag(tmp_path / 'bag', [], storage, extra_topics=silent)) as bag:
        assert list(bag.messages()) == []
        assert bag.left_out == []
        with pytest.raises(DepthAnythingError, match='no colour images'):
            color_topics(bag)


@pytest.mark.parametrize(
    ('storage', 'kept'), [('mcap', None), ('mcap', 18_000_000), ('sqlite3', None)]
)
def test_memory_does_not_grow_with_the_bag(tmp_path: Path, storage: str, kept: int | None) -> None:
    path = write_bag(tmp_path / 'bag', two_topics(280, (200, 120, 3)), storage)
    if kept is not None:
        file = path / 'bag.mcap'
        file.write_bytes(file.read_bytes()[:kept])
    tracemalloc.start()
    try:
        with BagReader(path) as bag:
            count = sum(message.read() is not None for message in bag.messages())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count > 400
    # The bag has 20 MB, its chunks 1 MB; a chunk may be there packed, unpacked and as messages.
    assert peak < 5_000_000
