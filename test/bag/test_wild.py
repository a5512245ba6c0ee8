"""Bags as they come: cut, packed, renamed, converted, of several robots; and the advice given."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from drive import IMAGE, INFO, SCAN, TF, TF_STATIC, drive
from mcap.writer import Writer as ForeignWriter
from rosbags.interfaces import Nodetype
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionMode, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from written_bag import MAKE, write_bag

from depth_anything_ros.bag.discovery import color_topics, find_cameras
from depth_anything_ros.bag.odd_times import Gaps, OddTimes
from depth_anything_ros.bag.plan import ProcessOptions, make_plan
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.replay import BagReplay, CameraTopics
from depth_anything_ros.bag.summary import BagState, BagSummary, table
from depth_anything_ros.bag.writing import BagWriter, check_free, damage_of
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.messages.stamps import ns_from_stamp

SECOND = 10**9
USED = (IMAGE, INFO, SCAN, TF, TF_STATIC)
Messages = list[tuple[str, int, Any]]


def recorded() -> Messages:
    """Half a second of a drive by receipt."""
    found = []
    for topic, _, message in drive('room', seconds=0.5).messages:
        first = message if hasattr(message, 'header') else message.transforms[0]
        if topic in USED:
            found.append((topic, ns_from_stamp(first.header.stamp), message))
    return found


def split(folder: Path, storage: str = 'mcap', messages: Messages | None = None) -> list[Path]:
    """Three files of a recording in a folder without metadata.yaml."""
    messages, files = messages or recorded(), []
    folder.mkdir()
    third = len(messages) // 3
    for number in range(3):
        end = None if number == 2 else (number + 1) * third
        part = write_bag(folder.parent / f'part{number}', messages[number * third : end], storage)
        (file,) = (x for x in part.iterdir() if x.suffix in ('.mcap', '.db3'))
        files.append(file.rename(folder / f'run_{number}{file.suffix}'))
        shutil.rmtree(part)
    return files


def packed(file: Path, suffix: str = '.zstd') -> Path:
    target = file.with_name(file.name + suffix)
    target.write_bytes(zstandard.compress(file.read_bytes()))
    file.unlink()
    return target


def describe(folder: Path, names: list[Any], **more: object) -> None:
    content = {'relative_file_paths': names, **more}
    text = '\n'.join(f'  {key}: {value!r}' for key, value in content.items())
    (folder / 'metadata.yaml').write_text(f'rosbag2_bagfile_information:\n{text}\n')


def read(bag: Path) -> tuple[int, dict[str, str]]:
    """The number of messages that can be read, and what is left out."""
    with BagReader(bag) as reader:
        count = sum(1 for _ in reader.messages())
        return count, {each.name: each.message for each in reader.left_out}


def run(text: str, cwd: Path) -> None:
    """Follow the advice in a message, which stands in backquotes."""
    (command,) = re.findall('`(.*?)`', text)
    subprocess.run(command, shell=True, check=True, cwd=cwd, capture_output=True)


# Files.


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_packed_splits_are_read_beside_plain_ones(tmp_path: Path, storage: str) -> None:
    files = split(tmp_path / 'run', storage)
    packed(files[0])
    packed(files[1], '.zst')
    assert read(tmp_path / 'run') == (len(recorded()), {})
    # As rosbag2 names them, and unpacked by hand since, once beside the packed file.
    describe(tmp_path / 'run', [f'{file.name}.zstd' for file in files], compression_mode='FILE')
    subprocess.run(['zstd', '-qd', f'{files[0]}.zstd'], check=True)
    assert read(tmp_path / 'run')[0] == len(recorded())


def test_one_bad_file_hides_no_good_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    messages = [(IMAGE, n * SECOND, MAKE.color(n, 'lens', noise ^ n)) for n in range(30)]
    files = split(tmp_path / 'run', messages=messages)
    whole, first = 30, 10
    half = packed(files[1])
    half.write_bytes(half.read_bytes()[: half.stat().st_size * 9 // 10])
    files[2].write_bytes(b'')
    count, left_out = read(tmp_path / 'run')
    assert first < count < whole
    assert set(left_out) == {'run_1.mcap.zstd', 'run_2.mcap'}
    assert 'ends in the middle of a record' in left_out['run_1.mcap.zstd']
    assert 'run_2.mcap is an empty file' in left_out['run_2.mcap']
    (tmp_path / 'run' / 'run_3.mcap').write_bytes(b'rubbish')
    (tmp_path / 'run' / 'run_4.mcap.xz').write_bytes(b'rubbish')
    (tmp_path / 'run' / 'notes.txt').write_text('rubbish')
    (tmp_path / 'run' / 'run_5.mcap').mkdir()
    os.mkfifo(tmp_path / 'run' / 'run_6.db3')
    os.mkfifo(tmp_path / 'run' / 'pipe')
    bad = {'run_3.mcap', 'run_4.mcap.xz', 'run_5.mcap', 'run_6.db3'}
    assert set(read(tmp_path / 'run')[1]) - set(left_out) == bad


def test_names_in_metadata_stay_in_their_folder_and_count_once(tmp_path: Path) -> None:
    (other,) = split(tmp_path / 'other')[:1]
    files = split(tmp_path / 'run')
    names = [files[1].name, files[1].name, f'sub/{files[0].name}', '..', '', '/', '.', 7, None]
    describe(tmp_path / 'run', names)
    count, left_out = read(tmp_path / 'run')
    assert count == read(files[0])[0] + read(files[1])[0]
    assert 'run_2.mcap is not named in metadata.yaml' in left_out['run_2.mcap']
    for names in ([f'../other/{other.name}'], [str(other)], ['..'], ['a' * 5000], ['a\\0b']):
        shutil.rmtree(tmp_path / 'empty', ignore_errors=True)
        (tmp_path / 'empty').mkdir()
        describe(tmp_path / 'empty', names)
        with pytest.raises(DepthAnythingError, match=r'lacks|is not a bag'):
            read(tmp_path / 'empty')


@pytest.mark.parametrize('name', ['drive', 'drive.bag', 'drive_0.mcap.active', 'drive.db3'])
def test_a_renamed_file_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    file = split(tmp_path / 'run')[0]
    assert read(shutil.copy(file, tmp_path / name)) == read(file)
    (tmp_path / 'folder').mkdir()
    assert read(Path(shutil.move(file, tmp_path / 'folder' / name)).parent)[0] > 0


@pytest.mark.parametrize('place', ['a#b', 'a?b', 'a%20b', 'a&b=c d', "it's"])
def test_any_path_holds_a_database(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir()
    source = write_bag(tmp_path / 'source', recorded(), 'sqlite3')
    out = tmp_path / place / f'{place}2'
    with BagReader(source) as reader:
        writer = BagWriter(out, 'sqlite3')
        for topic in reader.topics.values():
            writer.add_copy(topic, reader.store)
        for message in reader.messages():
            writer.write(message.topic, message.kind, message.receive_ns, message.raw)
        writer.finish()
    assert [x.name for x in tmp_path.iterdir() if x.name != 'source'] == [place]
    assert read(out) == read(source)
    assert damage_of(out) == ''
    next(out.glob('*.db3')).unlink()
    assert 'lacks' in damage_of(out)


@pytest.mark.parametrize('named', ['run_0.mcap', ['run_0.mcap']])
def test_a_folder_of_bags_and_its_files_are_read_as_advised(tmp_path: Path, named: Any) -> None:
    folder = tmp_path / "a robot's"
    folder.mkdir()
    files = split(folder / 'run')
    for file in files[1:]:
        file.unlink()
    (folder / 'run' / 'metadata.yaml').write_text(
        f'rosbag2_bagfile_information: {{relative_file_paths: {named!r}}}\n'
    )
    assert read(folder / 'run')[1] == {}
    with pytest.raises(SettingError, match=r'give the 1 bags in it, as .* `bag fleet`') as caught:
        read(folder)
    (glob,) = re.findall(r'as (.*), or', str(caught.value))
    listed = subprocess.run(f'ls -d {glob}', shell=True, check=True, capture_output=True)
    assert listed.stdout.decode().split('\n')[:-1] == [str(folder / 'run')]


@pytest.mark.parametrize(
    ('statement', 'why'),
    [
        ('UPDATE messages SET topic_id = 99 WHERE id < 4', 'has 3 messages of no topic'),
        ("UPDATE topics SET name = x'ff00'", 'its topics have no names'),
        (
            'DROP TABLE topics; CREATE VIEW topics AS WITH RECURSIVE t(id, offered_qos_profiles) '
            "AS (SELECT 1, '' UNION ALL SELECT id + 1, '' FROM t) SELECT * FROM t",
            'it has views, as topics',
        ),
    ],
)
def test_a_database_of_no_recorder_is_told(tmp_path: Path, statement: str, why: str) -> None:
    files = split(tmp_path / 'run', 'sqlite3')
    with sqlite3.connect(files[1]) as file:
        file.executescript(statement)
    file.close()
    count, left_out = read(tmp_path / 'run')
    assert count > 0
    assert why in left_out['run_1.db3']


def test_a_finished_output_is_looked_at_again(tmp_path: Path) -> None:
    out = write_bag(tmp_path / 'out', recorded())
    assert damage_of(out) == ''
    metadata = (out / 'metadata.yaml').read_text()
    count = len(recorded())
    (out / 'metadata.yaml').write_text(
        metadata.replace(f'message_count: {count}', f'message_count: {count + 1}')
    )
    assert damage_of(out) == f'{count} of {count + 1} messages are there'
    (file,) = out.glob('*.mcap')
    file.write_bytes(file.read_bytes()[:-5000])
    assert 'ends in the middle' in damage_of(out)


# Advice, followed.


@pytest.mark.parametrize('name', ["a b's.bag", 'drive.bag'])
def test_a_ros_1_bag_is_converted_as_advised(tmp_path: Path, name: str) -> None:
    path = ros_1_bag(tmp_path / name)
    with pytest.raises(SettingError, match='is a ROS 1 bag: convert it with') as caught:
        read(path)
    run(str(caught.value), tmp_path)
    converted = path.with_name(f'{path.stem}_ros2')
    plain = tmp_path / 'plain'
    subprocess.run(['rosbags-convert', '--src', path, '--dst', plain], check=True)
    room = drive('room', seconds=0.5)
    for bag in (converted, plain):
        with BagReader(bag) as reader:
            topics = CameraTopics(color_topics(reader)[0], reference=SCAN)
            frames = [
                each.frame for each in BagReplay(reader, topics, room.backend(), Parameters())
            ]
        assert len(frames) > 3
        assert all(frame and frame.depth_m is not None for frame in frames)


def ros_1_bag(path: Path) -> Path:
    """The drive as ROS 1 records it, with K, D, R and P in camera_info."""
    store = get_typestore(Stores.ROS1_NOETIC)
    tf = 'tf2_msgs/msg/TFMessage'
    store.register({tf: MAKE.store.fielddefs[tf]})

    def old(message: Any, kind: str) -> Any:
        values: dict[str, Any] = {}
        for name, (node, what) in store.fielddefs[kind][1]:
            value = 0 if name == 'seq' else getattr(message, name, None)
            value = getattr(message, name.lower()) if value is None else value
            if node is Nodetype.NAME:
                value = old(value, what)
            elif node is not Nodetype.BASE and what[0][0] is Nodetype.NAME:
                value = [old(each, what[0][1]) for each in value]
            values[name] = value
        return store.types[kind](**values)

    with Ros1Writer(path) as writer:
        connections: dict[str, Any] = {}
        for topic, receive_ns, message in recorded():
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            raw = store.serialize_ros1(old(message, kind), kind)
            writer.write(connections[topic], receive_ns, raw)
    return path


@pytest.mark.parametrize(('suffix', 'pack'), [('.gz', gzip.compress), ('.bz2', bz2.compress)])
def test_a_zipped_file_is_unpacked_as_advised(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    file = split(tmp_path / 'a run')[0]
    count, _ = read(file)
    target = file.with_name(file.name + suffix)
    target.write_bytes(pack(file.read_bytes()))
    file.unlink()
    with pytest.raises(SettingError, match='is packed: unpack it with') as caught:
        read(target)
    run(str(caught.value), tmp_path)
    assert read(file) == (count, {})


def test_a_log_that_was_not_merged_is_brought_in_as_advised(tmp_path: Path) -> None:
    source = next(write_bag(tmp_path / 'b', recorded(), 'sqlite3').glob('*.db3'))
    with sqlite3.connect(source) as file:
        file.execute('PRAGMA journal_mode=WAL')
        file.execute(
            'INSERT INTO messages SELECT id + 1000, topic_id, timestamp, data FROM messages'
        )
        file.commit()
        copy = tmp_path / "a copy's.db3"
        for ending in ('', '-wal'):
            shutil.copy(f'{source}{ending}', f'{copy}{ending}')
    file.close()
    count, left_out = read(copy)
    assert count == len(recorded())
    run(left_out[f'{copy.name}-wal'], tmp_path)
    assert read(copy) == (2 * len(recorded()), {})


def test_what_a_killed_run_left_is_kept_as_advised(tmp_path: Path) -> None:
    out = tmp_path / 'an out'
    source = write_bag(tmp_path / 'source', 4 * recorded())
    with BagReader(source) as reader:
        writer = BagWriter(out, 'mcap')
        for topic in reader.topics.values():
            writer.add_copy(topic, reader.store)
        for message in reader.messages():
            writer.write(message.topic, message.kind, message.receive_ns, message.raw)
        # Neither closed nor renamed.
        writer._wait()
        writer._writer.storage.bio.flush()
        with pytest.raises(SettingError, match='was killed left it') as caught:
            check_free(out)
        writer._writer.storage.bio.close()
    run(str(caught.value), tmp_path)
    check_free(out)
    count, left_out = read(tmp_path / 'an out.killed')
    assert 0 < count < 4 * len(recorded())
    assert 'its recorder did not close it' in left_out['an out_0.mcap']


def test_a_pointer_of_git_lfs_says_what_it_is(tmp_path: Path) -> None:
    text = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'
    files = split(tmp_path / 'run')
    files[0].write_text(text)
    assert 'run `git lfs pull`' in read(tmp_path / 'run')[1]['run_0.mcap']
    (tmp_path / 'alone.db3').write_text(text)
    with pytest.raises(DepthAnythingError, match='a pointer of Git LFS'):
        read(tmp_path / 'alone.db3')


# Topics.


def changed(message: Any, **values: Any) -> Any:
    return dataclasses.replace(message, **values)


def second_camera(change: Callable[[int, Any], Any], topic: str = '/rear/image_raw') -> Messages:
    found: Messages = []
    for number, item in enumerate(recorded()):
        found.append(item)
        if item[0] == IMAGE:
            found.append((topic, item[1], change(number, item[2])))
    return found


def empty(message: Any) -> Any:
    return changed(message, width=0, height=0, step=0, data=np.zeros(0, np.uint8))


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        (lambda n, m: m if n > 5 else empty(m), ''),
        (lambda n, m: changed(m, encoding='yuv420'), "encoding 'yuv420' is not supported"),
        (lambda n, m: empty(m), '0 x 0 pixels'),
        (lambda n, m: changed(m, encoding='rgb\x1b[31m8'), r"'rgb\x1b[31m8' is not supported"),
        (lambda n, m: changed(m, encoding='32SC3'), None),
        (lambda n, m: changed(m, encoding='16UC1'), None),
        (lambda n, m: MAKE.metres(0, 'lens', np.ones((2, 2), np.float32)), None),
        (lambda n, m: changed(MAKE.jpeg(0, 'lens', np.ones((9, 9, 3), np.uint8)), format=''), ''),
    ],
)
def test_a_camera_is_judged_by_its_first_usable_image(
    tmp_path: Path, change: Callable[[int, Any], Any], why: str | None
) -> None:
    with BagReader(write_bag(tmp_path / 'bag', second_camera(change))) as reader:
        found = find_cameras(reader)
    assert found.usable == ((IMAGE, '/rear/image_raw') if why == '' else (IMAGE,))
    assert list(found.refused) == (['/rear/image_raw'] if why else [])
    assert (why or '') in ''.join(found.refused.values())


def test_a_camera_that_is_usable_compressed_only_is_told(tmp_path: Path) -> None:
    messages: Messages = []
    for topic, receive_ns, message in recorded():
        if topic == IMAGE:
            bgr = message.data.reshape(message.height, message.width, 3)
            jpeg = MAKE.jpeg(ns_from_stamp(message.header.stamp), 'lens', bgr)
            messages.append((f'{IMAGE}/compressed', receive_ns, jpeg))
            message = changed(message, encoding='yuv420')
        messages.append((topic, receive_ns, message))
    with BagReader(write_bag(tmp_path / 'bag', messages)) as reader:
        plan = make_plan(reader, tmp_path / 'out', ProcessOptions(), Parameters())
    assert [x.topics.image for x in plan.cameras] == [f'{IMAGE}/compressed']
    assert plan.left_out == ()
    (note,) = plan.notes
    assert note.startswith(f'{IMAGE}/compressed is taken, as {IMAGE} cannot be used: none of ')


def test_names_in_a_bag_forge_no_line_of_a_summary(tmp_path: Path) -> None:
    name = '/cam\x1b[31m\n[FATAL] ' + 2000 * 'a'
    messages = second_camera(lambda n, m: changed(m, encoding='yuv420'), name)
    with BagReader(write_bag(tmp_path / 'bag', messages)) as reader:
        plan = make_plan(reader, tmp_path / 'out', ProcessOptions(), Parameters())
        with pytest.raises(SettingError) as caught:
            reader.require('/no')
    summary = BagSummary(tmp_path / 'a\nb', None, BagState.DONE, left_out=list(plan.left_out))
    lines = [str(caught.value), *table([summary]).split('\n')]
    assert len(lines) == 5
    assert all(line.isprintable() and len(line) <= 2000 for line in lines)
    assert r'left out: camera /cam\x1b[31m\n[FATAL]' in lines[-1]


def test_a_transport_of_a_usable_camera_is_no_second_one(tmp_path: Path) -> None:
    def unusable(_: int, message: Any) -> Any:
        return changed(message, encoding='h264')

    names = f'{IMAGE}/theora', '/rear/image_raw/h264'
    for name in names:
        path = write_bag(tmp_path / name.replace('/', '_'), second_camera(unusable, name))
        with BagReader(path) as reader:
            assert list(find_cameras(reader).refused) == ([name] if 'rear' in name else [])


@pytest.mark.parametrize(
    ('encoding', 'serialization', 'kind', 'how'),
    [
        ('ros1msg', 'ros1', 'sensor_msgs/Image', 'rosbags-convert'),
        ('ros1msg', 'ros1', 'sensor_msgs/msg/Image', 'rosbags-convert'),
        ('protobuf', 'protobuf', 'foxglove.CompressedImage', 'depth_anything run'),
        ('jsonschema', 'json', 'foxglove.RawImage', 'depth_anything run'),
        ('ros2msg', 'cdr', 'foxglove_msgs/msg/CompressedVideo', 'sensor_msgs Image'),
        ('protobuf', 'protobuf', 'foxglove.LaserScan', ''),
    ],
)
def test_messages_of_other_systems_are_named(
    tmp_path: Path, encoding: str, serialization: str, kind: str, how: str
) -> None:
    with (tmp_path / 'a.mcap').open('wb') as file:
        writer = ForeignWriter(file)
        writer.start(profile='')
        schema = writer.register_schema(kind, encoding, b'')
        channel = writer.register_channel('/front', serialization, schema)
        writer.add_message(channel, SECOND, b'\n\0', SECOND)
        writer.finish()
    with BagReader(tmp_path / 'a.mcap') as reader:
        refused = find_cameras(reader).refused
        assert list(refused) == (['/front'] if how else [])
        assert how in ''.join(refused.values())
        text = f'serialised as {serialization}: .*{how}' if how else 'record a topic of colour'
        with pytest.raises(DepthAnythingError, match=text):
            color_topics(reader)


@pytest.mark.parametrize('behind', [bytes(3), bytes(8), b'\xff' * 5, b'\0\1\0\0rest'])
def test_bytes_behind_a_message_are_passed_over(tmp_path: Path, behind: bytes) -> None:
    with Writer(tmp_path / 'bag', version=9) as writer:
        for topic, receive_ns, message in recorded():
            kind = message.__msgtype__
            connection = next((x for x in writer.connections if x.topic == topic), None)
            connection = connection or writer.add_connection(topic, kind, typestore=MAKE.store)
            raw = bytes(MAKE.store.serialize_cdr(message, kind))
            writer.write(connection, receive_ns, raw + behind)
    with BagReader(tmp_path / 'bag') as reader:
        for message, (_, _, written) in zip(reader.messages(), recorded(), strict=True):
            kind = message.kind
            assert MAKE.store.serialize_cdr(message.read(), kind) == MAKE.store.serialize_cdr(
                written, kind
            )


def test_a_type_without_fields_that_are_needed_is_named(tmp_path: Path) -> None:
    kind = 'sensor_msgs/msg/CameraInfo'
    with Writer(tmp_path / 'bag', version=9) as writer:
        text = 'std_msgs/Header header\nuint32 height\nuint32 width\n' + 80 * '=' + '\n'
        text += 'MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n' + 80 * '='
        text += '\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n'
        store = get_typestore(Stores.EMPTY)
        store.register(get_types_from_msg(text, kind))
        info = writer.add_connection(INFO, kind, typestore=store)
        image = writer.add_connection(IMAGE, 'sensor_msgs/msg/Image', typestore=MAKE.store)
        header = store.types['std_msgs/msg/Header'](
            store.types['builtin_interfaces/msg/Time'](1, 2), 'lens'
        )
        message = store.types[kind](header, 120, 160)
        writer.write(info, SECOND, store.serialize_cdr(message, kind))
        picture = next(m for topic, _, m in recorded() if topic == IMAGE)
        writer.write(image, SECOND, MAKE.store.serialize_cdr(picture, picture.__msgtype__))
    room = drive('room', seconds=0.5)
    with BagReader(tmp_path / 'bag') as reader:
        parameters = replace(
            Parameters(), reference=replace(Parameters().reference, type='ground_plane')
        )
        replay = BagReplay(reader, CameraTopics(IMAGE), room.backend(), parameters)
        (found,) = replay
    assert found.frame is not None
    assert found.frame.reason == 'no_camera_info'
    (reason,) = replay.left_out
    assert reason.name == INFO
    assert 'CameraInfo in this bag has no distortion_model, d, k, r, p' in reason.message


@pytest.mark.parametrize(
    ('tf', 'asked', 'frames'),
    [
        (['/robot1/tf'], '', True),
        (['/tf'], '', True),
        (['/robot1/camera/tf', '/tf'], '', True),
        (['/robot2/tf'], '', False),
        (['/robot2/tf'], '/robot2/tf', True),
    ],
)
def test_transforms_are_those_of_the_robot(
    tmp_path: Path, tf: list[str], asked: str, frames: bool
) -> None:
    messages: Messages = []
    for topic, receive_ns, message in recorded():
        where = [f'/robot1{topic}']
        if topic in (TF, TF_STATIC):
            where = [f'{name}{topic.removeprefix(TF)}' for name in tf]
        messages += [(each, receive_ns, message) for each in where]
    room = drive('room', seconds=0.5)
    with BagReader(write_bag(tmp_path / 'bag', messages)) as reader:
        topics = CameraTopics(f'/robot1{IMAGE}', reference=f'/robot1{SCAN}', tf=asked)
        replay = BagReplay(reader, topics, room.backend(), Parameters())
        found = [each.frame for each in replay]
    assert found
    assert all((frame is not None and frame.depth_m is not None) is frames for frame in found)


def test_a_tf_topic_that_is_not_there_is_said(tmp_path: Path) -> None:
    with (
        BagReader(write_bag(tmp_path / 'bag', recorded())) as reader,
        pytest.raises(SettingError, match='has no topic /robot/tf:'),
    ):
        topics = CameraTopics(IMAGE, reference=SCAN, tf='/robot/tf')
        BagReplay(reader, topics, drive('room', seconds=0.5).backend(), Parameters())


# Times.


def test_gaps_between_messages_are_told() -> None:
    gaps = Gaps()
    for receive_s in (0, 1, 30, 29, 95, 96, 10**9):
        gaps.add(receive_s * SECOND)
    (note,) = gaps.notes()
    assert note.startswith('2 gaps of more than 60 s between messages, the longest of 999999904 s')
    assert Gaps().notes() == []


@pytest.mark.parametrize(
    ('stamps_s', 'leaps', 'repeated'),
    [
        ([5, 6, 7, 8], 0, 0),
        ([5, 6, 0, 8], 0, 0),
        ([1000, 1001, 0, 1003], 2, 0),
        ([1000, 1001, -5, -4], 1, 0),
        ([7, 7, 7, 8], 0, 2),
    ],
)
def test_odd_stamps_are_told(stamps_s: list[int], leaps: int, repeated: int) -> None:
    times = OddTimes(IMAGE)
    for number, stamp_s in enumerate(stamps_s):
        times.add(number * SECOND, stamp_s * SECOND)
    notes = '; '.join(times.notes())
    assert (f'leap {leaps} times' in notes) is bool(leaps)
    assert (f'{repeated} images of {IMAGE} have the stamp' in notes) is bool(repeated)


@pytest.mark.parametrize('compression', [CompressionMode.NONE, CompressionMode.STORAGE])
def test_receipts_at_the_ends_of_time_lose_no_message(
    tmp_path: Path, compression: CompressionMode
) -> None:
    messages = [
        (topic, {5: 0, 9: 2**63 - 2}.get(number, receive_ns), message)
        for number, (topic, receive_ns, message) in enumerate(recorded())
    ]
    assert read(write_bag(tmp_path / 'bag', messages, 'mcap', compression)) == (len(messages), {})
