"""What robots do to software: each fault is counted and told, and the next good frame works.

One node takes nearly all of them one after the other, so each must leave it well.
"""

from __future__ import annotations

import copy
import os
import signal
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from drive import IMAGE, INFO, LIDAR, Drive, drive
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rig import Rig, picture, values_of
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField

from depth_anything_ros import node as node_module
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.messages.images import fill_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.model.manifest import PACKAGED
from depth_anything_ros.ros.qos import REFERENCE

NODE = '/depth_anything/'
RELATIVE, RAW, COLOR = (NODE + f'relative/{name}' for name in ('image', 'raw', 'image_color'))
DEPTH, DEPTH_INFO, SIGMA = (NODE + f'depth/{name}' for name in ('image', 'camera_info', 'sigma'))
POINTS, STATS = NODE + 'points', NODE + 'frame_stats'
METRIC = {DEPTH: Image, DEPTH_INFO: CameraInfo, SIGMA: Image, POINTS: PointCloud2}
OUTPUTS = {RELATIVE: Image, **METRIC, STATS: DiagnosticArray}
CLOUD = '/sensor/points'

SECOND = 1_000_000_000
# What becomes of an image that is not answered.
LOSSES = ('skipped_idle', 'dropped_superseded', 'dropped_too_old', 'dropped_invalid')
# What the network's own errors leave, as in test_metric.
BOUND = 0.09


class TruthOrNetwork:
    """Answers the pictures of the drive with their degraded truth, all others by a network."""

    def __init__(self, what: Drive, network: Any) -> None:
        self._truth, self._network = what.backend(), network
        self.info, self.output = network.info, network.output

    def infer(self, bgr: np.ndarray, times: Any = None) -> np.ndarray:
        try:
            return self._truth.infer(bgr, times)
        except FrameError:
            return self._network.infer(bgr, times)

    def close(self) -> None:
        self._network.close()


class Robot:
    """Sends one moment of a drive again and again, each time with a later stamp."""

    def __init__(self, rig: Rig, what: Drive) -> None:
        self.rig, self.drive = rig, what
        by_topic: dict[str, Any] = {}
        for topic, kind, message in what.messages:
            if topic in (IMAGE, INFO, LIDAR) and topic not in by_topic:
                by_topic[topic] = what.live(topic, kind, message)
        self._image, self._info, self._cloud = (by_topic[t] for t in (IMAGE, INFO, LIDAR))
        self.truth = what.truth[ns_from_stamp(self._image.header.stamp)]
        self._base = self.now = 1_000_000 * SECOND
        for topic, kind in OUTPUTS.items():
            rig.listen(kind, topic)
        rig.until_state('active')
        self._around = rig.node._cameras[''].surroundings
        self.meet()

    def meet(self) -> None:
        """Wait until a node that was just activated hears: the first images may be lost."""
        self.inform(self.info())
        self.rig.until_answered(RELATIVE, lambda: self.image(self.tick()))

    def transit(self, transition: int) -> None:
        assert self.rig.change_state(transition)

    def rewind(self) -> None:
        """Start anew: nothing is remembered across a jump back by as much."""
        self._base -= 1000 * SECOND
        self.now = self._base
        for topic, got in self.rig.received.items():
            if not topic.endswith('status'):
                got.clear()

    def tick(self) -> int:
        self.now += SECOND // 10
        return self.now

    def image(self, stamp_ns: int) -> Image:
        return stamped(copy.copy(self._image), stamp_ns)

    def cloud(self, stamp_ns: int) -> PointCloud2:
        return stamped(copy.copy(self._cloud), stamp_ns)

    def info(self, **changes: Any) -> CameraInfo:
        message = copy.copy(self._info)
        for name, value in changes.items():
            setattr(message, name, value)
        return stamped(message, self.tick())

    def inform(self, info: CameraInfo) -> None:
        """Send a camera_info until it is there."""

        def there() -> bool:
            heard = self._around.camera_info
            if heard is not None and heard.header == info.header:
                return True
            self.rig.publish(info, 'camera_info')
            return False

        self.rig.until(there)

    def refer(self, cloud: PointCloud2) -> None:
        """Send a reference until it is there."""
        stamp_ns = ns_from_stamp(cloud.header.stamp)

        def there() -> bool:
            if self._around.paired(stamp_ns, 0.0):
                return True
            self.rig.publish(cloud, CLOUD, REFERENCE)
            return False

        self.rig.until(there)

    def ask(self, image: Image) -> dict[str, str]:
        """Send an image once and give the figures of its answer."""
        self.rig.publish(image)
        return self.rig.until(partial(self.figures, ns_from_stamp(image.header.stamp)))

    def refused(self, image: Image, reason: str) -> None:
        """Send an image once and wait until it is counted as invalid."""
        before = self.count(reason)
        self.rig.publish(image)
        self.rig.until(lambda: self.count(reason) > before)
        assert self.count(reason) == before + 1

    def good(self) -> dict[str, str]:
        """Send a good frame with its reference; every output of it is there and right."""
        stamp_ns = self.tick()
        self.refer(self.cloud(stamp_ns))
        figures = self.ask(self.image(stamp_ns))
        assert figures['metric_valid'] == 'True', figures
        assert figures['metric_reason'] == '', figures
        self.rig.until(lambda: self.published(stamp_ns) == set(OUTPUTS))
        assert abs_rel(self.depth(stamp_ns), self.truth) < BOUND
        return figures

    def figures(self, stamp_ns: int) -> dict[str, str] | None:
        found = self.find(STATS, stamp_ns)
        return values_of(found.status[0]) if found else None

    def depth(self, stamp_ns: int) -> np.ndarray:
        message = self.find(DEPTH, stamp_ns)
        return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)

    def find(self, topic: str, stamp_ns: int) -> Any:
        got = reversed(self.rig.received[topic])
        return next((m for m in got if ns_from_stamp(m.header.stamp) == stamp_ns), None)

    def published(self, stamp_ns: int) -> set[str]:
        """The topics that answered the image of that stamp, so far."""
        return {topic for topic in OUTPUTS if self.find(topic, stamp_ns)}

    def told(self, part: str, text: str = '') -> DiagnosticStatus:
        """The last status of `part`, once `text` is in its message."""

        def there() -> DiagnosticStatus | None:
            status = self.rig.diagnostics(part)
            return status if status and text in status.message else None

        return self.rig.until(there)

    def values(self, part: str = 'throughput') -> dict[str, str]:
        """The figures of `part`; the first report after an activation may still be without."""
        return self.rig.until(lambda: values_of(self.told(part)))

    def count(self, reason: str) -> int:
        return int(self.values().get(f'dropped_invalid_{reason}', 0))

    def unscaled(self, reason: str) -> int:
        return int(self.values('alignment').get(f'refused_{reason}', 0))

    def accounted(self) -> bool:
        """Whether every image that came in was answered or its loss has a name."""
        values = self.values()
        known = ('frames_out', *LOSSES)
        return int(values['frames_in']) == sum(int(values[name]) for name in known)


def stamped(message: Any, stamp_ns: int) -> Any:
    header = copy.copy(message.header)
    header.stamp = Time(sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND)
    message.header = header
    return message


def abs_rel(depth: np.ndarray, truth: np.ndarray) -> float:
    known = np.isfinite(depth) & np.isfinite(truth)
    assert known.mean() > 0.5
    return float(np.mean(np.abs(depth - truth)[known] / truth[known]))


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('weights') / 'mine.safetensors'
    path.write_bytes(PACKAGED['demo'].read_bytes())
    return path


@pytest.fixture(scope='module')
def whole_robot(weights: Path) -> Iterator[Robot]:
    what = drive('room')
    load = node_module.load_backend
    given = {
        'weights': str(weights),
        'reference.type': 'point_cloud',
        'reference.extrinsics': what.extrinsics(LIDAR),
        'diagnostics.period_s': 0.1,
        'diagnostics.stale_after_s': 600.0,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_module, 'load_backend', lambda p: TruthOrNetwork(what, load(p)))
        with Rig(given, ['-r', f'reference:={CLOUD}']) as rig:
            yield Robot(rig, what)


@pytest.fixture
def robot(whole_robot: Robot) -> Iterator[Robot]:
    """The one robot, at the beginning of a story and seen to be well at its end."""
    whole_robot.rewind()
    whole_robot.inform(whole_robot.info())
    yield whole_robot
    whole_robot.good()
    rig = whole_robot.rig
    rig.until(whole_robot.accounted)
    # Two answers after a jump back give a rate.
    whole_robot.good()
    rig.until(lambda: rig.status().level == DiagnosticStatus.OK)


def changed(**values: Any) -> Callable[[Any], None]:
    """Give a fault that sets these fields of a message."""

    def change(message: Any) -> None:
        for name, value in values.items():
            setattr(message, name, value)

    return change


def cut(message: Any) -> None:
    message.data = message.data[: len(message.data) // 2]


def lengthened(message: Any) -> None:
    message.data = message.data + array('B', b'\xa5')


def one_pixel(message: Image) -> None:
    fill_image(message, np.array([[[200, 10, 50]]], np.uint8), 'bgr8')


IMAGES = [
    pytest.param(changed(step=3), 'bad_step', 'step is 3 bytes', id='wrong step'),
    pytest.param(changed(step=2**32 - 1), 'bad_data_size', 'with step 4294967295', id='huge step'),
    pytest.param(cut, 'bad_data_size', 'data hold 28800 bytes', id='half the data'),
    pytest.param(lengthened, 'bad_data_size', 'data hold 57601 bytes', id='a byte too many'),
    pytest.param(changed(encoding='h264'), 'bad_encoding', "encoding 'h264'", id='encoding'),
    pytest.param(changed(encoding='32FC1'), 'depth_image', 'reference:=', id='a depth image'),
    pytest.param(changed(width=0, height=0), 'empty_image', '0 x 0 pixels', id='zero size'),
    pytest.param(changed(data=array('B')), 'empty_image', 'has no data', id='no data'),
    pytest.param(
        changed(width=10_000, height=10_000, step=30_000),
        'image_too_large',
        '10000 x 10000 pixels, more than the limit of 64000000',
        id='100 megapixels',
    ),
    pytest.param(
        changed(width=2**32 - 1, height=2**32 - 1), 'image_too_large', '4294967295', id='huge'
    ),
    pytest.param(one_pixel, 'constant_image', 'sees nothing', id='1 x 1'),
]


@pytest.mark.parametrize(('fault', 'reason', 'text'), IMAGES)
def test_a_bad_image_is_silence_with_a_name(
    robot: Robot, fault: Callable[[Any], None], reason: str, text: str
) -> None:
    robot.good()
    stamps = [robot.tick(), robot.tick()]
    for stamp_ns in stamps:
        message = robot.image(stamp_ns)
        fault(message)
        robot.refused(message, reason)
    rig = robot.rig
    # A jump back, as before each of these, starts the output's rate anew: nothing else comes out.
    rig.until(lambda: rig.status().level == DiagnosticStatus.ERROR)
    assert rig.status().message.startswith('every image is refused: ')
    assert text in rig.status().message
    assert values_of(rig.status())['metric_valid'] == 'False'
    assert robot.told('throughput', text).level == DiagnosticStatus.ERROR
    # Each topic keeps its order, so what a bad image gave would be there.
    robot.good()
    assert not any(robot.published(stamp_ns) for stamp_ns in stamps)


@pytest.mark.parametrize('size', [(2000, 4), (4, 2000)], ids=['2000 x 4', '4 x 2000'])
def test_an_extreme_aspect_is_answered_without_metres(robot: Robot, size: tuple[int, int]) -> None:
    before = robot.unscaled('bad_camera_info')
    message = robot.image(robot.tick())
    fill_image(message, picture(*size), 'bgr8')
    figures = robot.ask(message)
    assert figures['metric_reason'] == 'bad_camera_info'
    stamp_ns = ns_from_stamp(message.header.stamp)
    answer = robot.rig.until(lambda: robot.find(RELATIVE, stamp_ns))
    assert (answer.width, answer.height) == size
    robot.rig.until(lambda: robot.unscaled('bad_camera_info') == before + 1)
    robot.rig.until(lambda: 'is for 160 x 120' in values_of(robot.rig.status())['camera_info'])
    robot.good()
    assert robot.published(stamp_ns) == {RELATIVE, STATS}


def x_only(message: PointCloud2) -> None:
    message.fields = message.fields[:1]


def filled(value: float) -> Callable[[PointCloud2], None]:
    """Give a fault that makes all coordinates one value."""

    def fill(message: PointCloud2) -> None:
        count = message.width * message.height
        layout = [
            PointField(name=name, offset=4 * at, datatype=PointField.FLOAT32, count=1)
            for at, name in enumerate('xyz')
        ]
        whole_cloud(message, layout, np.full((count, 3), value, np.float32))

    return fill


def noise(message: PointCloud2) -> None:
    filled(0.0)(message)
    # All around the sensor, as near and as far as a room is.
    points = np.random.default_rng(0).uniform(-5.0, 5.0, (3000, 3)).astype(np.float32)
    whole_cloud(message, message.fields, points)


NO_METRES = {
    ('False', reason)
    for reason in ('ambiguous', 'poor_fit', 'contradicts_network', 'unobservable_slope')
}


def whole_cloud(message: PointCloud2, layout: list[PointField], points: np.ndarray) -> None:
    message.fields, message.point_step = layout, 12
    message.height, message.width, message.row_step = 1, len(points), 12 * len(points)
    message.data = array('B', points.tobytes())


CLOUDS = [
    pytest.param(x_only, {'bad_fields'}, "has no field 'y'", id='missing fields'),
    pytest.param(changed(fields=[]), {'bad_fields'}, "has no field 'x'", id='no fields'),
    pytest.param(changed(point_step=0), {'bad_fields'}, 'must set point_step', id='point_step'),
    pytest.param(cut, {'bad_data_size'}, 'must set row_step', id='half the data'),
    pytest.param(
        changed(width=2**32 - 1, height=2**32 - 1), {'bad_size'}, 'more than the limit', id='huge'
    ),
    pytest.param(changed(width=0, height=0), {'too_few_samples'}, 'too few samples', id='empty'),
    pytest.param(filled(np.nan), {'too_few_samples'}, 'too few samples', id='all NaN'),
    pytest.param(filled(np.inf), {'too_few_samples'}, 'too few samples', id='all infinite'),
    pytest.param(filled(0.0), {'too_few_samples'}, 'too few samples', id='all zero'),
    pytest.param(filled(3e38), {'too_few_samples'}, 'too few samples', id='beyond float32'),
]


@pytest.mark.parametrize(('fault', 'reasons', 'text'), CLOUDS)
def test_a_bad_reference_gives_no_metres_and_moves_none(
    robot: Robot, fault: Callable[[Any], None], reasons: set[str], text: str
) -> None:
    rig = robot.rig

    def ask() -> tuple[int, dict[str, str]]:
        stamp_ns = robot.tick()
        cloud = robot.cloud(stamp_ns)
        fault(cloud)
        robot.refer(cloud)
        figures = robot.ask(robot.image(stamp_ns))
        assert figures['metric_reason'] in reasons
        return stamp_ns, figures

    before = sum(map(robot.unscaled, reasons))
    alone_ns, figures = ask()
    assert figures['metric_valid'] == 'False'
    rig.until(lambda: rig.status().level == DiagnosticStatus.WARN)
    assert rig.status().message.startswith('no metric depth: ')
    assert text in rig.status().message
    good = robot.good()
    # The scale of the good frame is held, and no worse for the bad one.
    held_ns, figures = ask()
    assert figures['metric_valid'] == 'True'
    assert float(figures['scale']) == pytest.approx(float(good['scale']), rel=0.01)
    rig.until(lambda: rig.status().message.startswith('metric depth held: '))
    rig.until(lambda: sum(map(robot.unscaled, reasons)) == before + 2)
    robot.good()
    assert robot.published(alone_ns) == {RELATIVE, STATS}
    assert robot.published(held_ns) == set(OUTPUTS)
    assert abs_rel(robot.depth(held_ns), robot.truth) < BOUND


def test_noise_gives_no_metres_and_must_be_outlived(robot: Robot) -> None:
    stamps = [robot.tick() for _ in range(3)]
    for stamp_ns in stamps:
        cloud = robot.cloud(stamp_ns)
        noise(cloud)
        robot.refer(cloud)
        figures = robot.ask(robot.image(stamp_ns))
        assert (figures['metric_valid'], figures['metric_reason']) in NO_METRES
    # What once called far what is near is trusted again after eight frames, see Polarity.
    for _ in range(8):
        stamp_ns = robot.tick()
        robot.refer(robot.cloud(stamp_ns))
        figures = robot.ask(robot.image(stamp_ns))
    assert figures['metric_valid'] == 'True'
    robot.good()
    assert all(robot.published(stamp_ns) == {RELATIVE, STATS} for stamp_ns in stamps)


def test_a_reference_in_an_unknown_frame(robot: Robot) -> None:
    rig = robot.rig
    before = robot.unscaled('no_transform')
    extrinsics = rig.node.parameters.reference.extrinsics
    assert rig.set_parameter('reference.extrinsics', '')[0]
    stamp_ns = robot.tick()
    cloud = robot.cloud(stamp_ns)
    cloud.header.frame_id = 'nowhere'
    robot.refer(cloud)
    assert robot.ask(robot.image(stamp_ns))['metric_reason'] == 'no_transform'
    rig.until(lambda: robot.unscaled('no_transform') == before + 1)
    rig.until(lambda: "'nowhere'" in rig.status().message)
    assert rig.set_parameter('reference.extrinsics', extrinsics)[0]
    robot.good()
    assert robot.published(stamp_ns) == {RELATIVE, STATS}


def test_ten_million_points_cost_one_slow_frame(robot: Robot) -> None:
    robot.good()
    stamp_ns = robot.tick()
    cloud = robot.cloud(stamp_ns)
    filled(0.0)(cloud)
    points = np.random.default_rng(0).uniform(-5.0, 5.0, (10_000_000, 3)).astype(np.float32)
    whole_cloud(cloud, cloud.fields, points)
    # As from the subscription: 120 MB do not pass through the shared memory of the tests.
    robot._around.add_reference(cloud)
    start_s = time.monotonic()
    figures = robot.ask(robot.image(stamp_ns))
    took_s = time.monotonic() - start_s
    print(f'10 million points: {took_s:.2f} s, of which align_ms {figures["align_ms"]}')
    # The scale from before is held.
    assert ('False', figures['metric_reason']) in NO_METRES | {('False', 'jump')}
    # 0.2 s where this was written.
    assert took_s < 10.0
    robot.rewind()
    robot.good()


INFOS = [
    pytest.param({'k': np.zeros(9), 'p': np.zeros(12)}, 'is not calibrated', id='all zero'),
    pytest.param({'k': np.full(9, np.nan), 'p': np.full(12, np.nan)}, 'not finite', id='NaN'),
    pytest.param({'width': 640, 'height': 480}, 'is for 640 x 480', id='foreign size'),
    pytest.param({'width': 0, 'height': 0}, 'has no size', id='no size'),
    pytest.param({'binning_x': 1000}, 'does not fit', id='binning'),
]


@pytest.mark.parametrize(('changes', 'text'), INFOS)
def test_a_bad_camera_info_gives_no_metres_and_is_not_handed_on(
    robot: Robot, changes: dict[str, Any], text: str
) -> None:
    rig = robot.rig
    before = robot.unscaled('bad_camera_info')
    robot.good()
    robot.inform(robot.info(**changes))
    held_ns = robot.tick()
    figures = robot.ask(robot.image(held_ns))
    assert figures['metric_reason'] == 'bad_camera_info'
    rig.until(lambda: text in values_of(rig.status())['camera_info'])
    rig.until(lambda: text in rig.status().message)
    assert rig.status().level == DiagnosticStatus.WARN
    # Longer than a scale is held.
    robot.now += SECOND
    alone_ns = robot.tick()
    robot.refer(robot.cloud(alone_ns))
    assert robot.ask(robot.image(alone_ns))['metric_valid'] == 'False'
    rig.until(lambda: robot.unscaled('bad_camera_info') == before + 2)
    robot.inform(robot.info())
    robot.good()
    # Depth needs no intrinsics while the scale is held; whoever makes points of it does.
    assert robot.published(held_ns) == {RELATIVE, STATS, DEPTH, SIGMA}
    assert robot.published(alone_ns) == {RELATIVE, STATS}


def hour_ahead() -> int:
    return time.time_ns() + 3600 * SECOND


STAMPS = [
    pytest.param(lambda _: 0, id='zero'),
    pytest.param(lambda _: -5 * SECOND, id='before 1970'),
    pytest.param(lambda robot: robot.now - 5 * SECOND, id='backward'),
    pytest.param(lambda robot: robot.now + 3600 * SECOND, id='an hour later'),
    pytest.param(lambda _: (2**31 - 1) * SECOND, id='the last second'),
]


@pytest.mark.parametrize('choose', STAMPS)
def test_any_stamp_is_answered_and_harms_no_later_frame(
    robot: Robot, choose: Callable[[Robot], int]
) -> None:
    robot.good()
    # An image alone has no reference: none of another time is taken for it.
    stamp_ns = choose(robot)
    figures = robot.ask(robot.image(stamp_ns))
    reason = 'no_reference' if stamp_ns else 'no_stamp'
    assert (figures['metric_valid'], figures['metric_reason']) == ('False', reason)
    robot.rig.until(lambda: values_of(robot.rig.status())['metric_reason'] == reason)
    robot.good()
    assert robot.published(stamp_ns) == {RELATIVE, STATS}
    # With a reference of its stamp it has metres, as where a bag begins.
    again_ns = stamp_ns + 7
    robot.refer(robot.cloud(again_ns))
    assert robot.ask(robot.image(again_ns))['metric_valid'] == 'True'
    # And a reference alone harms none.
    robot.good()
    robot.refer(robot.cloud(stamp_ns + 8))
    robot.good()


def test_stamps_an_hour_ahead_of_the_clock_are_told(robot: Robot) -> None:
    rig = robot.rig
    assert rig.set_parameter('max_image_age_s', 1.0)[0]
    for stamp_ns in (hour_ahead() + SECOND, hour_ahead()):
        robot.ask(robot.image(stamp_ns))
    robot.told('latency', 's ahead of the clock of this node')
    robot.good()
    robot.told('latency', 'behind the clock')
    assert rig.set_parameter('max_image_age_s', 0.0)[0]


def test_clock_jumps_under_simulated_time(robot: Robot) -> None:
    rig = robot.rig
    clock = rig.peer.create_publisher(Clock, '/clock', 10)
    assert rig.set_parameter('max_image_age_s', 1.0)[0]
    assert rig.set_parameter('use_sim_time', True)[0]
    own = rig.node.get_clock()
    too_old = robot.values()['dropped_too_old']

    def set_clock(now_ns: int) -> None:
        message = Clock(clock=Time(sec=now_ns // SECOND, nanosec=now_ns % SECOND))

        def there() -> bool:
            clock.publish(message)
            return own.now().nanoseconds == now_ns

        rig.until(there)
        robot.now = now_ns - SECOND // 2

    for now_ns in (robot.now, robot.now + 3600 * SECOND, robot.now - 10 * SECOND):
        set_clock(now_ns)
        # 0.4 and 0.3 s old by that clock; the first image after each jump is a good frame.
        robot.good()
        robot.good()
    robot.good()
    assert robot.values()['dropped_too_old'] == too_old
    # The last jump was backward, so only what followed is in the windows.
    age_ms = float(values_of(robot.told('latency', 'ms from stamp'))['age_p50_ms'])
    assert 290.0 < age_ms < 410.0
    assert rig.set_parameter('use_sim_time', False)[0]
    assert rig.set_parameter('max_image_age_s', 0.0)[0]
    rig.peer.destroy_publisher(clock)


def test_a_subscriber_that_comes_and_goes_fifty_times(robot: Robot) -> None:
    rig, node = robot.rig, robot.rig.node
    for _ in range(50):
        subscription = rig.peer.create_subscription(Image, COLOR, lambda _: None, 10)
        rig.until(lambda: node.count_subscribers(COLOR) == 1)
        robot.ask(robot.image(robot.tick()))
        rig.peer.destroy_subscription(subscription)
        rig.until(lambda: node.count_subscribers(COLOR) == 0)
    kept = rig.peer.create_subscription(Image, COLOR, rig.received[COLOR].append, 10)
    rig.until(lambda: node.count_subscribers(COLOR) == 1)
    image = robot.image(robot.tick())
    robot.ask(image)
    answer = rig.until(lambda: rig.received[COLOR])[-1]
    assert answer.header == image.header
    rig.peer.destroy_subscription(kept)


def test_a_storm_of_parameter_changes_while_frames_run(robot: Robot) -> None:
    rig = robot.rig
    storm: list[tuple[str, object, bool]] = [
        ('output.max_side', 80, True),
        ('relative.normalization', 'minmax', True),
        ('color.map', 'no such map', False),
        ('reference.max_depth_m', 30.0, True),
        ('alignment.hold_s', -1.0, False),
        ('variant', 'vitl', False),
        ('relative.normalization', 'percentile', True),
        ('output.max_side', 0, True),
        ('reference.max_depth_m', 80.0, True),
        ('cloud.stride', 3, True),
    ]
    rig.set_parameter('cloud.stride', 2)
    client = rig._clients['set_parameters']
    waiting: list[tuple[Any, bool]] = []
    for change in range(200):
        name, value, accepted = storm[change % len(storm)]
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        waiting.append((client.call_async(request), accepted))
        rig.publish(robot.image(robot.tick()))
        # A service keeps ten requests.
        rig.until(lambda: sum(not future.done() for future, _ in waiting) < 8)
    rig.until(lambda: all(future.done() for future, _ in waiting))
    results = [future.result().results[0].successful for future, _ in waiting]
    assert results == [accepted for _, accepted in waiting]
    assert len(rig.received[RELATIVE]) > 10
    assert rig.node.parameters.output.max_side == 0
    assert rig.set_parameter('cloud.stride', 2)[0]


def out_of_memory(*_: Any) -> np.ndarray:
    raise MemoryError('no 300 MB left')


NETWORKS = [
    pytest.param(out_of_memory, 'internal_error', 'MemoryError: no 300 MB left', id='raises'),
    pytest.param(
        lambda *_: np.full((120, 160), np.nan, np.float32),
        'degenerate_network',
        '19200 of 19200 values that are not finite',
        id='NaN',
    ),
    pytest.param(
        lambda *_: np.ones((120, 160), np.float32),
        'degenerate_network',
        'tell no near from far',
        id='constant',
    ),
    pytest.param(lambda *_: None, 'internal_error', "has no attribute 'shape'", id='None'),
]


@pytest.mark.parametrize(('answer', 'reason', 'text'), NETWORKS)
def test_a_network_that_fails_once(
    robot: Robot,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[..., Any],
    reason: str,
    text: str,
) -> None:
    robot.good()
    stamp_ns = robot.tick()
    with monkeypatch.context() as patch:
        patch.setattr(robot.rig.node._network.backend, 'infer', answer)
        robot.refused(robot.image(stamp_ns), reason)
    assert text in robot.rig.node._cameras[''].telemetry.last_invalid
    robot.good()
    assert not robot.published(stamp_ns)


PUBLISHER = """
import time
import rclpy
from sensor_msgs.msg import Image
from rig import picture
from depth_anything_ros.messages.images import fill_image
from depth_anything_ros.ros.qos import SENSOR

rclpy.init()
node = rclpy.create_node('doomed')
publisher = node.create_publisher(Image, 'image', SENSOR)
message = Image()
message.header.frame_id = 'doomed'
fill_image(message, picture(), 'bgr8')
while True:
    message.header.stamp.sec += 1
    publisher.publish(message)
    time.sleep(0.02)
"""


def test_a_killed_publisher_is_missed_and_another_takes_over(robot: Robot) -> None:
    rig = robot.rig
    rig.peer.destroy_publisher(rig._publishers.pop('image'))
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')])
    process = subprocess.Popen(
        [sys.executable, '-c', PUBLISHER], env=dict(os.environ) | {'PYTHONPATH': path}
    )
    try:
        got = rig.received[RELATIVE]
        rig.until(lambda: sum(m.header.frame_id == 'doomed' for m in got) > 3)
        process.send_signal(signal.SIGKILL)
        process.wait(20.0)
    finally:
        process.kill()
        process.wait()
    assert rig.set_parameter('diagnostics.stale_after_s', 0.3)[0]
    rig.until(lambda: rig.status().message.startswith('no image on /image: '))
    assert rig.status().level == DiagnosticStatus.WARN
    robot.told('throughput', 'no image for ')
    rig.until_answered(RELATIVE, lambda: robot.image(robot.tick()))
    assert rig.set_parameter('diagnostics.stale_after_s', 600.0)[0]
    robot.rewind()
    robot.good()


JPEG = bytearray(cv2.imencode('.jpg', picture())[1].tobytes())
SIZE = JPEG.index(b'\xff\xc0') + 5
HALF = len(JPEG) // 2
SCRAMBLED = JPEG[:HALF] + bytes(byte ^ 0x55 for byte in JPEG[HALF:-2]) + JPEG[-2:]
JPEGS = [
    (JPEG[:HALF], 'bad_compressed'),
    (JPEG[:10], 'bad_compressed'),
    (JPEG[:2] + JPEG[200:], 'bad_compressed'),
    (bytes(len(JPEG)), 'bad_compressed'),
    (b'', 'empty_image'),
    (JPEG[:SIZE] + struct.pack('>HH', 65500, 65500) + JPEG[SIZE + 4 :], 'image_too_large'),
    # Of broken pixels between whole headers libjpeg makes a picture.
    (SCRAMBLED, ''),
]


def test_broken_jpegs(robot: Robot) -> None:
    rig = robot.rig

    def image(data: bytes = JPEG) -> CompressedImage:
        message = CompressedImage(format='jpeg', data=array('B', data))
        message.header.frame_id = 'camera_optical_frame'
        return stamped(message, robot.tick())

    def publish(message: CompressedImage) -> None:
        rig.publish(message, 'image/compressed')

    def answered(message: CompressedImage) -> Image:
        return robot.find(RELATIVE, ns_from_stamp(message.header.stamp))

    robot.transit(Transition.TRANSITION_DEACTIVATE)
    assert rig.set_parameter('image_transport', 'compressed')[0]
    robot.transit(Transition.TRANSITION_ACTIVATE)
    rig.until_answered(RELATIVE, image, 'image/compressed')
    rig.until(robot.accounted)
    for data, reason in JPEGS:
        bad, good = image(data), image()
        before = robot.count(reason)
        publish(bad)
        if reason:
            rig.until(lambda reason=reason, before=before: robot.count(reason) == before + 1)
        else:
            rig.until(lambda bad=bad: answered(bad))
        publish(good)
        rig.until(lambda good=good: answered(good))
        assert bool(answered(bad)) == (not reason)
    robot.transit(Transition.TRANSITION_DEACTIVATE)
    assert rig.set_parameter('image_transport', 'raw')[0]
    robot.transit(Transition.TRANSITION_ACTIVATE)
    robot.meet()


def test_weights_replaced_on_disk_while_they_run(robot: Robot, weights: Path) -> None:
    rig = robot.rig
    whole = weights.read_bytes()

    def answer() -> bytes:
        """What the network, and not the truth, says."""
        image = robot.image(robot.tick())
        fill_image(image, picture(), 'bgr8')
        robot.ask(image)
        stamp_ns = ns_from_stamp(image.header.stamp)
        raw = rig.until(
            lambda: next(
                (m for m in rig.received[RAW] if ns_from_stamp(m.header.stamp) == stamp_ns), None
            )
        )
        return bytes(raw.data)

    rig.listen(Image, RAW)
    rig.until(lambda: rig.node.count_subscribers(RAW))
    before, sha256 = answer(), robot.values('model')['weights_sha256']
    # In place, where a mapped file would crash the process, then as a new file.
    with weights.open('r+b') as file:
        file.write(b'\xff' * (len(whole) // 2))
        file.truncate()
    assert answer() == before
    other = weights.with_name('other')
    other.write_bytes(bytes(1000))
    other.replace(weights)
    assert answer() == before
    rig.received['/diagnostics'].clear()
    assert robot.values('model')['weights_sha256'] == sha256
    # The next configure sees the damage and says so; the right file mends it.
    robot.transit(Transition.TRANSITION_DEACTIVATE)
    robot.transit(Transition.TRANSITION_CLEANUP)
    assert not rig.change_state(Transition.TRANSITION_CONFIGURE)
    rig.until(lambda: rig.status().level == DiagnosticStatus.ERROR)
    assert f'{weights} is not a checkpoint' in rig.status().message
    weights.write_bytes(whole)
    robot.transit(Transition.TRANSITION_CONFIGURE)
    robot.transit(Transition.TRANSITION_ACTIVATE)
    robot.meet()
    assert answer() == before
