"""Bags through the pipeline into bags: what is written, again, interrupted, and many at once."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import DEPTH, IMAGE, INFO, LIDAR, SCAN, Drive, drive
from rosbags.interfaces import (
    MessageDefinition,
    MessageDefinitionFormat,
    Qos,
    QosReliability,
)
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from written_bag import write_bag

from depth_anything_ros.bag import process as process_module
from depth_anything_ros.bag.formats import RELIABLE
from depth_anything_ros.bag.process import process_bag
from depth_anything_ros.bag.processing import jobs as jobs_module
from depth_anything_ros.bag.processing.blank_messages import output_store
from depth_anything_ros.bag.processing.jobs import process_bags
from depth_anything_ros.bag.processing.plan import Choice
from depth_anything_ros.bag.processing.results import BagSummary, State, json_text, table
from depth_anything_ros.bag.processing.resume import RESUME_FILE, STATE_FILE
from depth_anything_ros.bag.reading import BagReader, BagTopic
from depth_anything_ros.bag.writing import BagWriter, storage_of
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters, parameters_from_flat
from depth_anything_ros.messages.camera_info import camera_from_info
from depth_anything_ros.messages.images import bgr_from_compressed
from depth_anything_ros.messages.stamps import ns_from_stamp
from lab.degraded_truth import DegradedTruthBackend

COMPRESSED = IMAGE + '/compressed'
OUT = '/depth_anything'
RELATIVE, DEPTH_OUT, SIGMA = f'{OUT}/relative/image', f'{OUT}/depth/image', f'{OUT}/depth/sigma'
METRIC = {DEPTH_OUT, SIGMA, f'{OUT}/depth/camera_info'}
# The smallest network there is.
FAST = parameters_from_flat({'variant': 'demo', 'weights': 'random', 'device': 'cpu'})
BY_LIDAR = Choice(reference=LIDAR)
IMAGES, IMAGES_OF_TEN = 10, 2
Messages = list[tuple[str, int, bytes]]


@pytest.fixture(scope='module')
def room() -> Drive:
    return drive('room', seconds=1.0)


def recorded(what: Drive) -> list[tuple[str, int, Any]]:
    """The drive as (topic, time of receipt, message); receipt is 1 ms after the stamp."""
    return [(topic, stamp_of(m) + 1_000_000, m) for topic, _, m in what.messages]


def stamp_of(message: Any) -> int:
    first = message if hasattr(message, 'header') else message.transforms[0]
    return ns_from_stamp(first.header.stamp)


@pytest.fixture(scope='module')
def bag(room: Drive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp('bags') / 'room', recorded(room))


@pytest.fixture(scope='module')
def whole(bag: Path, room: Drive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes of the bag with a lidar as reference, and nothing in the way."""
    out = tmp_path_factory.mktemp('whole') / 'out'
    assert process_bag(bag, out, room.backend(), Parameters(), BY_LIDAR).good
    return out


def content(bag: Path) -> Messages:
    with BagReader(bag) as reader:
        assert reader.truncated == ''
        return [(x.topic, x.receive_ns, bytes(x.raw)) for x in reader.messages()]


def counts(bag: Path) -> dict[str, int]:
    with BagReader(bag) as reader:
        return {topic.name: topic.count for topic in reader.topics.values()}


def read(bag: Path, topic: str) -> list[tuple[int, Any]]:
    with BagReader(bag) as reader:
        return [(x.receive_ns, x.read()) for x in reader.messages([topic])]


class After:
    """Does something once `count` images are done."""

    def __init__(self, count: int, act: Callable[[], object]) -> None:
        self.count, self.act, self.done = count, act, 0

    def __call__(self, images: int) -> None:
        self.at(self.done + images)

    def at(self, done: int) -> None:
        before, self.done = self.done, done
        if before < self.count <= done:
            self.act()


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


# What is written.


def test_every_image_is_answered_under_its_own_stamp_frame_and_receipt(
    whole: Path, room: Drive
) -> None:
    answers = read(whole, RELATIVE)
    pictures = [message for topic, _, message in room.messages if topic == IMAGE]
    assert len(answers) == len(pictures) == IMAGES
    for (receive_ns, answer), picture in zip(answers, pictures, strict=True):
        assert answer.header == picture.header
        assert receive_ns == stamp_of(picture) + 1_000_000
        assert answer.encoding == '32FC1'
        values = answer.data.view(np.float32)
        assert 0.0 <= values.min() < values.max() <= 1.0


def test_metric_depth_by_a_reference_is_right(whole: Path, room: Drive) -> None:
    answers = read(whole, DEPTH_OUT)
    assert len(answers) >= IMAGES - 1
    for _, answer in answers:
        depth_m = answer.data.view(np.float32).reshape(answer.height, answer.width)
        true_m = room.truth[stamp_of(answer)]
        both = np.isfinite(depth_m) & np.isfinite(true_m) & (true_m > 0.0)
        # What the network's own errors leave, as in test_metric.
        assert np.mean(np.abs(depth_m[both] - true_m[both]) / true_m[both]) < 0.12
    _, info = read(whole, f'{OUT}/depth/camera_info')[-1]
    first = next(message for topic, _, message in room.messages if topic == INFO)
    assert camera_from_info(info, 160, 120, True) == camera_from_info(first, 160, 120, True)


def test_what_was_recorded_is_copied_byte_by_byte(whole: Path, bag: Path) -> None:
    made = {RELATIVE, *METRIC}
    assert [item for item in content(whole) if item[0] not in made] == content(bag)
    assert counts(whole).keys() == counts(bag).keys() | made


def test_profiles_definitions_and_empty_topics_are_kept(room: Drive, tmp_path: Path) -> None:
    best_effort = RELIABLE._replace(reliability=QosReliability.BEST_EFFORT, depth=7)
    source = write_bag(
        tmp_path / 'in',
        recorded(room),
        qos=(best_effort,),
        extra_topics=(('/silent', 'std_msgs/msg/String'),),
    )
    process_bag(source, tmp_path / 'out', room.backend(), Parameters())
    with BagReader(source) as before, BagReader(tmp_path / 'out') as after:
        for name, topic in before.topics.items():
            assert replace(after.topics[name], digest=topic.digest) == topic
        assert after.topics['/silent'].count == 0
        offered: tuple[Qos, ...] = after.topics[RELATIVE].qos
        assert [each.reliability for each in offered] == [QosReliability.RELIABLE]


@pytest.mark.parametrize(
    ('form', 'text'),
    [
        (MessageDefinitionFormat.NONE, ''),
        (
            MessageDefinitionFormat.IDL,
            'module odd_msgs { module msg { struct Odd { long x; }; }; };',
        ),
    ],
)
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_messages_of_types_that_nobody_knows_are_copied(
    tmp_path: Path, storage: str, form: MessageDefinitionFormat, text: str
) -> None:
    kind = 'odd_msgs/msg/Odd'
    topic = BagTopic('/odd', kind, 1, (RELIABLE,), MessageDefinition(form, text), '', 'cdr')
    writer = BagWriter(tmp_path / 'out', storage)
    writer.add_copy(topic, output_store())
    writer.write('/odd', kind, 5, b'\0\1\0\0abcd')
    assert writer.finish() == tmp_path / 'out'
    assert content(tmp_path / 'out') == [('/odd', 5, b'\0\1\0\0abcd')]
    with BagReader(tmp_path / 'out') as reader:
        assert reader.topics['/odd'].definition.data.endswith(text)
        assert ('odd_msgs/msg/Odd' in reader.store.fielddefs) == bool(text)


@pytest.mark.parametrize(
    ('copy', 'expected'),
    [(('none',), set()), ((SCAN, INFO), {SCAN, INFO})],
)
def test_what_is_not_to_be_copied_is_dropped(
    bag: Path, room: Drive, tmp_path: Path, copy: tuple[str, ...], expected: set[str]
) -> None:
    summary = process_bag(bag, tmp_path / 'out', room.backend(), Parameters(), Choice(copy=copy))
    assert counts(tmp_path / 'out').keys() == expected | {RELATIVE}
    assert summary.copied == sum(counts(bag)[name] for name in expected)


def test_only_the_chosen_outputs_are_made(bag: Path, room: Drive, tmp_path: Path) -> None:
    choice = replace(BY_LIDAR, outputs=('points', 'color', 'frame_stats'), copy=('none',))
    summary = process_bag(bag, tmp_path / 'out', room.backend(), Parameters(), choice)
    found = counts(tmp_path / 'out')
    color = f'{OUT}/relative/image_color'
    assert found.keys() == {f'{OUT}/points', color, f'{OUT}/frame_stats'}
    assert found[f'{OUT}/points'] == summary.metric
    (_, stats), *_ = read(tmp_path / 'out', f'{OUT}/frame_stats')
    keys = {pair.key for pair in stats.status[0].values}
    assert 'metric_valid' in keys
    # Times would differ from run to run.
    assert not [key for key in keys if key.endswith('_ms') and key != 'reference_age_ms']


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('compress', [False, True])
def test_both_storages_hold_the_same(
    room: Drive, whole: Path, tmp_path: Path, storage: str, compress: bool
) -> None:
    # The storage of the input is kept, and one that is compressed is read.
    how = CompressionMode.MESSAGE if storage == 'sqlite3' else CompressionMode.STORAGE
    source = write_bag(tmp_path / 'in', recorded(room), storage, how)
    choice = replace(BY_LIDAR, compress=compress)
    process_bag(source, tmp_path / 'out', room.backend(), Parameters(), choice)
    assert storage_of(tmp_path / 'out') == storage
    assert content(tmp_path / 'out') == content(whole)


def test_another_storage_is_written_where_asked(
    bag: Path, room: Drive, whole: Path, tmp_path: Path
) -> None:
    choice = replace(BY_LIDAR, storage='sqlite3')
    process_bag(bag, tmp_path / 'out', room.backend(), Parameters(), choice)
    assert storage_of(tmp_path / 'out') == 'sqlite3'
    assert content(tmp_path / 'out') == content(whole)


def test_compressed_images(room: Drive, tmp_path: Path) -> None:
    messages = [item for item in recorded(room) if item[0] != IMAGE]
    pictures = [message for topic, _, message in messages if topic == COMPRESSED]
    backend = DegradedTruthBackend(
        (bgr_from_compressed(each), room.truth[stamp_of(each)]) for each in pictures
    )
    source = write_bag(tmp_path / 'in', messages)
    summary = process_bag(source, tmp_path / 'out', backend, Parameters(), BY_LIDAR)
    assert (summary.images, summary.frames) == (IMAGES, IMAGES)
    assert len(read(tmp_path / 'out', RELATIVE)) == IMAGES


def test_several_cameras_get_their_names(room: Drive, tmp_path: Path) -> None:
    pictures = [(ns, m) for topic, ns, m in recorded(room) if topic == IMAGE]
    messages = [
        (f'/robot/{name}/image_raw', ns, m) for ns, m in pictures for name in ('front', 'rear')
    ]
    source = write_bag(tmp_path / 'in', messages)
    process_bag(source, tmp_path / 'out', room.backend(), Parameters(), Choice(copy=('none',)))
    front, rear = (f'{OUT}/{name}/relative/image' for name in ('front', 'rear'))
    assert counts(tmp_path / 'out') == {front: IMAGES, rear: IMAGES}
    both = content(tmp_path / 'out')
    assert [x[1:] for x in both if x[0] == front] == [x[1:] for x in both if x[0] == rear]


def test_outputs_of_an_earlier_run_are_no_input_and_are_replaced(
    whole: Path, room: Drive, tmp_path: Path
) -> None:
    again = tmp_path / 'again'
    process_bag(whole, again, room.backend(), Parameters(), BY_LIDAR)
    assert content(again) == content(whole)


def test_images_that_are_refused_are_counted(room: Drive, tmp_path: Path) -> None:
    messages = recorded(room)
    place = next(place for place, item in enumerate(messages) if item[0] == IMAGE)
    topic, receive_ns, message = messages[place]
    messages[place] = topic, receive_ns, replace(message, data=np.zeros(9, np.uint8))
    source = write_bag(tmp_path / 'in', messages)
    summary = process_bag(source, tmp_path / 'out', room.backend(), Parameters())
    assert (summary.images, summary.frames) == (IMAGES, IMAGES - 1)
    (refused,) = summary.refused
    assert (refused.name, refused.count) == ('bad_data_size', 1)
    # The words of the decoder, with the sizes.
    assert f'1 of {IMAGES} images refused: {refused.message}' in table([summary])
    assert '9' in refused.message
    assert summary.good


def test_a_bag_of_which_every_image_is_refused_is_not_good(room: Drive, tmp_path: Path) -> None:
    messages = [
        (topic, ns, replace(message, data=np.zeros(9, np.uint8)) if topic == IMAGE else message)
        for topic, ns, message in recorded(room)
    ]
    choice = Choice(images=(IMAGE,))
    source = write_bag(tmp_path / 'in', messages)
    summary = process_bag(source, tmp_path / 'out', room.backend(), Parameters(), choice)
    assert (summary.state, summary.good) == (State.DONE, False)
    silent = (('/silent/image', 'sensor_msgs/msg/Image'),)
    source = write_bag(tmp_path / 'silent', recorded(room), extra_topics=silent)
    summary = process_bag(
        source, tmp_path / 'none', room.backend(), Parameters(), Choice(images=('/silent/image',))
    )
    assert not summary.good
    assert 'it has no images: name a topic that has some (--image)' in table([summary])


@pytest.mark.parametrize(
    ('missing', 'choice', 'kind', 'reason'),
    [
        ('/tf_static', BY_LIDAR, 'auto', 'no_transform'),
        (INFO, BY_LIDAR, 'auto', 'no_camera_info'),
        ('/tf_static', Choice(), 'ground_plane', 'no_transform'),
    ],
)
def test_a_reference_that_never_works_is_told_and_not_good(
    room: Drive, tmp_path: Path, missing: str, choice: Choice, kind: str, reason: str
) -> None:
    source = write_bag(tmp_path / 'in', [each for each in recorded(room) if each[0] != missing])
    parameters = parameters_from_flat({'reference.type': kind})
    summary = process_bag(source, tmp_path / 'out', room.backend(), parameters, choice)
    assert (summary.state, summary.metric, summary.good) == (State.DONE, 0, False)
    (why,) = summary.no_metres
    assert (why.name, why.count) == (reason, IMAGES)
    assert f'{IMAGES} of {IMAGES} frames without metres: {why.message}' in table([summary])
    (row,) = json.loads(json_text([summary]))
    assert row['good'] is False
    assert row['no_metres'] == [{'name': reason, 'count': IMAGES, 'message': why.message}]


def test_frames_without_metres_are_counted_on_by_the_run_that_goes_on(
    room: Drive, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / 'in', [x for x in recorded(room) if x[0] != '/tf_static'])
    stopped(source, room, tmp_path / 'out')
    summary = process_bag(
        source, tmp_path / 'out', room.backend(), Parameters(), replace(BY_LIDAR, resume=True)
    )
    assert [each.count for each in summary.no_metres] == [IMAGES]


@pytest.mark.parametrize(
    ('choice', 'message'),
    [
        (Choice(outputs=('depth',)), "output 'depth/image' needs metres: name a reference"),
        (Choice(images=('/nowhere',)), 'has no topic /nowhere: it has'),
        (Choice(copy=('/nowhere',)), 'has no topic /nowhere: it has'),
        (
            Choice(images=(IMAGE, COMPRESSED), camera_info=INFO),
            'is one topic for 2 image topics',
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    bag: Path, room: Drive, tmp_path: Path, choice: Choice, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        process_bag(bag, tmp_path / 'out', room.backend(), Parameters(), choice)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('choice', 'message'),
    [
        ({'outputs': ('deep',)}, "output 'deep' is not known: choose from relative"),
        ({'storage': 'tape'}, "storage 'tape' is not known: choose one of mcap, sqlite3"),
        ({'copy': ('none', SCAN)}, 'says two things: all and none stand alone'),
    ],
)
def test_a_choice_that_fits_no_bag_is_none(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Choice(**choice)


@pytest.mark.parametrize('out', ['.', '/', '', '..', 'x' * 255, 'file/out', 'in/out'])
def test_outputs_that_cannot_be_are_refused_before_there_is_a_network(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    def never(_: Parameters) -> None:
        raise AssertionError

    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    (tmp_path / 'in').symlink_to(bag)
    before = sorted(bag.iterdir())
    with pytest.raises(SettingError, match=r'names no new folder|cannot be written|inside of the'):
        process_bags([Path('in')], Path(out), FAST, fetch=never)
    with pytest.raises(DepthAnythingError, match='has no topic /nowhere'):
        process_bags([Path('in')], Path('out'), FAST, Choice(reference='/nowhere'), fetch=never)
    assert sorted(bag.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'in']


def test_a_bag_is_named_by_its_folder_where_it_is_given_as_a_dot(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bag)
    assert '\nroom  ' in table(process_bags([Path()], tmp_path / 'out', FAST))
    again = process_bags([Path(), tmp_path / 'out'], tmp_path / 'two', FAST)
    assert [each.out for each in again] == [tmp_path / 'two/room', tmp_path / 'two/out']


def test_nothing_is_overwritten(bag: Path, room: Drive, tmp_path: Path) -> None:
    for name in ('out', 'out.partial', 'out.writing'):
        (tmp_path / name).mkdir()
        with pytest.raises(SettingError, match=rf'{name} is (already )?(there|left)'):
            process_bag(bag, tmp_path / 'out', room.backend(), Parameters())
        (tmp_path / name).rmdir()


# Again, and interrupted.


def test_twice_gives_equal_bytes(bag: Path, tmp_path: Path) -> None:
    for name in ('one', 'other'):
        process_bags([bag], tmp_path / name, FAST, BY_LIDAR)
    one, other = content(tmp_path / 'one'), content(tmp_path / 'other')
    assert len([item for item in one if item[0] == RELATIVE]) == IMAGES
    assert one == other


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('stops', [[4], [1, 3, 2]])
def test_an_interrupted_run_leaves_a_valid_bag_and_another_goes_on_to_the_same_end(
    bag: Path, room: Drive, whole: Path, tmp_path: Path, storage: str, stops: list[int]
) -> None:
    out, partial = tmp_path / 'out', tmp_path / 'out.partial'
    choice = replace(BY_LIDAR, storage=storage)
    done = 0
    for stop in stops:
        done += stop
        summary = process_bag(
            bag, out, room.backend(), Parameters(), choice, After(done, interrupt)
        )
        assert summary.state is State.STOPPED
        assert (summary.images, summary.out) == (done, partial)
        assert f'stopped by SIGINT; {partial} holds what there is' in summary.why
        assert not out.exists()
        found = content(partial)
        assert found == content(whole)[: len(found)]
        assert len([item for item in found if item[0] == RELATIVE]) == done
        choice = replace(choice, resume=True)
    summary = process_bag(bag, out, room.backend(), Parameters(), choice)
    assert summary.state is State.DONE
    assert (summary.images, summary.frames) == (IMAGES, IMAGES)
    assert content(out) == content(whole)
    assert [path.name for path in tmp_path.iterdir()] == ['out']
    assert not [path for path in out.iterdir() if path.name.startswith('resume')]
    assert process_bag(bag, out, room.backend(), Parameters(), choice).state is State.WAS_THERE
    # Only what is a bag was made by an earlier run, and only of a bag.
    with pytest.raises(SettingError, match='does not exist'):
        process_bag(tmp_path / 'gone', out, room.backend(), Parameters(), choice)
    (out / 'metadata.yaml').unlink()
    with pytest.raises(SettingError, match='is already there'):
        process_bag(bag, out, room.backend(), Parameters(), choice)


def test_the_network_answers_no_image_twice(bag: Path, room: Drive, tmp_path: Path) -> None:
    class Counting(DegradedTruthBackend):
        asked = 0

        def infer(self, bgr: Any, times: Any = None) -> Any:
            self.asked += 1
            return super().infer(bgr, times)

    backend = room.backend()
    backend.__class__ = Counting
    assert isinstance(backend, Counting)
    out = tmp_path / 'out'
    process_bag(bag, out, backend, Parameters(), BY_LIDAR, After(6, interrupt))
    assert backend.asked == 6
    process_bag(bag, out, backend, Parameters(), replace(BY_LIDAR, resume=True))
    assert backend.asked == IMAGES


def test_sigterm_stops_too_and_before_the_first_image_nothing_is_kept(
    bag: Path, room: Drive, tmp_path: Path
) -> None:
    def terminate() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    # The first call tells of the images of an earlier run, before anything is read.
    summary = process_bag(
        bag, tmp_path / 'out', room.backend(), Parameters(), on_images=lambda _: terminate()
    )
    assert (summary.state, summary.out) == (State.STOPPED, None)
    assert summary.why == 'stopped by SIGTERM'
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_outside_of_the_main_thread_signals_are_left_alone(
    bag: Path, room: Drive, tmp_path: Path
) -> None:
    found: list[BagSummary] = []
    thread = threading.Thread(
        target=lambda: found.append(
            process_bag(bag, tmp_path / 'out', room.backend(), Parameters())
        )
    )
    thread.start()
    thread.join(60.0)
    assert [each.state for each in found] == [State.DONE]


@pytest.mark.parametrize('begun', [False, True])
def test_a_second_ctrl_c_ends_at_once_and_says_what_is_left(
    bag: Path, room: Drive, tmp_path: Path, begun: bool
) -> None:
    def press_twice() -> None:
        interrupt()
        interrupt()

    partial, choice = tmp_path / 'out.partial', replace(BY_LIDAR, resume=begun)
    before = content(stopped(bag, room, tmp_path / 'out')) if begun else []
    expected = r'stays as it was' if begun else r'holds the 5 frames .* --resume cannot go on'
    with pytest.raises(KeyboardInterrupt, match=rf'interrupted; .*out\.partial {expected}'):
        process_bag(
            bag, tmp_path / 'out', room.backend(), Parameters(), choice, After(5, press_twice)
        )
    assert [path.name for path in tmp_path.iterdir()] == ['out.partial']
    found = content(partial)
    assert found == before if begun else len([x for x in found if x[0] == RELATIVE]) == 5


@pytest.mark.parametrize('stage', ['stopped', 'finished', 'writing'])
def test_ctrl_c_while_a_bag_is_closed_or_written_to_costs_nothing(
    bag: Path,
    room: Drive,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    method = 'write' if stage == 'writing' else 'close'
    true = getattr(McapWriter, method)

    # Twice would end a run that is not being closed.
    presses = ['once'] if stage == 'writing' else ['once', 'twice', 'thrice']

    def press(*arguments: object) -> None:
        while presses:
            interrupt()
            presses.pop()
        true(*arguments)

    def act() -> None:
        monkeypatch.setattr(McapWriter, method, press)
        if stage == 'stopped':
            interrupt()

    out = tmp_path / 'out'
    summary = process_bag(bag, out, room.backend(), Parameters(), BY_LIDAR, After(4, act))
    monkeypatch.undo()
    assert summary.state is (State.DONE if stage == 'finished' else State.STOPPED)
    if summary.state is State.STOPPED:
        process_bag(bag, out, room.backend(), Parameters(), replace(BY_LIDAR, resume=True))
    assert content(out) == content(whole)
    assert [path.name for path in tmp_path.iterdir()] == ['out']


@pytest.mark.parametrize('error', [OSError(errno.ENOSPC, 'No space left'), KeyboardInterrupt()])
def test_an_error_while_two_parts_are_joined_leaves_the_first_as_it_was(
    bag: Path,
    room: Drive,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    partial = stopped(bag, room, tmp_path / 'out')
    before = content(partial)
    true, metadata = Path.replace, iter(range(9))

    def refuse(self: Path, target: Path) -> Path:
        # The first is written by rosbags, the second is of both parts.
        if self.name == 'metadata.yaml.tmp' and next(metadata) == 1:
            raise error
        return true(self, target)

    choice = replace(BY_LIDAR, resume=True)
    arguments = bag, tmp_path / 'out', room.backend(), Parameters(), choice
    monkeypatch.setattr(Path, 'replace', refuse)
    with pytest.raises((DepthAnythingError, KeyboardInterrupt), match=r'partial stays as it was'):
        process_bag(*arguments)
    monkeypatch.undo()
    assert content(partial) == before
    assert [path.name for path in tmp_path.iterdir()] == ['out.partial']
    process_bag(*arguments)
    assert content(tmp_path / 'out') == content(whole)


def stopped(bag: Path, room: Drive, out: Path) -> Path:
    process_bag(bag, out, room.backend(), Parameters(), BY_LIDAR, After(3, interrupt))
    return out.with_name('out.partial')


def test_going_on_with_other_settings_is_refused(bag: Path, room: Drive, tmp_path: Path) -> None:
    partial = stopped(bag, room, tmp_path / 'out')
    before = content(partial)
    other = parameters_from_flat({'relative.smoothing_s': 2.0})
    choice = replace(BY_LIDAR, resume=True)
    with pytest.raises(SettingError, match=r'\(relative.smoothing_s 0.5 then, 2.0 now\)'):
        process_bag(bag, tmp_path / 'out', room.backend(), other, choice)
    with pytest.raises(
        SettingError, match=r"outputs \['relative/image', .*\] then, \['scan'\] now"
    ):
        process_bag(
            bag, tmp_path / 'out', room.backend(), Parameters(), replace(choice, outputs=('scan',))
        )
    with pytest.raises(SettingError, match=r"reference '/lidar/points' then, '' now"):
        process_bag(bag, tmp_path / 'out', room.backend(), Parameters(), Choice(resume=True))
    assert content(partial) == before


def test_a_partial_bag_without_a_point_to_go_on_from_is_named(
    bag: Path, room: Drive, tmp_path: Path
) -> None:
    partial = stopped(bag, room, tmp_path / 'out')
    choice = replace(BY_LIDAR, resume=True)
    (partial / STATE_FILE).write_bytes(b'cos\nsystem\n(S"touch /tmp/never"\ntR.')
    with pytest.raises(DepthAnythingError, match=r'posix.system is no part|os.system is no part'):
        process_bag(bag, tmp_path / 'out', room.backend(), Parameters(), choice)
    (partial / RESUME_FILE).unlink()
    with pytest.raises(SettingError, match=r'does not say where to go on .*remove it and start'):
        process_bag(bag, tmp_path / 'out', room.backend(), Parameters(), choice)


# Out of disk.


def test_a_disk_that_is_nearly_full_stops_it_in_time(
    bag: Path, room: Drive, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)

    def fill() -> None:
        monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=10**6))

    out = tmp_path / 'out'
    summary = process_bag(bag, out, room.backend(), Parameters(), BY_LIDAR, After(5, fill))
    assert summary.state is State.STOPPED
    assert 'only 1 MB are left on the disk' in summary.why
    found = content(tmp_path / 'out.partial')
    assert found == content(whole)[: len(found)]
    monkeypatch.undo()
    process_bag(bag, out, room.backend(), Parameters(), replace(BY_LIDAR, resume=True))
    assert content(out) == content(whole)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('method', ['write', 'close'])
def test_a_full_disk_leaves_nothing_but_what_was_there_before(
    bag: Path,
    room: Drive,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    storage: str,
    method: str,
) -> None:
    writer = McapWriter if storage == 'mcap' else Sqlite3Writer
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse() -> None:
        def fail(*_: object) -> None:
            raise full

        monkeypatch.setattr(writer, method, fail)

    out = tmp_path / 'out'
    choice = replace(BY_LIDAR, storage=storage)
    arguments = bag, out, room.backend(), Parameters()
    with pytest.raises(
        DepthAnythingError,
        match=r'out cannot be written \(No space left on device\): what was written is removed',
    ):
        process_bag(*arguments, choice, After(3, refuse))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    process_bag(*arguments, choice, After(3, interrupt))
    before = content(tmp_path / 'out.partial')
    choice = replace(choice, resume=True)
    with pytest.raises(DepthAnythingError, match=r'out\.partial stays as it was'):
        process_bag(*arguments, choice, After(5, refuse))
    assert content(tmp_path / 'out.partial') == before
    monkeypatch.undo()
    process_bag(*arguments, choice)
    assert content(out) == content(whole)


# Damage, and many bags.


def test_a_bag_that_is_damaged_on_the_way_keeps_what_came_before(
    room: Drive, tmp_path: Path
) -> None:
    path = write_bag(tmp_path / 'in', recorded(room), compression=CompressionMode.STORAGE)
    (file,) = path.glob('*.mcap')
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    file.write_bytes(data)
    with pytest.raises(DepthAnythingError, match=r'is damaged: .* holds the .* frames before it'):
        process_bag(path, tmp_path / 'out', room.backend(), Parameters())
    found = read(tmp_path / 'out.partial', RELATIVE)
    assert 0 < len(found) < IMAGES


@pytest.fixture(scope='module')
def ten(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten bags of two images each; the fourth is no bag."""
    folder = tmp_path_factory.mktemp('ten')
    bags = []
    for number in range(10):
        what = drive('room', seconds=0.2, seed=number)
        bags.append(write_bag(folder / f'bag_{number}', recorded(what)))
    (file,) = bags[3].glob('*.mcap')
    file.write_bytes(b'no bag at all' * 100)
    return bags


def test_ten_bags_by_two_jobs_as_one_by_one_and_the_corrupted_one_is_named(
    ten: list[Path], tmp_path: Path
) -> None:
    done: list[tuple[int, int]] = []
    alone = process_bags(ten, tmp_path / 'alone', FAST, BY_LIDAR)
    crew = process_bags(ten, tmp_path / 'crew', FAST, BY_LIDAR, 2, lambda *at: done.append(at))
    for found in (alone, crew):
        assert [each.bag for each in found] == ten
        assert [each.state for each in found].count(State.DONE) == 9
        assert found[3].state is State.FAILED
        assert str(ten[3]) in found[3].why
        assert f'{ten[3].name}: bag {ten[3]}' in table(found)
        rows = json.loads(json_text(found))
        assert rows[3]['state'] == 'failed'
        assert rows[0]['images'] == IMAGES_OF_TEN
    assert done[-1] == (9 * IMAGES_OF_TEN, 9 * IMAGES_OF_TEN)
    names = sorted(path.name for path in (tmp_path / 'alone').iterdir())
    assert names == sorted(path.name for path in (tmp_path / 'crew').iterdir())
    assert len(names) == 9
    for name in names:
        assert content(tmp_path / 'alone' / name) == content(tmp_path / 'crew' / name)


def test_a_process_that_dies_costs_its_own_bag_only(ten: list[Path], tmp_path: Path) -> None:
    def kill_one() -> None:
        # As the kernel does when memory runs out.
        multiprocessing.active_children()[0].kill()

    found = process_bags(ten[4:8], tmp_path / 'out', FAST, jobs=2, on_progress=once(kill_one))
    assert sorted(each.state.value for each in found) == ['done', 'done', 'done', 'failed']
    (dead,) = [each for each in found if each.state is State.FAILED]
    assert 'its process ended with status -9' in dead.why
    for each in found:
        if each.out is not None:
            content(each.out)


def once(act: Callable[[], object]) -> Callable[[int, int], None]:
    """Do something when the first image is done."""
    after = After(1, act)
    return lambda done, total: after.at(done)


def test_stopping_many_bags_leaves_those_that_are_done(ten: list[Path], tmp_path: Path) -> None:
    after = After(IMAGES_OF_TEN + 1, interrupt)
    found = process_bags(
        ten[:3], tmp_path / 'out', FAST, on_progress=lambda done, total: after.at(done)
    )
    assert [each.state for each in found] == [State.DONE, State.STOPPED, State.STOPPED]
    assert found[2].why == 'stopped by SIGINT before it began'
    again = process_bags(ten[:3], tmp_path / 'out', FAST, Choice(resume=True))
    assert [each.state for each in again] == [State.WAS_THERE, State.DONE, State.DONE]
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        path.name for path in ten[:3]
    ]


def test_stopping_a_crew_stops_every_process(ten: list[Path], tmp_path: Path) -> None:
    many = [each for each in ten if each != ten[3]]
    found = process_bags(
        many,
        tmp_path / 'out',
        FAST,
        jobs=2,
        on_progress=once(interrupt),
    )
    states = [each.state for each in found]
    assert len(found) == len(many)
    assert State.STOPPED in states
    assert set(states) <= {State.STOPPED, State.DONE}
    for each in found:
        if each.out is not None:
            content(each.out)


@pytest.mark.parametrize('jobs', [1, 2])
def test_what_nobody_foresaw_costs_its_own_bag_only(
    ten: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    broken = tmp_path / 'broken'
    shutil.copytree(ten[0], broken)
    real = process_module.make_plan

    def stumble(reader: BagReader, *arguments: Any) -> Any:
        if reader.path == broken:
            raise KeyError('odd')
        return real(reader, *arguments)

    monkeypatch.setattr(process_module, 'make_plan', stumble)
    found = process_bags([broken, *ten[1:3]], tmp_path / 'out', FAST, jobs=jobs)
    assert [each.state for each in found] == [State.FAILED, State.DONE, State.DONE]
    assert f'bag {broken}: unforeseen KeyError in ' in found[0].why
    with pytest.raises(DepthAnythingError, match='broken: unforeseen KeyError'):
        process_bags([broken], tmp_path / 'alone', FAST)


def test_an_error_in_the_network_costs_its_own_bag_only(
    ten: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = jobs_module.process_bag

    def stumble(bag: Path, *arguments: Any) -> BagSummary:
        if bag == ten[1]:
            raise RuntimeError('out of memory')
        return real(bag, *arguments)

    monkeypatch.setattr(jobs_module, 'process_bag', stumble)
    found = process_bags(ten[:3], tmp_path / 'out', FAST)
    assert [each.state for each in found] == [State.DONE, State.FAILED, State.DONE]
    assert 'unforeseen RuntimeError in' in found[1].why


def test_a_second_ctrl_c_stops_the_bag_at_hand_and_begins_no_other(
    ten: list[Path], tmp_path: Path
) -> None:
    def press_twice() -> None:
        interrupt()
        interrupt()

    found = process_bags(ten[:2], tmp_path / 'out', FAST, on_progress=once(press_twice))
    assert [each.state for each in found] == [State.STOPPED, State.STOPPED]
    assert 'holds the 1 frames before it' in found[0].why
    assert found[1].why == 'stopped by SIGINT before it began'


def test_a_second_ctrl_c_lets_a_crew_close_its_bags(ten: list[Path], tmp_path: Path) -> None:
    def press_twice() -> None:
        interrupt()
        interrupt()

    found = process_bags(ten[:3], tmp_path / 'out', FAST, jobs=2, on_progress=once(press_twice))
    assert len(found) == 3
    assert {each.state for each in found} <= {State.STOPPED, State.DONE}
    assert not [path for path in (tmp_path / 'out').iterdir() if path.suffix == '.writing']
    for each in found:
        if each.out is not None:
            content(each.out)


def test_a_single_bag_that_cannot_be_processed_is_an_error(
    ten: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(DepthAnythingError, match=str(ten[3])):
        process_bags([ten[3]], tmp_path / 'out', FAST)


def test_bags_of_one_name_and_no_jobs_are_refused(ten: list[Path], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match='would both become'):
        process_bags([ten[0], ten[0]], tmp_path / 'out', FAST)
    with pytest.raises(SettingError, match='jobs is 0: give 1 or more'):
        process_bags([ten[0]], tmp_path / 'out', FAST, jobs=0)


def test_depth_images_are_no_pictures(bag: Path, room: Drive, tmp_path: Path) -> None:
    choice = Choice(reference=DEPTH, copy=('none',))
    process_bag(bag, tmp_path / 'out', room.backend(), Parameters(), choice)
    assert counts(tmp_path / 'out').keys() == {RELATIVE, *METRIC}
