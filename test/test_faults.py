"""What robots do to software: each fault is counted and told, and the next good frame works.

One node takes nearly all of them one after the other, so each must leave it well. A `Fault`
declares what is published, counted and said; its test holds the node to exactly that.
"""

from __future__ import annotations

import hashlib
import importlib
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from downloads import checkpoint_bytes, released, watched
from drive import LIDAR, drive
from fake_hub import FakeHub, serving
from faults import (
    ALL,
    COLOR,
    COMMAND,
    DEPTH,
    NO_METRES,
    NOTHING,
    RAW,
    RELATIVE,
    SIGMA,
    Fault,
    faults,
    fuzz_cases,
    page,
)
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rig import Rig, picture, values_of
from robot import BOUND, CLOUD, SECOND, Robot, TruthOrNetwork, abs_rel
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, PointCloud2, PointField

from depth_anything_ros import node as node_module
from depth_anything_ros.messages.images import fill_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.model.manifest import PACKAGED


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


def story(robot: Robot, transport: str) -> Iterator[Robot]:
    """The one robot, at the beginning of a story and seen to be well at its end."""
    robot.hear(transport)
    robot.rewind()
    robot.inform(robot.info())
    yield robot
    robot.prove_well()


@pytest.fixture
def robot(whole_robot: Robot) -> Iterator[Robot]:
    yield from story(whole_robot, 'raw')


@pytest.fixture
def compressed_robot(whole_robot: Robot) -> Iterator[Robot]:
    yield from story(whole_robot, 'compressed')


# Images.


def changed(**values: Any) -> Callable[[Any], None]:
    """Give a cause that sets these fields of a message."""

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


def refused(name: str, reason: str, said: str, cause: Any) -> Fault:
    """A fault for which an image is not answered."""
    return Fault(name, NOTHING, (f'dropped_invalid_{reason}',), said, cause=cause)


def check_refused(robot: Robot, fault: Fault, spoil: Callable[[Any], None]) -> None:
    robot.good()
    stamps = [robot.tick(), robot.tick()]
    with robot.counting(fault, len(stamps)):
        for stamp_ns in stamps:
            message = robot.image(stamp_ns)
            spoil(message)
            robot.lose(message)
    # A jump back, as before each of these, starts the output's rate anew: nothing else comes out.
    status = robot.says(fault)
    assert status.level == DiagnosticStatus.ERROR
    assert status.message.startswith('every image is refused: ')
    assert values_of(status)['metric_valid'] == 'False'
    assert robot.told('throughput', fault.said).level == DiagnosticStatus.ERROR
    robot.good()
    assert [robot.published(stamp_ns) for stamp_ns in stamps] == [fault.published] * 2


@faults(
    refused('a step too short', 'bad_step', 'step is 3 bytes', changed(step=3)),
    refused('a huge step', 'bad_data_size', 'with step 4294967295', changed(step=2**32 - 1)),
    refused('half the data', 'bad_data_size', 'data hold 28800 bytes', cut),
    refused('a byte too many', 'bad_data_size', 'data hold 57601 bytes', lengthened),
    refused('a video encoding', 'bad_encoding', "encoding 'h264'", changed(encoding='h264')),
    refused('a depth image', 'depth_image', 'reference:=', changed(encoding='32FC1')),
    refused('no size', 'empty_image', '0 x 0 pixels', changed(width=0, height=0)),
    refused('no data', 'empty_image', 'has no data', changed(data=array('B'))),
    refused(
        '100 megapixels',
        'image_too_large',
        '10000 x 10000 pixels, more than the limit of 64000000',
        changed(width=10_000, height=10_000, step=30_000),
    ),
    refused(
        'the largest size that can be told',
        'image_too_large',
        '4294967295 x 4294967295 pixels',
        changed(width=2**32 - 1, height=2**32 - 1),
    ),
    refused('one pixel', 'constant_image', 'sees nothing', one_pixel),
)
def test_a_bad_image_is_silence_with_a_name(robot: Robot, fault: Fault) -> None:
    """An image that is none is not answered; two of them are an ERROR."""
    check_refused(robot, fault, fault.cause)


JPEG = bytearray(cv2.imencode('.jpg', picture())[1].tobytes())
SIZE = JPEG.index(b'\xff\xc0') + 5
HALF = len(JPEG) // 2
SCRAMBLED = JPEG[:HALF] + bytes(byte ^ 0x55 for byte in JPEG[HALF:-2]) + JPEG[-2:]
TILES = {256: 16, 257: 16, 322: 12_000, 323: 12_000}  # width and length of image and tile
TILED = struct.pack('<4sIH', b'II*\0', 8, len(TILES)) + b''.join(
    struct.pack('<HHII', tag, 4, 1, side) for tag, side in TILES.items()
)
TIFF = cv2.imencode('.tiff', picture())[1].tobytes()
JP2 = b'\0\0\0\x0cjP  \r\n\x87\n' + bytes(1000)


def holding(data: bytes) -> Callable[[Any], None]:
    """Give a cause that puts these data into a compressed image."""
    return changed(format='jpeg', data=array('B', data))


@faults(
    refused('half a JPEG', 'bad_compressed', 'before its end marker', holding(JPEG[:HALF])),
    refused('ten bytes of a JPEG', 'bad_compressed', 'no whole header', holding(JPEG[:10])),
    refused(
        'a JPEG without its tables',
        'bad_compressed',
        'no whole header',
        holding(JPEG[:2] + JPEG[JPEG.index(b'\xff\xda') :]),
    ),
    refused('zeros for a JPEG', 'bad_compressed', '00 00 00 00', holding(bytes(len(JPEG)))),
    refused('no bytes for a JPEG', 'empty_image', 'has no data', holding(b'')),
    refused(
        'a JPEG that promises 4290 megapixels',
        'image_too_large',
        '65500 x 65500 pixels',
        holding(JPEG[:SIZE] + struct.pack('>HH', 65500, 65500) + JPEG[SIZE + 4 :]),
    ),
    refused('half a TIFF', 'bad_compressed', 'no whole header', holding(TIFF[: len(TIFF) // 2])),
    refused(
        'a TIFF of 16 x 16 pixels in one tile of 144 megapixels',
        'image_too_large',
        '12000 x 12000 pixels',
        holding(TILED),
    ),
    refused(
        'a format whose header is not read, JPEG 2000',
        'bad_compressed',
        'no whole header of a JPEG, PNG, TIFF, WebP, BMP or GIF',
        holding(JP2),
    ),
)
def test_a_bad_compressed_image_is_silence_with_a_name(
    compressed_robot: Robot, fault: Fault
) -> None:
    """A compressed image that cannot be decoded is not answered; two of them are an ERROR."""
    check_refused(compressed_robot, fault, fault.cause)


@faults(
    Fault(
        'a JPEG with broken pixels between whole headers',
        NO_METRES,
        ('refused_no_reference',),
        'no_reference',
        cause=holding(SCRAMBLED),
    )
)
def test_broken_pixels_are_a_picture(compressed_robot: Robot, fault: Fault) -> None:
    """Of broken pixels between whole headers libjpeg makes a picture, which is answered."""
    robot = compressed_robot
    message = robot.image(robot.tick())
    fault.cause(message)
    with robot.counting(fault):
        robot.ask(message)
        robot.says(fault)
    robot.good()
    assert robot.published(ns_from_stamp(message.header.stamp)) == fault.published


@faults(
    *(
        Fault(
            f'an image of {width} x {height} pixels',
            NO_METRES,
            ('refused_bad_camera_info',),
            'is for 160 x 120',
            cause=(width, height),
        )
        for width, height in ((2000, 4), (4, 2000))
    )
)
def test_an_extreme_aspect_is_answered_without_metres(robot: Robot, fault: Fault) -> None:
    """An image of extreme aspect is answered, without metres where camera_info is for another."""
    message = robot.image(robot.tick())
    fill_image(message, picture(*fault.cause), 'bgr8')
    stamp_ns = ns_from_stamp(message.header.stamp)
    with robot.counting(fault):
        robot.ask(message)
        robot.says(fault)
    robot.good()
    answer = robot.find(RELATIVE, stamp_ns)
    assert (answer.width, answer.height) == fault.cause
    assert robot.published(stamp_ns) == fault.published


# References.


def x_only(message: PointCloud2) -> None:
    message.fields = message.fields[:1]


def whole_cloud(message: PointCloud2, points: np.ndarray) -> None:
    """Put points float32 (N, 3) into the message."""
    message.fields = [
        PointField(name=name, offset=4 * at, datatype=PointField.FLOAT32, count=1)
        for at, name in enumerate('xyz')
    ]
    message.point_step = 12
    message.height, message.width, message.row_step = 1, len(points), 12 * len(points)
    message.data = array('B', points.tobytes())


def filled(value: float) -> Callable[[PointCloud2], None]:
    """Give a cause that makes all coordinates one value."""

    def fill(message: PointCloud2) -> None:
        whole_cloud(message, np.full((message.width * message.height, 3), value, np.float32))

    return fill


def noise(count: int) -> Callable[[PointCloud2], None]:
    """Give a cause that puts points all around the sensor, as near and as far as a room is."""

    def scatter(message: PointCloud2) -> None:
        random = np.random.default_rng(0)
        whole_cloud(message, random.uniform(-5.0, 5.0, (count, 3)).astype(np.float32))

    return scatter


def bad_cloud(name: str, reason: str, said: str, cause: Callable[[Any], None]) -> Fault:
    return Fault(name, NO_METRES, (f'refused_{reason}',), said, ALL, cause)


@faults(
    bad_cloud('no y and z', 'bad_fields', "has no field 'y'", x_only),
    bad_cloud('no fields', 'bad_fields', "has no field 'x'", changed(fields=[])),
    bad_cloud('a point_step of 0', 'bad_fields', 'must set point_step', changed(point_step=0)),
    bad_cloud('half the data', 'bad_data_size', 'must set row_step', cut),
    bad_cloud(
        'the largest size that can be told',
        'bad_size',
        'more than the limit',
        changed(width=2**32 - 1, height=2**32 - 1),
    ),
    bad_cloud('no points', 'too_few_samples', 'too few samples', changed(width=0, height=0)),
    bad_cloud('all NaN', 'too_few_samples', 'too few samples', filled(np.nan)),
    bad_cloud('all infinite', 'too_few_samples', 'too few samples', filled(np.inf)),
    bad_cloud('all zero', 'too_few_samples', 'too few samples', filled(0.0)),
    bad_cloud('all beyond what can be squared', 'too_few_samples', 'too few', filled(3e38)),
)
def test_a_bad_reference_gives_no_metres_and_moves_none(robot: Robot, fault: Fault) -> None:
    """A bad reference cloud gives no metres, with a WARN, and moves none that are held."""
    rig = robot.rig

    def ask() -> tuple[int, dict[str, str]]:
        stamp_ns = robot.tick()
        cloud = robot.cloud(stamp_ns)
        fault.cause(cloud)
        robot.refer(cloud)
        return stamp_ns, robot.ask(robot.image(stamp_ns))

    with robot.counting(fault, 2):
        alone_ns, figures = ask()
        assert figures['metric_valid'] == 'False'
        status = rig.until(
            lambda: rig.status() if rig.status().level == DiagnosticStatus.WARN else None
        )
        assert status.message.startswith('no metric depth: ')
        assert fault.said in status.message
        good = robot.good()
        # The scale of the good frame is held, and no worse for the bad one.
        held_ns, figures = ask()
        assert figures['metric_valid'] == 'True'
        assert float(figures['scale']) == pytest.approx(float(good['scale']), rel=0.01)
        rig.until(lambda: rig.status().message.startswith('metric depth held: '))
    robot.good()
    assert robot.published(alone_ns) == fault.published
    assert robot.published(held_ns) == fault.held
    assert abs_rel(robot.depth(held_ns), robot.truth) < BOUND


NO_FIT = ('ambiguous', 'poor_fit', 'contradicts_network', 'unobservable_slope')
WRONG = (*(f'refused_{reason}' for reason in NO_FIT),)


@faults(Fault('points at random', NO_METRES, WRONG, 'no metric depth', cause=noise(3000)))
def test_noise_gives_no_metres_and_must_be_outlived(robot: Robot, fault: Fault) -> None:
    """A reference that does not fit what the image shows gives no metres until it is outlived."""
    stamps = [robot.tick() for _ in range(3)]
    with robot.counting(fault, len(stamps)):
        for stamp_ns in stamps:
            cloud = robot.cloud(stamp_ns)
            fault.cause(cloud)
            robot.refer(cloud)
            assert robot.ask(robot.image(stamp_ns))['metric_valid'] == 'False'
        robot.says(fault)
    outlive(robot)
    assert [robot.published(stamp_ns) for stamp_ns in stamps] == [fault.published] * 3


@faults(
    Fault(
        'ten million points at random, after a good frame',
        ALL,
        (*WRONG, 'refused_jump'),
        'metric depth held',
        cause=noise(10_000_000),
    )
)
def test_ten_million_points_cost_one_slow_frame(robot: Robot, fault: Fault) -> None:
    """A reference too large to be of use costs one slow frame; the scale from before is held."""
    robot.good()
    stamp_ns = robot.tick()
    cloud = robot.cloud(stamp_ns)
    fault.cause(cloud)
    with robot.counting(fault):
        # As from the subscription: 120 MB do not pass through the shared memory of the tests.
        robot.around.add_reference(cloud)
        robot.ask(robot.image(stamp_ns))
        robot.says(fault)
        robot.rig.until(lambda: robot.published(stamp_ns) == fault.published)
    outlive(robot)


def outlive(robot: Robot) -> None:
    """What once called far what is near is trusted again after eight frames, see Polarity."""
    for _ in range(8):
        stamp_ns = robot.tick()
        robot.refer(robot.cloud(stamp_ns))
        figures = robot.ask(robot.image(stamp_ns))
    assert figures['metric_valid'] == 'True'
    robot.good()


@faults(Fault('a frame that tf lacks', NO_METRES, ('refused_no_transform',), "'nowhere'"))
def test_a_reference_in_an_unknown_frame(robot: Robot, fault: Fault) -> None:
    """A reference that cannot be brought to the camera gives no metres, with a WARN."""
    rig = robot.rig
    extrinsics = rig.node.parameters.reference.extrinsics
    assert rig.set_parameter('reference.extrinsics', '')[0]
    stamp_ns = robot.tick()
    cloud = robot.cloud(stamp_ns)
    cloud.header.frame_id = 'nowhere'
    with robot.counting(fault):
        robot.refer(cloud)
        robot.ask(robot.image(stamp_ns))
        assert robot.says(fault).level == DiagnosticStatus.WARN
    assert rig.set_parameter('reference.extrinsics', extrinsics)[0]
    robot.good()
    assert robot.published(stamp_ns) == fault.published


def bad_info(name: str, said: str, **changes: Any) -> Fault:
    # Depth needs no intrinsics while the scale is held; whoever makes points of it does.
    held = NO_METRES | {DEPTH, SIGMA}
    return Fault(name, NO_METRES, ('refused_bad_camera_info',), said, held, changes)


@faults(
    bad_info('all zero', 'is not calibrated', k=np.zeros(9), p=np.zeros(12)),
    bad_info('all NaN', 'not finite', k=np.full(9, np.nan), p=np.full(12, np.nan)),
    bad_info('the size of another image', 'is for 640 x 480', width=640, height=480),
    bad_info('no size', 'has no size', width=0, height=0),
    bad_info('a binning that does not fit', 'does not fit', binning_x=1000),
)
def test_a_bad_camera_info_gives_no_metres_and_is_not_handed_on(
    robot: Robot, fault: Fault
) -> None:
    """A bad camera_info gives no metres, with a WARN, and is not handed on."""
    robot.good()
    with robot.counting(fault, 2):
        robot.inform(robot.info(**fault.cause))
        held_ns = robot.tick()
        robot.ask(robot.image(held_ns))
        status = robot.says(fault)
        robot.rig.until(lambda: fault.said in robot.rig.status().message)
        assert fault.said in values_of(robot.rig.status())['camera_info']
        assert status.level == DiagnosticStatus.WARN
        # Longer than a scale is held.
        robot.now += SECOND
        alone_ns = robot.tick()
        robot.refer(robot.cloud(alone_ns))
        assert robot.ask(robot.image(alone_ns))['metric_valid'] == 'False'
    robot.inform(robot.info())
    robot.good()
    assert robot.published(held_ns) == fault.held
    assert robot.published(alone_ns) == fault.published


# Time.


def any_stamp(name: str, choose: Callable[[Robot], int], reason: str = 'no_reference') -> Fault:
    # Without a reference of its own: none of another time is taken for it.
    return Fault(name, NO_METRES, (f'refused_{reason}',), reason, cause=choose)


@faults(
    any_stamp('zero', lambda _: 0, 'no_stamp'),
    any_stamp('before 1970', lambda _: -5 * SECOND),
    any_stamp('five seconds back', lambda robot: robot.now - 5 * SECOND),
    any_stamp('an hour later', lambda robot: robot.now + 3600 * SECOND),
    any_stamp('the last second that can be told', lambda _: (2**31 - 1) * SECOND),
)
def test_any_stamp_is_answered_and_harms_no_later_frame(robot: Robot, fault: Fault) -> None:
    """An image with any stamp is answered, and with metres where a reference has that stamp."""
    robot.good()
    stamp_ns = fault.cause(robot)
    with robot.counting(fault):
        assert robot.ask(robot.image(stamp_ns))['metric_valid'] == 'False'
        robot.says(fault)
    robot.good()
    assert robot.published(stamp_ns) == fault.published
    # With a reference of its stamp it has metres, as where a bag begins.
    again_ns = stamp_ns + 7
    robot.refer(robot.cloud(again_ns))
    assert robot.ask(robot.image(again_ns))['metric_valid'] == 'True'
    # And a reference alone harms none.
    robot.good()
    robot.refer(robot.cloud(stamp_ns + 8))
    robot.good()


def hour_ahead() -> int:
    return time.time_ns() + 3600 * SECOND


@faults(Fault('stamps an hour ahead of the clock', ALL, said='s ahead of the clock of this node'))
def test_stamps_ahead_of_the_clock_are_told(robot: Robot, fault: Fault) -> None:
    """Clocks that disagree cost no frame and are said in /diagnostics, with a WARN."""
    rig = robot.rig
    assert rig.set_parameter('max_image_age_s', 1.0)[0]
    stamps = [hour_ahead() + SECOND, hour_ahead()]
    with robot.counting(fault):
        for stamp_ns in stamps:
            robot.refer(robot.cloud(stamp_ns))
            robot.ask(robot.image(stamp_ns))
        assert robot.told('latency', fault.said).level == DiagnosticStatus.WARN
        robot.good()
    assert [robot.published(stamp_ns) for stamp_ns in stamps] == [fault.published] * 2
    robot.told('latency', 'behind the clock')
    assert rig.set_parameter('max_image_age_s', 0.0)[0]


@faults(
    Fault('an hour forward', ALL, cause=3600 * SECOND),
    Fault('ten seconds back', ALL, cause=-10 * SECOND),
)
def test_clock_jumps_under_simulated_time(robot: Robot, fault: Fault) -> None:
    """A clock that jumps costs no frame: the first image after it has metres."""
    rig = robot.rig
    clock = rig.peer.create_publisher(Clock, '/clock', 10)
    assert rig.set_parameter('max_image_age_s', 1.0)[0]
    own = rig.node.get_clock()

    def set_clock(now_ns: int) -> None:
        message = Clock(clock=Time(sec=now_ns // SECOND, nanosec=now_ns % SECOND))

        def there() -> bool:
            clock.publish(message)
            return own.now().nanoseconds == now_ns

        rig.until(there)
        robot.now = now_ns - SECOND // 2

    with robot.counting(fault):
        assert rig.set_parameter('use_sim_time', True)[0]
        for now_ns in (robot.now, robot.now + fault.cause):
            set_clock(now_ns)
            # 0.4 and 0.3 s old by that clock.
            robot.good()
            robot.good()
            assert robot.published(robot.now) == fault.published
        age_ms = float(values_of(robot.told('latency', 'ms from stamp'))['age_p50_ms'])
        assert 290.0 < age_ms < 410.0
        assert rig.set_parameter('use_sim_time', False)[0]
    assert rig.set_parameter('max_image_age_s', 0.0)[0]
    rig.peer.destroy_publisher(clock)


# The network, the graph and the disk.


@faults(
    refused(
        'it raises', 'internal_error', 'MemoryError: no 300 MB left', MemoryError('no 300 MB left')
    ),
    refused(
        'it gives NaN',
        'degenerate_network',
        '19200 of 19200 values that are not finite',
        np.full((120, 160), np.nan, np.float32),
    ),
    refused(
        'it gives one value',
        'degenerate_network',
        'tell no near from far',
        np.ones((120, 160), np.float32),
    ),
    refused('it gives nothing', 'internal_error', "has no attribute 'shape'", None),
)
def test_a_network_that_fails(robot: Robot, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """An image for which the network fails is not answered; two of them are an ERROR."""

    def infer(*_: Any) -> Any:
        if isinstance(fault.cause, Exception):
            raise fault.cause
        return fault.cause

    # Pictures that are not of the drive are left to the network.
    monkeypatch.setattr(robot.network, 'infer', infer)
    check_refused(robot, fault, lambda message: fill_image(message, picture(), 'bgr8'))


@faults(Fault('a subscriber that comes and goes fifty times', ALL))
def test_a_subscriber_that_comes_and_goes_fifty_times(robot: Robot, fault: Fault) -> None:
    """Subscribers may come and go: the others are served, and so is the last."""
    rig, node = robot.rig, robot.rig.node
    robot.good()
    with robot.counting(fault):
        for _ in range(50):
            subscription = rig.peer.create_subscription(Image, COLOR, lambda _: None, 10)
            rig.until(lambda: node.count_subscribers(COLOR) == 1)
            robot.good()
            rig.peer.destroy_subscription(subscription)
            rig.until(lambda: node.count_subscribers(COLOR) == 0)
    kept = rig.peer.create_subscription(Image, COLOR, rig.received[COLOR].append, 10)
    rig.until(lambda: node.count_subscribers(COLOR) == 1)
    robot.good()
    assert rig.until(lambda: robot.find(COLOR, robot.now))
    assert robot.published(robot.now) == fault.published
    rig.peer.destroy_subscription(kept)


@faults(
    Fault(
        '200 changes, some of them refused', NO_METRES, ('refused_no_reference',), 'no_reference'
    )
)
def test_a_storm_of_parameter_changes_while_frames_run(robot: Robot, fault: Fault) -> None:
    """Parameters may be changed while frames run; each change is answered for itself."""
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
    stamps = [robot.tick() for _ in range(200)]
    with robot.counting(fault, None):
        for change, stamp_ns in enumerate(stamps):
            name, value, accepted = storm[change % len(storm)]
            parameter = Parameter(name, value=value).to_parameter_msg()
            request = SetParameters.Request(parameters=[parameter])
            waiting.append((client.call_async(request), accepted))
            # Without a reference, so that frames are as many as can be.
            robot.publish(robot.image(stamp_ns))
            # A service keeps ten requests.
            rig.until(lambda: sum(not future.done() for future, _ in waiting) < 8)
        rig.until(lambda: all(future.done() for future, _ in waiting))
        robot.says(fault)
    results = [future.result().results[0].successful for future, _ in waiting]
    assert results == [accepted for _, accepted in waiting]
    assert rig.node.parameters.output.max_side == 0
    assert rig.set_parameter('cloud.stride', 2)[0]
    robot.good()
    # Those that a newer one replaced have no answer.
    answers = [robot.published(stamp_ns) for stamp_ns in stamps]
    assert set(answers) <= {NOTHING, fault.published}
    assert answers.count(fault.published) > 10


# Little is imported, so that it starts soon on a busy machine.
PUBLISHER = """
import os, time
from array import array
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node('doomed')
publisher = node.create_publisher(Image, 'image', qos_profile_sensor_data)
message = Image(height=120, width=160, encoding='bgr8', step=480)
message.header.frame_id = 'doomed'
message.data = array('B', os.urandom(57600))
while True:
    message.header.stamp.sec += 1
    publisher.publish(message)
    time.sleep(0.02)
"""


@faults(Fault('SIGKILL to the process that publishes images', NOTHING, (), 'no image on /image'))
def test_a_killed_publisher_is_missed_and_another_takes_over(robot: Robot, fault: Fault) -> None:
    """A publisher that dies is missed, with a WARN, and another takes over."""
    rig = robot.rig
    rig.peer.destroy_publisher(rig._publishers.pop('image'))
    process = subprocess.Popen([sys.executable, '-c', PUBLISHER])
    try:
        got = rig.received[RELATIVE]
        rig.until(lambda: sum(m.header.frame_id == 'doomed' for m in got) > 3, timeout_s=90.0)
        process.send_signal(signal.SIGKILL)
        process.wait(20.0)
    finally:
        process.kill()
        process.wait()
    with robot.counting(fault):
        silent = len(got)
        assert rig.set_parameter('diagnostics.stale_after_s', 0.3)[0]
        assert robot.says(fault).level == DiagnosticStatus.WARN
        robot.told('throughput', 'no image for ')
        assert len(got) == silent
    rig.until_answered(RELATIVE, lambda: robot.image(robot.tick()))
    assert rig.set_parameter('diagnostics.stale_after_s', 600.0)[0]
    robot.rewind()
    robot.good()


@faults(Fault('overwritten in place, cut, then replaced', ALL, said='is not a checkpoint'))
def test_weights_replaced_on_disk_while_they_run(
    robot: Robot, weights: Path, fault: Fault
) -> None:
    """Weights replaced on disk do nothing to those that run; the next configure refuses them."""
    rig = robot.rig
    whole = weights.read_bytes()
    before = robot.network.infer(picture())

    def unharmed() -> None:
        robot.good()
        assert robot.published(robot.now) == fault.published
        np.testing.assert_array_equal(robot.network.infer(picture()), before)

    with robot.counting(fault):
        # In place, where a mapped file would crash the process, then as a new file.
        with weights.open('r+b') as file:
            file.write(b'\xff' * (len(whole) // 2))
            file.truncate()
        unharmed()
        other = weights.with_name('other')
        other.write_bytes(bytes(1000))
        other.replace(weights)
        unharmed()
    sha256 = robot.values('model')['weights_sha256']
    assert sha256 == hashlib.sha256(whole).hexdigest()
    robot.transit(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    assert not rig.change_state(Transition.TRANSITION_CONFIGURE)
    status = robot.says(fault)
    assert status.level == DiagnosticStatus.ERROR
    assert f'{weights} is not a checkpoint' in status.message
    weights.write_bytes(whole)
    robot.transit(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
    robot.meet()
    np.testing.assert_array_equal(robot.network.infer(picture()), before)


@faults(Fault('full in the middle of the download', NOTHING, (), 'cannot write'))
def test_weights_downloaded_to_a_full_disk(tmp_path: Path, fault: Fault) -> None:
    """A full disk ends the download with an ERROR, leaves nothing, and harms no other attempt."""
    content = checkpoint_bytes(tmp_path)
    row = released(content)
    go = threading.Event()
    with serving(FakeHub(row, content)) as hub, watched(row, hub, tmp_path) as watcher:
        hub.halfway_waits_for = go
        watcher.until('% of 99 MB')
        # What a full disk is to a file: it cannot grow.
        limits = resource.prlimit(watcher.process.pid, resource.RLIMIT_FSIZE)
        full = (len(content) // 2, limits[1])
        resource.prlimit(watcher.process.pid, resource.RLIMIT_FSIZE, full)
        go.set()
        status = watcher.until(fault.said)
        assert status.level == DiagnosticStatus.ERROR
        assert values_of(status)['state'] == 'unconfigured'
        assert '\n' not in status.message
        assert 'make room' in status.message
        left = [path for path in watcher.cache.rglob('*') if path.is_file()]
        assert sum(path.stat().st_size for path in left) < 1000
        assert watcher.advertised({RELATIVE, RAW, COLOR}) == fault.published
        resource.prlimit(watcher.process.pid, resource.RLIMIT_FSIZE, limits)
        watcher.fetch()
        watcher.change_state(Transition.TRANSITION_CONFIGURE)
        watcher.change_state(Transition.TRANSITION_ACTIVATE)
        watcher.until('active')
        assert watcher.answer_to(picture()).encoding == '32FC1'


def test_the_page_is_what_is_declared(request: pytest.FixtureRequest) -> None:
    """docs/reliability.md is that of a run in which all passed."""
    if request.config.option.reliability is not None:
        pytest.skip('it is being written')
    tests = [test for test in globals().values() if hasattr(test, 'faults')]
    cases = fuzz_cases(vars(importlib.import_module('messages.test_fuzz')).values())
    text = page(tests, lambda _: 'passed', cases, 'passed')
    stale = f'stale: run {COMMAND}'
    assert (Path(__file__).parents[1] / 'docs' / 'reliability.md').read_text() == text, stale
