from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Range
from written_bag import MAKE, write_bag

from depth_anything_ros import cli
from depth_anything_ros.bag.reading import BagMessage, BagReader
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.types import Camera
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.ros.qos import LATCHED, REFERENCE, SENSOR
from lab.play import PlayOptions, PlaySummary, play
from lab.play.timeline import Span, Timeline, span_of

SECOND = 10**9
START = 1_700_000_000 * SECOND
IMAGE, INFO, RANGE, DEPTH = '/camera/image_raw', '/camera/camera_info', '/range', '/depth/image'
ANSWERS = '/peer/answers'


def offered(
    reliability: QosReliability = QosReliability.RELIABLE,
    durability: QosDurability = QosDurability.VOLATILE,
) -> tuple[Qos]:
    unset = QosTime(0, 0)
    liveliness = QosLiveliness.AUTOMATIC
    return (
        Qos(
            QosHistory.KEEP_LAST,
            1,
            reliability,
            durability,
            unset,
            unset,
            liveliness,
            unset,
            False,
        ),
    )


def range_message(stamp_ns: int, value: float) -> Any:
    name, header = 'sensor_msgs/msg/Range', MAKE.header(stamp_ns, 'range_link')
    return MAKE.store.types[name](header, 0, 0.1, 0.1, 10.0, value, 0.0)


def record(
    path: Path, images: int, rate_hz: float = 10.0, side: int = 32, ranges: int = 2, **how: Any
) -> Path:
    """Write a camera, its camera_info received at the same times, and `ranges` before each."""
    random = np.random.default_rng(0)
    camera = Camera(side, side, 30.0, 30.0, side / 2, side / 2)
    messages: list[tuple[str, int, Any]] = []
    for index in range(images):
        stamp = START + round(index / rate_hz * SECOND)
        for step in range(ranges):
            # The first image is the first message.
            at = max(START, stamp - SECOND // 1000 * (ranges - step)) + bool(index == 0)
            messages.append((RANGE, at, range_message(at, index + 0.01 * step)))
        picture = random.integers(0, 256, (side, side, 3), np.uint8)
        messages.append((IMAGE, stamp, MAKE.color(stamp, 'camera', picture)))
        messages.append((DEPTH, stamp, MAKE.millimetres(stamp, 'd', np.ones((2, 2), np.uint16))))
        messages.append((INFO, stamp, MAKE.camera_info(stamp, 'camera', camera)))
    messages.sort(key=lambda message: message[1])
    return write_bag(path, messages, **how)


def contents(bag: Path) -> list[BagMessage]:
    with BagReader(bag) as reader:
        return list(reader.messages())


class Peer:
    """A node on a thread of its own that remembers what arrives and answers some images."""

    def __init__(
        self,
        image_topic: str = IMAGE,
        answer: Callable[[int], bool] = lambda stamp_ns: True,
        delay_s: float = 0.0,
    ) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node('peer', context=self.context)
        self.got: list[tuple[str, bytes]] = []
        self.clock_ns: list[int] = []
        self._answer, self._delay_s = answer, delay_s
        self._answers = self.node.create_publisher(DiagnosticArray, ANSWERS, 1)
        # The image first, as the depth node does: where all wait, it is taken first.
        for topic, kind, profile in (
            (image_topic, Image, SENSOR),
            (INFO, CameraInfo, SENSOR),
            (RANGE, Range, REFERENCE),
        ):
            self.node.create_subscription(
                kind, topic, lambda raw, topic=topic: self._on(topic, raw), profile, raw=True
            )
        self.node.create_subscription(
            Clock, '/clock', lambda m: self.clock_ns.append(ns_from_stamp(m.clock)), 100
        )
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join(20.0)
        self.node.destroy_node()
        self.context.try_shutdown()

    def raw(self, topic: str) -> list[bytes]:
        return [raw for name, raw in self.got if name == topic]

    def _on(self, topic: str, raw: bytes) -> None:
        self.got.append((topic, raw))
        if 'image' in topic:
            header = deserialize_message(raw, Image).header
            if self._answer(ns_from_stamp(header.stamp)):
                # The network that the answer takes its time in.
                work = threading.Timer(self._delay_s, self._answers.publish)
                work.args = (DiagnosticArray(header=header),)
                work.start()


def test_lockstep_drops_nothing_and_hands_over_everything_before_each_image(
    tmp_path: Path,
) -> None:
    # Larger than what Fast DDS shares by default, and queues of 10 shorter than the ranges.
    bag = record(tmp_path / 'bag', images=25, side=512, ranges=12)
    with Peer(delay_s=0.005) as peer:
        summary = play(bag, PlayOptions(rate=1000.0, lockstep=ANSWERS, clock_hz=40.0))
    assert (summary.unanswered, summary.rounds, summary.interrupted) == ((), 1, False)
    expected = [
        (message.topic, message.raw) for message in contents(bag) if message.topic != DEPTH
    ]
    assert summary.messages == len(expected) + 25

    def between(messages: list[tuple[str, bytes]]) -> list[dict[str, list[bytes]]]:
        """What came of each topic up to each image; the order between topics is not promised."""
        parts: list[dict[str, list[bytes]]] = [{}]
        for topic, raw in messages:
            parts[-1].setdefault(topic, []).append(raw)
            if topic == IMAGE:
                parts.append({})
        return parts

    assert between(peer.got)[:25] == between(expected)[:25]


def test_an_image_without_an_answer_is_told_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bag = record(tmp_path / 'bag', images=4)
    silent = START + SECOND // 10
    with Peer(answer=lambda stamp_ns: stamp_ns != silent) as peer:
        summary = play(bag, PlayOptions(rate=100.0, lockstep=ANSWERS, timeout_s=0.5))
    assert summary.unanswered == (silent,)
    assert len(peer.raw(IMAGE)) == 4
    assert 'within 0.5 s to the image of /camera/image_raw stamped 1700000000.1000' in caplog.text


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (PlayOptions(lockstep=ANSWERS, timeout_s=0.3), 'the first one: choose by topics'),
        (
            PlayOptions(lockstep='/nobody', wait_s=0.3),
            rf'nobody publishes /nobody after 0.3 s \(others publish {ANSWERS}\): start',
        ),
        (PlayOptions(wait_for=(DEPTH,), wait_s=0.3), 'nobody subscribes to /depth/image'),
        (PlayOptions(wait_for=('/no',)), f'/no is not played: wait for one of {INFO}, {IMAGE}, '),
        (PlayOptions(lockstep='/clock', clock_hz=1.0), 'type rosgraph_msgs/msg/Clock: name'),
        (PlayOptions(topics=('/no',)), 'has no topic /no: it has /camera/camera_info'),
        (PlayOptions(remap={'/no': '/yes'}), 'has no topic /no'),
        (PlayOptions(remap={IMAGE: 'a b'}), "image_raw cannot be published as 'a b': Invalid"),
        (PlayOptions(remap={IMAGE: RANGE}), "cannot be published as '/range'"),
        (PlayOptions(start_offset_s=9.0), 'start offset is 9 s, but the bag lasts 0.100 s'),
        (PlayOptions(lockstep=ANSWERS, topics=(RANGE,)), 'has no colour images'),
        (PlayOptions(topics=(INFO,), start_offset_s=0.05, duration_s=0.01), 'has no messages of'),
        (PlayOptions(start_offset_s=0.1, loop=True), 'has 0 s to loop'),
    ],
)
def test_what_cannot_be_played_is_said(tmp_path: Path, options: PlayOptions, said: str) -> None:
    bag = record(tmp_path / 'bag', images=2)
    with (
        Peer(answer=lambda stamp_ns: False),
        pytest.raises(DepthAnythingError, match=said),
    ):
        play(bag, options)


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (
            PlayOptions(lockstep='/nobody', wait_s=0.6),
            f'nobody publishes /nobody yet (others publish {ANSWERS}): waiting for up to 0.6 s',
        ),
        (
            PlayOptions(wait_for=(DEPTH,), wait_s=0.6),
            'nobody subscribes to /depth/image yet: waiting for up to 0.6 s',
        ),
    ],
)
def test_a_wait_is_told_soon(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    options: PlayOptions,
    said: str,
) -> None:
    monkeypatch.setattr('lab.play.player._PATIENCE_S', 0.3)
    bag = record(tmp_path / 'bag', images=2)
    with Peer(), pytest.raises(DepthAnythingError, match=r'after 0.6 s'):
        play(bag, options)
    assert caplog.messages == [said]


def test_the_command_line_sets_how_long_to_wait(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = record(tmp_path / 'bag', images=1)
    assert cli.main(['bag', 'play', str(bag), '--wait-for', RANGE, '--wait', '0.2']) == 2
    assert 'nobody subscribes to /range after 0.2 s: start' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['rate', 'timeout_s', 'wait_s', 'duration_s', 'clock_hz'])
def test_numbers_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f'{name} is -1: give'):
        PlayOptions(**{name: -1.0})
    with pytest.raises(SettingError, match=f'{name} is nan'):
        PlayOptions(**{name: math.nan})


def interrupting_after(rounds: int) -> Callable[[float, float], None]:
    """Interrupt as Ctrl-C does, in the middle of the round after these."""
    last_s = math.inf

    def on_progress(done_s: float, total_s: float) -> None:
        nonlocal rounds, last_s
        rounds -= done_s < last_s
        last_s = done_s
        if rounds < 0 and done_s > total_s / 2:
            raise KeyboardInterrupt

    return on_progress


def test_the_clock_goes_forward_and_jumps_back_where_the_bag_loops(tmp_path: Path) -> None:
    bag = record(tmp_path / 'bag', images=6)
    options = PlayOptions(rate=2.0, clock_hz=200.0, loop=True, wait_for=(IMAGE,))
    with Peer() as peer:
        summary = play(bag, options, interrupting_after(rounds=3))
    assert (summary.rounds, summary.interrupted) == (3, True)
    pairs = zip(peer.clock_ns, peer.clock_ns[1:], strict=False)
    assert [later for before, later in pairs if later < before] == [START] * 3
    # Most of the ticks fall between messages, and each tells the time between them.
    assert len({*peer.clock_ns}) > 40
    assert min(peer.clock_ns) == START
    assert max(peer.clock_ns) <= START + SECOND // 2


def test_in_lockstep_the_clock_stands_still_while_an_answer_is_awaited(tmp_path: Path) -> None:
    bag = record(tmp_path / 'bag', images=3, rate_hz=1000.0, ranges=0)
    options = PlayOptions(clock_hz=100.0, lockstep=ANSWERS)
    with Peer(delay_s=0.2) as peer:
        summary = play(bag, options)
    times = Counter(peer.clock_ns)
    stamps = [START + index * SECOND // 1000 for index in range(3)]
    # Twenty ticks fit each answer; a busy machine tells fewer.
    assert all(times[stamp] >= 5 for stamp in stamps)
    assert summary.seconds > 0.6
    assert peer.clock_ns == sorted(peer.clock_ns)


def test_a_part_of_chosen_topics_under_other_names_at_a_rate(tmp_path: Path) -> None:
    bag = record(tmp_path / 'bag', images=11)
    heard: list[tuple[float, float]] = []
    options = PlayOptions(
        topics=(IMAGE, INFO),
        remap={IMAGE: '/front/image'},
        rate=2.0,
        start_offset_s=0.3,
        duration_s=0.4,
        wait_for=('/front/image', INFO),
    )
    with Peer('/front/image') as peer:
        summary = play(bag, options, lambda done_s, total_s: heard.append((done_s, total_s)))
    expected = [m.raw for m in contents(bag) if m.topic == IMAGE][3:8]
    assert summary.messages == 2 * len(expected)
    # Half a second of bag takes no less than its part at that rate.
    assert summary.seconds >= 0.2
    assert heard[0] == (0.0, pytest.approx(0.4))
    assert heard[-1] == (pytest.approx(0.4), pytest.approx(0.4))
    assert not peer.raw(RANGE)
    # The last may be on their way when the peer ends; none is out of order.
    got = peer.raw('/front/image')
    assert got and got == expected[: len(got)]


def test_types_that_are_not_installed_are_skipped_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    transforms = MAKE.transforms(START, [])
    messages = [('/tf_static', START, transforms), ('/tf', START, transforms)]
    messages.append((RANGE, START, range_message(START, 1.0)))
    bag = write_bag(tmp_path / 'bag', messages)
    # As where they are missing, also where they are not.
    monkeypatch.setitem(sys.modules, 'tf2_msgs', None)
    monkeypatch.setitem(sys.modules, 'tf2_msgs.msg', None)
    assert play(bag).messages == 1
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith('not played: /tf, /tf_static, because tf2_msgs is not')
    assert 'install ros-$ROS_DISTRO-tf2-msgs' in caplog.messages[0]
    with pytest.raises(DepthAnythingError, match='no topic to play: it has /range, /tf, /tf_stat'):
        play(bag, PlayOptions(topics=('/tf',)))


def late_subscriber(kind: type, topic: str) -> Iterator[bytes]:
    """Subscribe, and give what a latched topic has for those who come late."""
    context = Context()
    rclpy.init(context=context)
    node = Node('late', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    got: list[bytes] = []
    node.create_subscription(kind, topic, got.append, LATCHED, raw=True)
    deadline = time.monotonic() + 20.0
    while not got and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()
    yield from got


@pytest.mark.parametrize('offset_s', [0.0, 0.5])
def test_who_comes_late_gets_what_was_latched(tmp_path: Path, offset_s: float) -> None:
    latched = offered(durability=QosDurability.TRANSIENT_LOCAL)
    messages = [
        (RANGE, START, range_message(START, 1.0)),
        (RANGE, START + 1, range_message(1, 2.0)),
    ]
    camera = Camera(8, 8, 5.0, 5.0, 4.0, 4.0)
    messages.append((INFO, START + SECOND, MAKE.camera_info(START, 'camera', camera)))
    bag = write_bag(tmp_path / 'bag', messages, qos=latched)
    got: list[bytes] = []

    def at_the_end(done_s: float, total_s: float) -> None:
        if done_s == total_s:
            got.extend(late_subscriber(Range, RANGE))

    play(bag, PlayOptions(rate=20.0, start_offset_s=offset_s), at_the_end)
    # Depth 1 was recorded.
    assert got == [contents(bag)[1].raw]


@pytest.mark.parametrize(
    ('qos', 'lockstep', 'reliable'),
    [
        (offered(), '', True),
        (offered(QosReliability.BEST_EFFORT), '', False),
        (offered(QosReliability.BEST_EFFORT), ANSWERS, True),
        (offered(QosReliability.BEST_EFFORT) + offered(), '', True),
        ((), '', True),
    ],
    ids=['reliable', 'best effort', 'best effort in lockstep', 'one of two', 'unknown'],
)
def test_the_recorded_qos_is_offered(
    tmp_path: Path, qos: tuple[Qos, ...], lockstep: str, reliable: bool
) -> None:
    bag = record(tmp_path / 'bag', images=2, qos=qos)
    found: list[Any] = []
    with Peer() as peer:

        def look(done_s: float, total_s: float) -> None:
            if not found:
                found.extend(peer.node.get_publishers_info_by_topic(INFO))

        play(bag, PlayOptions(lockstep=lockstep, wait_for=(INFO,)), look)
    profile = found[0].qos_profile
    assert profile.durability == DurabilityPolicy.VOLATILE
    assert (profile.reliability == ReliabilityPolicy.RELIABLE) is reliable


def test_ctrl_c_ends_it_in_good_order(tmp_path: Path) -> None:
    bag = record(tmp_path / 'bag', images=3)
    code = (
        'import sys\n'
        'from lab.play import PlayOptions, play\n'
        'tell = lambda done_s, total_s: print(done_s, flush=True)\n'
        'summary = play(sys.argv[1], PlayOptions(loop=True, clock_hz=50.0), tell)\n'
        'sys.exit(7 if summary.interrupted else 1)\n'
    )
    command = [sys.executable, '-c', code, str(bag)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == '0.0\n'
        # From the terminal, and again from a launch.
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(20.0) == 7
        assert process.stderr.read() == ''


def test_shared_memory_has_room_for_images_unless_the_user_knows_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = record(tmp_path / 'bag', images=1)
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE')
    play(bag)
    assert os.environ['FASTRTPS_DEFAULT_PROFILES_FILE'].endswith('config/fastdds.xml')


# Scheduling, without ROS.


def test_a_span_is_cut_from_the_bag() -> None:
    end = START + 10 * SECOND
    assert span_of(START, end, 0.0, math.inf) == Span(START, end)
    assert span_of(START, end, 2.5, math.inf) == Span(START + 5 * SECOND // 2, end)
    assert span_of(START, end, 2.0, 3.0) == Span(START + 2 * SECOND, START + 5 * SECOND)
    assert span_of(START, end, 9.0, 3.0) == Span(START + 9 * SECOND, end)
    assert span_of(START, end, 10.0, 1.0) == Span(end, end)


@pytest.mark.parametrize('rate', [0.25, 1.0, 3.0])
def test_deadlines_follow_the_rate_and_bag_time_is_their_inverse(rate: float) -> None:
    timeline = Timeline(rate)
    timeline.start(START, 100.0)
    hour = START + 3600 * SECOND
    assert timeline.due_s(START) == 100.0
    assert timeline.due_s(hour) == pytest.approx(100.0 + 3600.0 / rate, abs=1e-9)
    # A nanosecond is less than a double of 10,000 s resolves.
    assert timeline.bag_ns(timeline.due_s(hour)) == pytest.approx(hour, abs=10_000)


def test_bag_time_stands_still_while_held() -> None:
    timeline = Timeline(2.0)
    timeline.start(START, 100.0)
    before = timeline.bag_ns(101.0)
    timeline.hold(5.0)
    assert timeline.bag_ns(106.0) == before == START + 2 * SECOND
    assert timeline.due_s(START + 4 * SECOND) == 107.0


def test_the_summary_of_a_plain_run(tmp_path: Path) -> None:
    summary = play(record(tmp_path / 'bag', images=2, ranges=1), PlayOptions(rate=10.0))
    assert summary == PlaySummary(8, 1, summary.seconds)
    assert summary.seconds >= 0.01
