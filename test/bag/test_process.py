"""Bags through the pipeline into bags: what is written, again, interrupted, and many at once."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import DEPTH, IMAGE, INFO, LIDAR, SCAN, Drive, drive
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat, Qos, QosReliability
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from written_bag import write_bag

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.bag import jobs as jobs_module
from depth_anything_ros.bag import process as process_module
from depth_anything_ros.bag.jobs import process_bags
from depth_anything_ros.bag.message_types import output_store
from depth_anything_ros.bag.plan import BagPlan, ProcessOptions
from depth_anything_ros.bag.process import plan_bag, process_bag
from depth_anything_ros.bag.reading import BagReader, BagTopic
from depth_anything_ros.bag.signals import stop_signals
from depth_anything_ros.bag.summary import BagState, BagSummary, json_text, table
from depth_anything_ros.bag.writing import RELIABLE, BagWriter, storage_of
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
NETWORK = {'variant': 'demo', 'weights': 'random', 'device': 'cpu'}
FAST = parameters_from_flat(NETWORK)
BY_LIDAR = ProcessOptions(reference=LIDAR)
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
    assert processed(bag, out, room.backend(), Parameters(), BY_LIDAR).good
    return out


def content(bag: Path) -> Messages:
    with BagReader(bag) as reader:
        assert reader.left_out == []
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


def processed(
    bag: Path,
    out: Path,
    backend: DepthBackend,
    parameters: Parameters,
    options: ProcessOptions | None = None,
    on_images: Callable[[int], object] = lambda images: None,
) -> BagSummary:
    """One bag under the signal handlers of process_bags."""
    with stop_signals() as stop:
        plan = plan_bag(bag, out, parameters, options or ProcessOptions())
        assert plan is not None
        return process_bag(plan, backend, parameters, on_images, stop)


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
    processed(source, tmp_path / 'out', room.backend(), Parameters())
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
    summary = processed(
        bag, tmp_path / 'out', room.backend(), Parameters(), ProcessOptions(copy=copy)
    )
    assert counts(tmp_path / 'out').keys() == expected | {RELATIVE}
    assert summary.copied == sum(counts(bag)[name] for name in expected)


def test_only_the_chosen_outputs_are_made(bag: Path, room: Drive, tmp_path: Path) -> None:
    options = replace(BY_LIDAR, outputs=('points', 'color', 'frame_stats'), copy=('none',))
    summary = processed(bag, tmp_path / 'out', room.backend(), Parameters(), options)
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
    options = replace(BY_LIDAR, compress=compress)
    processed(source, tmp_path / 'out', room.backend(), Parameters(), options)
    assert storage_of(tmp_path / 'out') == storage
    assert content(tmp_path / 'out') == content(whole)


def test_another_storage_is_written_where_asked(
    bag: Path, room: Drive, whole: Path, tmp_path: Path
) -> None:
    options = replace(BY_LIDAR, storage='sqlite3')
    processed(bag, tmp_path / 'out', room.backend(), Parameters(), options)
    assert storage_of(tmp_path / 'out') == 'sqlite3'
    assert content(tmp_path / 'out') == content(whole)


def test_compressed_images(room: Drive, tmp_path: Path) -> None:
    messages = [item for item in recorded(room) if item[0] != IMAGE]
    pictures = [message for topic, _, message in messages if topic == COMPRESSED]
    backend = DegradedTruthBackend(
        (bgr_from_compressed(each), room.truth[stamp_of(each)]) for each in pictures
    )
    source = write_bag(tmp_path / 'in', messages)
    summary = processed(source, tmp_path / 'out', backend, Parameters(), BY_LIDAR)
    assert (summary.images, summary.frames) == (IMAGES, IMAGES)
    assert len(read(tmp_path / 'out', RELATIVE)) == IMAGES


def test_several_cameras_get_their_names(room: Drive, tmp_path: Path) -> None:
    pictures = [(ns, m) for topic, ns, m in recorded(room) if topic == IMAGE]
    messages = [
        (f'/robot/{name}/image_raw', ns, m) for ns, m in pictures for name in ('front', 'rear')
    ]
    source = write_bag(tmp_path / 'in', messages)
    processed(
        source, tmp_path / 'out', room.backend(), Parameters(), ProcessOptions(copy=('none',))
    )
    front, rear = (f'{OUT}/{name}/relative/image' for name in ('front', 'rear'))
    assert counts(tmp_path / 'out') == {front: IMAGES, rear: IMAGES}
    both = content(tmp_path / 'out')
    assert [x[1:] for x in both if x[0] == front] == [x[1:] for x in both if x[0] == rear]


def test_of_several_cameras_each_is_named_that_has_no_metres(room: Drive, tmp_path: Path) -> None:
    messages = recorded(room)
    messages += [('/rear/image_raw', ns, m) for topic, ns, m in messages if topic == IMAGE]
    messages.sort(key=lambda each: each[1])
    images = [place for place, item in enumerate(messages) if item[0] == IMAGE]
    topic, receive_ns, message = messages[images[1]]
    messages[images[1]] = topic, receive_ns, replace(message, data=np.zeros(9, np.uint8))
    source = write_bag(tmp_path / 'in', messages)
    summary = processed(source, tmp_path / 'out', room.backend(), Parameters(), BY_LIDAR)
    assert [(x.name, x.camera, x.count) for x in summary.no_metres] == [
        ('no_camera_info', '/rear/image_raw', IMAGES)
    ]
    assert f'1 of {2 * IMAGES} images refused on {IMAGE}: data hold' in table([summary])
    assert 'the bag has no /rear/camera_info: name' in table([summary])


def test_outputs_of_an_earlier_run_are_no_input_and_are_replaced(
    whole: Path, room: Drive, tmp_path: Path
) -> None:
    again = tmp_path / 'again'
    processed(whole, again, room.backend(), Parameters(), BY_LIDAR)
    assert content(again) == content(whole)


def test_images_that_are_refused_are_counted(room: Drive, tmp_path: Path) -> None:
    messages = recorded(room)
    place = next(place for place, item in enumerate(messages) if item[0] == IMAGE)
    topic, receive_ns, message = messages[place]
    messages[place] = topic, receive_ns, replace(message, data=np.zeros(9, np.uint8))
    source = write_bag(tmp_path / 'in', messages)
    summary = processed(source, tmp_path / 'out', room.backend(), Parameters())
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
    options = ProcessOptions(images=(IMAGE,))
    source = write_bag(tmp_path / 'in', messages)
    summary = processed(source, tmp_path / 'out', room.backend(), Parameters(), options)
    assert (summary.state, summary.good) == (BagState.DONE, False)
    silent = (('/silent/image', 'sensor_msgs/msg/Image'),)
    source = write_bag(tmp_path / 'silent', recorded(room), extra_topics=silent)
    summary = processed(
        source,
        tmp_path / 'none',
        room.backend(),
        Parameters(),
        ProcessOptions(images=('/silent/image',)),
    )
    assert not summary.good
    assert 'it has no images: name a topic that has some (--image)' in table([summary])


@pytest.mark.parametrize(
    ('missing', 'options', 'kind', 'reason'),
    [
        ('/tf_static', BY_LIDAR, 'auto', 'no_transform'),
        (INFO, BY_LIDAR, 'auto', 'no_camera_info'),
        ('/tf_static', ProcessOptions(), 'ground_plane', 'no_transform'),
    ],
)
def test_a_reference_that_never_works_is_told_and_not_good(
    room: Drive, tmp_path: Path, missing: str, options: ProcessOptions, kind: str, reason: str
) -> None:
    source = write_bag(tmp_path / 'in', [each for each in recorded(room) if each[0] != missing])
    parameters = parameters_from_flat({'reference.type': kind})
    summary = processed(source, tmp_path / 'out', room.backend(), parameters, options)
    assert (summary.state, summary.metric, summary.good) == (BagState.DONE, 0, False)
    (why,) = summary.no_metres
    assert (why.name, why.count) == (reason, IMAGES)
    assert f'{IMAGES} of {IMAGES} frames without metres: {why.message}' in table([summary])
    (row,) = json.loads(json_text([summary]))
    assert row['good'] is False
    text = {'name': reason, 'count': IMAGES, 'message': why.message, 'camera': ''}
    assert row['no_metres'] == [text]
    assert ('--camera-info' in ''.join(row['notes'])) is (missing == INFO)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            ProcessOptions(outputs=('depth',)),
            "output 'depth/image' needs metres: name a reference",
        ),
        (ProcessOptions(images=('/nowhere',)), 'has no topic /nowhere: it has'),
        (ProcessOptions(copy=('/nowhere',)), 'has no topic /nowhere: it has'),
        (
            ProcessOptions(images=(IMAGE, COMPRESSED), camera_info=INFO),
            'is one topic for 2 image topics',
        ),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    bag: Path, room: Drive, tmp_path: Path, options: ProcessOptions, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        processed(bag, tmp_path / 'out', room.backend(), Parameters(), options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'outputs': ('deep',)}, "output 'deep' is not known: choose from relative"),
        ({'storage': 'tape'}, "storage 'tape' is not known: choose one of mcap, sqlite3"),
        ({'copy': ('none', SCAN)}, 'says two things: all and none stand alone'),
    ],
)
def test_a_options_that_fits_no_bag_is_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        ProcessOptions(**options)


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
        process_bags(
            [Path('in')], Path('out'), FAST, ProcessOptions(reference='/nowhere'), fetch=never
        )
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
            processed(bag, tmp_path / 'out', room.backend(), Parameters())
        (tmp_path / name).rmdir()


# Again, and interrupted.


def test_twice_gives_equal_bytes(bag: Path, tmp_path: Path) -> None:
    for name in ('one', 'other'):
        process_bags([bag], tmp_path / name, FAST, BY_LIDAR)
    one, other = content(tmp_path / 'one'), content(tmp_path / 'other')
    assert len([item for item in one if item[0] == RELATIVE]) == IMAGES
    assert one == other


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_an_interrupted_run_leaves_a_valid_bag_and_resume_starts_it_again(
    bag: Path, room: Drive, whole: Path, tmp_path: Path, storage: str
) -> None:
    out, partial = tmp_path / 'out', tmp_path / 'out.partial'
    options = replace(BY_LIDAR, storage=storage)
    arguments = bag, out, room.backend(), Parameters()
    for resume, stop in ((False, 4), (True, 2)):
        options = replace(options, resume=resume)
        summary = processed(*arguments, options, After(stop, interrupt))
        assert summary.state is BagState.STOPPED
        assert (summary.images, summary.out) == (stop, partial)
        assert summary.why.startswith(f'stopped by SIGINT; {partial} holds what there is, and ')
        assert not out.exists()
        found = content(partial)
        assert found == content(whole)[: len(found)]
        assert len([item for item in found if item[0] == RELATIVE]) == stop
    with pytest.raises(SettingError, match='start it again with --resume, or rename or remove'):
        processed(*arguments, replace(options, resume=False))
    summary = processed(*arguments, options)
    assert summary.state is BagState.DONE
    assert (summary.images, summary.frames) == (IMAGES, IMAGES)
    assert content(out) == content(whole)
    assert [path.name for path in tmp_path.iterdir()] == ['out']
    assert plan_bag(bag, out, Parameters(), options) is None
    # Only what is a bag was made by an earlier run, and only of a bag.
    with pytest.raises(SettingError, match='does not exist'):
        processed(tmp_path / 'gone', *arguments[1:], options)
    (out / 'metadata.yaml').unlink()
    with pytest.raises(SettingError, match='is already there'):
        processed(*arguments, options)


def test_a_partial_output_that_is_not_a_bag_is_never_removed(
    bag: Path, room: Drive, tmp_path: Path
) -> None:
    kept = tmp_path / 'out.partial' / 'notes.txt'
    kept.parent.mkdir()
    kept.touch()
    options = ProcessOptions(resume=True)
    with pytest.raises(SettingError, match=r'out\.partial is not a bag: rename or remove it'):
        processed(bag, tmp_path / 'out', room.backend(), Parameters(), options)
    assert kept.exists()


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_what_a_killed_run_had_written_can_be_read_and_is_named(
    bag: Path, tmp_path: Path, storage: str
) -> None:
    out, whole = tmp_path / 'out', tmp_path / 'whole'
    options = replace(BY_LIDAR, storage=storage)
    process_bags([bag], whole, FAST, options)
    code = (
        'import os, signal, sys\n'
        'from pathlib import Path\n'
        'from depth_anything_ros.bag.jobs import process_bags\n'
        'from depth_anything_ros.bag.plan import ProcessOptions\n'
        'from depth_anything_ros.core.parameters import parameters_from_flat\n'
        f'parameters = parameters_from_flat({NETWORK})\n'
        f'options = ProcessOptions(reference={LIDAR!r}, storage={storage!r})\n'
        'def kill(done, total):\n'
        '    if done == total:\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n'
        'process_bags([Path(sys.argv[1])], Path(sys.argv[2]), parameters, options, 1, kill)\n'
    )
    done = subprocess.run([sys.executable, '-c', code, bag, out], check=False)
    assert done.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out.writing', 'whole']
    (left,) = (tmp_path / 'out.writing').iterdir()
    if storage == 'sqlite3':
        # Its messages are one transaction, of which a part is not a database.
        with pytest.raises(DepthAnythingError, match=r'cannot be opened: .*copy it again'):
            content(left)
    else:
        with BagReader(left) as reader:
            found = [(x.topic, x.receive_ns, bytes(x.raw)) for x in reader.messages()]
            assert f'{len(found)} messages are there to read' in reader.left_out[0].message
        assert len(found) > 100
        assert found == content(whole)[: len(found)]
    with pytest.raises(SettingError, match='one that was killed left it with what it had writt'):
        process_bags([bag], out, FAST, replace(options, resume=True))


@pytest.mark.parametrize('kept', [0, 1])
def test_sigterm_stops_too_and_before_the_first_image_nothing_is_kept(
    bag: Path, room: Drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    def terminate() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    after = After(kept, terminate)
    if not kept:
        announce = BagWriter.add_output
        monkeypatch.setattr(
            BagWriter, 'add_output', lambda *given: (terminate(), announce(*given))
        )
    summary = processed(bag, tmp_path / 'out', room.backend(), Parameters(), None, after)
    assert summary.state is BagState.STOPPED
    assert summary.why.startswith('stopped by SIGTERM')
    assert (summary.out is not None) == bool(kept)
    assert len(list(tmp_path.iterdir())) == kept
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_outside_of_the_main_thread_signals_are_left_alone(
    bag: Path, room: Drive, tmp_path: Path
) -> None:
    found: list[BagSummary] = []
    thread = threading.Thread(
        target=lambda: found.append(processed(bag, tmp_path / 'out', room.backend(), Parameters()))
    )
    thread.start()
    thread.join(60.0)
    assert [each.state for each in found] == [BagState.DONE]


def test_a_second_ctrl_c_ends_at_once_and_says_what_is_left(
    bag: Path, room: Drive, tmp_path: Path
) -> None:
    def press_twice() -> None:
        interrupt()
        interrupt()

    with pytest.raises(KeyboardInterrupt, match=r'interrupted; .*out\.partial holds the 5 frames'):
        processed(
            bag, tmp_path / 'out', room.backend(), Parameters(), BY_LIDAR, After(5, press_twice)
        )
    assert [path.name for path in tmp_path.iterdir()] == ['out.partial']
    found = content(tmp_path / 'out.partial')
    assert len([x for x in found if x[0] == RELATIVE]) == 5


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
    summary = processed(bag, out, room.backend(), Parameters(), BY_LIDAR, After(4, act))
    monkeypatch.undo()
    assert summary.state is (BagState.DONE if stage == 'finished' else BagState.STOPPED)
    if summary.state is BagState.STOPPED:
        processed(bag, out, room.backend(), Parameters(), replace(BY_LIDAR, resume=True))
    assert content(out) == content(whole)
    assert [path.name for path in tmp_path.iterdir()] == ['out']


# Out of disk.


def test_a_disk_that_is_nearly_full_stops_it_in_time(
    bag: Path, room: Drive, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)

    def fill() -> None:
        monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage._replace(free=10**6))

    out = tmp_path / 'out'
    summary = processed(bag, out, room.backend(), Parameters(), BY_LIDAR, After(5, fill))
    assert summary.state is BagState.STOPPED
    assert 'only 1 MB are left on the disk' in summary.why
    found = content(tmp_path / 'out.partial')
    assert found == content(whole)[: len(found)]
    monkeypatch.undo()
    processed(bag, out, room.backend(), Parameters(), replace(BY_LIDAR, resume=True))
    assert content(out) == content(whole)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('method', ['add_connection', 'write', 'close'])
def test_a_full_disk_leaves_nothing(
    bag: Path,
    room: Drive,
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
    options = replace(BY_LIDAR, storage=storage)
    if method == 'add_connection':
        refuse()
    with pytest.raises(
        DepthAnythingError,
        match=r'out cannot be written \(No space left on device\): what was written is removed',
    ):
        processed(bag, out, room.backend(), Parameters(), options, After(3, refuse))
    assert list(tmp_path.iterdir()) == []


# Damage, and many bags.


def test_a_bag_is_processed_around_its_damage_and_says_so(room: Drive, tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'in', recorded(room), compression=CompressionMode.STORAGE)
    (file,) = path.glob('*.mcap')
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200_000] = bytes(200_000)
    file.write_bytes(data)
    summary = processed(path, tmp_path / 'out', room.backend(), Parameters())
    assert (summary.state, summary.good, summary.complete) == (BagState.DONE, True, False)
    assert f'left out: a damaged chunk of {file.name}: ' in '\n'.join(summary.remarks)
    (row,) = json.loads(json_text([summary]))
    assert [each['name'].split(',')[0] for each in row['left_out']] == [file.name]
    stamps = [time_ns for time_ns, _ in read(tmp_path / 'out', RELATIVE)]
    assert 0 < len(stamps) == summary.frames < IMAGES
    # What came behind the damage is there too.
    last = max(time_ns for topic, time_ns, _ in recorded(room) if topic == IMAGE)
    assert stamps[-1] == last


@pytest.fixture(scope='module')
def ten(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten bags of two images each; the fourth is not a bag."""
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
        assert [each.state for each in found].count(BagState.DONE) == 9
        assert found[3].state is BagState.FAILED
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
    (dead,) = [each for each in found if each.state is BagState.FAILED]
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
    assert [each.state for each in found] == [BagState.DONE, BagState.STOPPED, BagState.STOPPED]
    assert found[2].why == 'stopped by SIGINT before it began'
    again = process_bags(ten[:3], tmp_path / 'out', FAST, ProcessOptions(resume=True))
    assert [each.state for each in again] == [BagState.WAS_THERE, BagState.DONE, BagState.DONE]
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
    assert BagState.STOPPED in states
    assert set(states) <= {BagState.STOPPED, BagState.DONE}
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
    assert [each.state for each in found] == [BagState.FAILED, BagState.DONE, BagState.DONE]
    assert f'bag {broken}: unforeseen KeyError in ' in found[0].why
    with pytest.raises(DepthAnythingError, match='broken: unforeseen KeyError'):
        process_bags([broken], tmp_path / 'alone', FAST)


def test_an_error_in_the_network_costs_its_own_bag_only(
    ten: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = jobs_module.process_bag

    def stumble(plan: BagPlan, *arguments: Any) -> BagSummary:
        if plan.bag == ten[1]:
            raise RuntimeError('out of memory')
        return real(plan, *arguments)

    monkeypatch.setattr(jobs_module, 'process_bag', stumble)
    found = process_bags(ten[:3], tmp_path / 'out', FAST)
    assert [each.state for each in found] == [BagState.DONE, BagState.FAILED, BagState.DONE]
    assert 'unforeseen RuntimeError in' in found[1].why


def test_a_second_ctrl_c_stops_the_bag_at_hand_and_begins_no_other(
    ten: list[Path], tmp_path: Path
) -> None:
    def press_twice() -> None:
        interrupt()
        interrupt()

    found = process_bags(ten[:2], tmp_path / 'out', FAST, on_progress=once(press_twice))
    assert [each.state for each in found] == [BagState.STOPPED, BagState.STOPPED]
    assert 'holds the 1 frames before it' in found[0].why
    assert found[1].why == 'stopped by SIGINT before it began'


def test_a_second_ctrl_c_lets_a_crew_close_its_bags(ten: list[Path], tmp_path: Path) -> None:
    def press_twice() -> None:
        interrupt()
        interrupt()

    found = process_bags(ten[:3], tmp_path / 'out', FAST, jobs=2, on_progress=once(press_twice))
    assert len(found) == 3
    assert {each.state for each in found} <= {BagState.STOPPED, BagState.DONE}
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
    alike = [tmp_path / 'a.mcap', tmp_path / 'a.mcap.zstd']
    with pytest.raises(SettingError, match=f'would both become {tmp_path}/out/a: rename one'):
        process_bags(alike, tmp_path / 'out', FAST)
    with pytest.raises(SettingError, match='jobs is 0: give 1 or more'):
        process_bags([ten[0]], tmp_path / 'out', FAST, jobs=0)


def test_depth_images_are_no_pictures(bag: Path, room: Drive, tmp_path: Path) -> None:
    options = ProcessOptions(reference=DEPTH, copy=('none',))
    processed(bag, tmp_path / 'out', room.backend(), Parameters(), options)
    assert counts(tmp_path / 'out').keys() == {RELATIVE, *METRIC}
