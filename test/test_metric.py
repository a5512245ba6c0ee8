"""Metric depth through the running node, from a simulated drive and a network that errs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from drive import DEPTH, DEPTH_INFO, IMAGE, INFO, LIDAR, ODOM, SCAN, TF, TF_STATIC, Drive, drive
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile
from rig import Rig, values_of
from sensor_msgs.msg import CameraInfo, Image, LaserScan, PointCloud2, Range
from std_msgs.msg import String
from std_srvs.srv import Trigger

from depth_anything_ros.backends.base import NetworkOutput
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.messages.camera_info import camera_from_info
from depth_anything_ros.messages.images import bgr_from_image
from depth_anything_ros.messages.point_clouds import points_from_cloud
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.ros.qos import LATCHED
from lab.sample_topics import START_NS

REFERENCE = '/sensor/data'
NODE = '/depth_anything/'
DEPTH_OUT, STATS = NODE + 'depth/image', NODE + 'frame_stats'
RELATIVE = NODE + 'relative/image'
TYPES = {DEPTH: 'depth_image', LIDAR: 'point_cloud', SCAN: 'laser_scan', ODOM: 'odometry'}
# Mean |error| / depth that the network's own errors leave.
BOUNDS = {DEPTH: 0.09, LIDAR: 0.09, SCAN: 0.11, 'floor': 0.12, ODOM: 0.12}

RELIABLE = QoSProfile(depth=100)

Change = Callable[[int, Any], Any]


class Replay:
    """Sends a drive to a node, message by message, and collects the answers by stamp."""

    def __init__(self, rig: Rig, what: Drive, reference: str, image: str) -> None:
        self.rig, self.drive, self.reference, self._image = rig, what, reference, image
        self.images = 0
        rig.listen(Image, DEPTH_OUT)
        rig.listen(Image, RELATIVE)
        rig.listen(DiagnosticArray, STATS)
        rig.until_state('active')
        self._around = rig.node._cameras[''].messages
        self._sent = what.messages + (what.odometry if reference == ODOM else [])

    def run(self, change: Change | None = None, until: int = 10**9) -> None:
        """Send what is left up to image number `until`; `change(image, reference)` alters it.

        Each image waits for its answer, each reference until it is there.
        """
        for topic, kind, message in self._rest():
            if topic == IMAGE:
                self._ask(self.drive.live(topic, kind, message))
                self.images += 1
                if self.images == until:
                    return
            elif topic == INFO and self._around.camera_info is None:
                self._inform('camera_info', self.drive.live(topic, kind, message))
            elif topic == DEPTH_INFO and self._around.reference_info is None:
                self._inform('/sensor/camera_info', self.drive.live(topic, kind, message))
            elif topic in (TF, TF_STATIC) and not self.rig.node.parameters.reference.extrinsics:
                self._transform(topic, self.drive.live(topic, kind, message))
            elif topic == self.reference:
                self._refer(topic, kind, message, change)

    def _rest(self) -> Iterator[tuple[str, str, Any]]:
        if not hasattr(self, '_messages'):
            self._messages = iter(sorted(self._sent, key=self._sent_ns))
        return self._messages

    def _sent_ns(self, item: tuple[str, str, Any]) -> int:
        topic, _, message = item
        first = message if hasattr(message, 'header') else message.transforms[0]
        # The pose after an image is there before the network is done with it.
        early = topic == ODOM or (topic == TF and len(self._sent) > len(self.drive.messages))
        return ns_from_stamp(first.header.stamp) - early * 50_000_000

    def _inform(self, to: str, info: CameraInfo) -> None:
        """Send a camera_info until it is there; it says the same all the time."""
        if to != 'camera_info' and self.reference != DEPTH:
            return

        def there() -> bool:
            around = self._around
            heard = around.camera_info if to == 'camera_info' else around.reference_info
            if heard is None:
                self.rig.publish(info, to)
            return heard is not None

        self.rig.until(there)

    def _transform(self, topic: str, message: Any) -> None:
        """Publish transforms and wait until the node knows the first of them."""
        first = message.transforms[0]
        stamp_ns = ns_from_stamp(first.header.stamp)
        names = first.header.frame_id, stamp_ns, first.child_frame_id, stamp_ns, ''
        self.rig.publish(message, topic, LATCHED if topic == TF_STATIC else RELIABLE)

        def known() -> bool:
            with suppress(FrameError):
                self._around.transforms.lookup_through(*names)
                return True
            return False

        self.rig.until(known)

    def _refer(self, topic: str, kind: str, message: Any, change: Change | None) -> None:
        sent = self.drive.live(topic, kind, message)
        if change is not None:
            sent = change(self.images, sent)
        if sent is None:
            return
        stamp_ns = ns_from_stamp(sent.header.stamp)

        def there() -> bool:
            if self._around.nearest(stamp_ns, 0.0):
                return True
            # Until both ends have found each other.
            self.rig.publish(sent, REFERENCE)
            return False

        self.rig.until(there)

    def _ask(self, image: Image) -> None:
        stamp_ns = ns_from_stamp(image.header.stamp)

        def answered() -> bool:
            figures = self.stats(stamp_ns)
            # Topics arrive, and are discovered, in any order.
            if figures and (figures['metric_valid'] != 'True' or stamp_ns in depths(self.rig)):
                return True
            if not self.images:
                self.rig.publish(image, self._image)
            return False

        if self.images:
            self.rig.publish(image, self._image)
        self.rig.until(answered)

    def stats(self, stamp_ns: int) -> dict[str, str] | None:
        """The figures of one frame; None before they are there."""
        for array in self.rig.received[STATS]:
            if ns_from_stamp(array.header.stamp) == stamp_ns:
                return values_of(array.status[0])
        return None

    @property
    def all_stats(self) -> list[dict[str, str]]:
        """The figures of every frame, by stamp."""
        found = {
            ns_from_stamp(a.header.stamp): values_of(a.status[0]) for a in self.rig.received[STATS]
        }
        return [found[stamp] for stamp in sorted(found)]


@contextmanager
def replay(
    monkeypatch: pytest.MonkeyPatch,
    reference: str,
    family: str = 'room',
    image: str = 'image',
    **parameters: Any,
) -> Iterator[Replay]:
    """A node with the erring network of a drive, and the drive to send."""
    # Odometry needs half a second to begin, and more pixels to follow than a reference.
    what = drive('road', 1.2, size=(320, 240)) if reference == ODOM else drive(family)
    backend = what.backend()
    monkeypatch.setattr('depth_anything_ros.node.load_backend', lambda _: backend)
    given: dict[str, Any] = {
        'reference.type': TYPES.get(reference, 'ground_plane'),
        'reference.extrinsics': what.extrinsics(reference),
        'alignment.hold_s': 0.25,
    }
    remaps = ['-r', f'reference:={REFERENCE}', '-r', f'image:={image}']
    with Rig(given | parameters, remaps) as rig:
        yield Replay(rig, what, reference, image)


def depths(rig: Rig) -> dict[int, np.ndarray]:
    """The depth images, by stamp."""
    return {
        ns_from_stamp(m.header.stamp): np.frombuffer(m.data, np.float32).reshape(m.height, m.width)
        for m in rig.received[DEPTH_OUT]
    }


def abs_rel(depth: np.ndarray, truth: np.ndarray) -> float:
    known = np.isfinite(depth) & np.isfinite(truth)
    assert known.mean() > 0.5
    return float(np.mean(np.abs(depth - truth)[known] / truth[known]))


@pytest.mark.parametrize('reference', [DEPTH, LIDAR, SCAN, 'floor'])
def test_each_reference_gives_metric_depth(
    monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    family = 'road' if reference == 'floor' else 'room'
    with replay(monkeypatch, reference, family) as run:
        run.run()
        got = depths(run.rig)
        assert len(got) > run.images / 2
        errors = [abs_rel(depth, run.drive.truth[stamp]) for stamp, depth in got.items()]
        assert np.median(errors) < BOUNDS[reference], errors
        last = run.all_stats[-1]
        assert last['metric_valid'] == 'True'
        assert last['metric_source'] == 'reference'
        assert float(last['scale']) > 0.0
        run.rig.until(lambda: values_of(run.rig.status())['metric_valid'] == 'True')


@pytest.mark.parametrize('kind', ['odometry', 'auto'])
def test_odometry_gives_metres_while_somebody_wants_them(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with replay(monkeypatch, ODOM, **{'reference.type': kind}) as run:
        rig = run.rig
        run.run()
        got = depths(rig)
        assert len(got) >= 4
        errors = [abs_rel(depth, run.drive.truth[stamp]) for stamp, depth in got.items()]
        assert np.median(errors) < BOUNDS[ODOM], errors
        assert run.all_stats[0]['metric_reason'] == 'no_earlier_frame'
        told = rig.received[NODE + 'status']
        rig.until(lambda: any(values_of(each)['metric_valid'] == 'True' for each in told))


def test_odometry_is_not_followed_where_nobody_wants_metres(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with replay(monkeypatch, ODOM) as run:
        rig = run.rig
        for each in [*rig.peer.subscriptions]:
            if each.topic_name == DEPTH_OUT:
                rig.peer.destroy_subscription(each)
        rig.until(lambda: not rig.node._cameras[''].outputs.metric_wanted())
        run.run(until=4)
        assert {each['metric_reason'] for each in run.all_stats} == {'no_subscriber'}
        rig.until(lambda: 'an output in metres' in alignment(rig).message)
        assert alignment(rig).level == DiagnosticStatus.OK


@pytest.mark.parametrize('fixed_frame', ['', 'odom'])
def test_odometry_that_nobody_publishes_is_named_in_one_line(fixed_frame: str) -> None:
    given = {'reference.type': 'odometry', 'reference.fixed_frame': fixed_frame}
    with Rig(given, ['-r', f'reference:={REFERENCE}']) as rig:
        rig.listen(Image, DEPTH_OUT)
        rig.until_state('active')
        subscribed = rig.node.count_subscribers(REFERENCE)
        if fixed_frame:
            # By tf alone no topic is subscribed to.
            assert not subscribed
            assert rig.node._cameras[''].reference.problem(needed=True) == ''
        else:
            assert subscribed == 1
            rig.until(lambda: 'set reference.fixed_frame' in rig.status().message)
            assert REFERENCE in rig.status().message


def test_odometry_through_tf_gives_metres(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('tf2_msgs', reason='tf2_msgs is not installed')
    given = {'reference.extrinsics': '', 'reference.fixed_frame': 'odom'}
    with replay(monkeypatch, ODOM, **given) as run:
        run.reference = ''
        run.run()
        got = depths(run.rig)
        assert len(got) >= 4
        errors = [abs_rel(depth, run.drive.truth[stamp]) for stamp, depth in got.items()]
        assert np.median(errors) < BOUNDS[ODOM], errors


def test_every_metric_output_agrees_in_stamp_frame_size_and_geometry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {
        'output.max_side': 80,
        'cloud.stride': 1,
        'cloud.sigma': True,
        'cloud.edge_filter': 0.0,
    }
    with replay(monkeypatch, LIDAR, **given) as run:
        rig = run.rig
        rig.listen(Image, NODE + 'depth/sigma')
        rig.listen(CameraInfo, NODE + 'depth/camera_info')
        rig.listen(PointCloud2, NODE + 'points')
        rig.listen(LaserScan, NODE + 'scan')
        run.run(until=12)
        image, info, sigma, cloud = rig.until(
            lambda: newest_together(
                rig, DEPTH_OUT, *(NODE + n for n in ('depth/camera_info', 'depth/sigma', 'points'))
            )
        )
        assert image.header.frame_id == 'camera_optical_frame'
        assert (image.width, image.height) == (sigma.width, sigma.height) == (80, 60)
        camera = camera_from_info(info, 80, 60, rectified=True)
        expected = run.drive.world.camera.scaled(80, 60)
        assert np.allclose(
            [camera.fx, camera.fy, camera.cx, camera.cy],
            [expected.fx, expected.fy, expected.cx, expected.cy],
        )
        depth = np.frombuffer(image.data, np.float32).reshape(60, 80)
        deviation = np.frombuffer(sigma.data, np.float32).reshape(60, 80)
        assert (np.isfinite(depth) == np.isfinite(deviation)).all()
        assert (deviation[np.isfinite(deviation)] > 0.0).all()
        assert [field.name for field in cloud.fields] == ['x', 'y', 'z', 'rgb', 'sigma']
        assert (cloud.height, cloud.width) == (60, 80)
        x, y, z = points_from_cloud(cloud).T.reshape(3, 60, 80)
        v, u = np.nonzero(np.isfinite(z))
        assert np.array_equal(z[v, u], depth[v, u])
        assert np.allclose(x[v, u] / z[v, u] * camera.fx + camera.cx, u, atol=1e-3)
        assert np.allclose(y[v, u] / z[v, u] * camera.fy + camera.cy, v, atol=1e-3)
        # Nobody publishes tf here, so there is no level frame for a scan, and that is said.
        assert not rig.received[NODE + 'scan']
        rig.until(lambda: 'base_footprint' in rig.status().message)
        assert rig.status().level == DiagnosticStatus.WARN


def test_tf_gives_extrinsics_and_a_level_frame_for_the_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip('tf2_msgs', reason='tf2_msgs is not installed')
    given = {'reference.extrinsics': '', 'reference.fixed_frame': 'odom', 'scan.max_range_m': 4.0}
    with replay(monkeypatch, LIDAR, **given) as run:
        rig = run.rig
        rig.listen(LaserScan, NODE + 'scan')
        rig.listen(PointCloud2, NODE + 'points')
        run.run(until=12)
        errors = [abs_rel(depth, run.drive.truth[stamp]) for stamp, depth in depths(rig).items()]
        assert len(errors) > 8
        assert np.median(errors) < BOUNDS[LIDAR]
        scan = rig.received[NODE + 'scan'][-1]
        assert scan.header.frame_id == 'base_footprint'
        assert ns_from_stamp(scan.header.stamp) in run.drive.truth
        ranges = np.array(scan.ranges)
        assert np.isfinite(ranges).mean() > 0.3
        # What the scanner sees in one plane, the camera sees in a band: as near or nearer.
        scanner = run.drive.world.sensors.scanner
        true = run.drive.world.scan((ns_from_stamp(scan.header.stamp) - START_NS) * 1e-9)
        bearings = scan.angle_min + scan.angle_increment * np.arange(ranges.size)
        there = true[np.rint((bearings + np.pi) / scanner.step_rad).astype(int) % true.size]
        both = np.isfinite(ranges) & np.isfinite(there)
        assert np.median((ranges - there)[both]) < 0.3
        assert rig.received[NODE + 'points'][-1].header.frame_id == 'camera_optical_frame'


def newest_together(rig: Rig, *topics: str) -> list[Any]:
    """The newest message of each topic, if they share a header."""
    newest = [rig.received[topic][-1] for topic in topics if rig.received[topic]]
    together = len(newest) == len(topics) and all(m.header == newest[0].header for m in newest)
    return newest if together else []


def test_an_unplugged_reference_silences_metres_only_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unplugged = range(8, 13)
    with replay(monkeypatch, DEPTH) as run:
        run.run(lambda image, message: None if image in unplugged else message)
        stamps = sorted(run.drive.truth)
        metric = [stamp in depths(run.rig) for stamp in stamps]
        # 10 images a second, held for 0.25 s: silent from the fourth frame without a reference.
        assert metric[1:8] == [True] * 7
        assert metric[10:13] == [False] * 3
        assert any(metric[13:16])
        assert metric[16:] == [True] * len(metric[16:])
        run.rig.until(lambda: len(run.rig.received[RELATIVE]) >= len(stamps) - 1)
        told = [values_of(status) for status in run.rig.received[NODE + 'status']]
        assert {'no_reference'} <= {each['metric_reason'] for each in told}
        silent = run.all_stats[11]
        assert silent['metric_reason'] == 'no_reference'


@pytest.mark.parametrize('reference', [DEPTH, LIDAR])
def test_a_reference_that_changes_scale_never_makes_the_depth_jump_in_silence(
    monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    with replay(monkeypatch, reference) as run:
        run.run(lambda image, message: stretched(message, 1.3) if image >= 10 else message)
        stats = run.all_stats
        valid = [each['metric_valid'] == 'True' for each in stats]
        scale = np.array([float(each['scale'] or 'nan') for each in stats])
        # Once it is silent, the next scale is another one.
        before = scale[9]
        jumped = [
            i for i in range(10, len(stats)) if valid[i] and abs(scale[i] / before - 1) > 0.1
        ]
        assert jumped
        assert any(not each for each in valid[10 : jumped[0]])
        assert {'jump'} <= {each['metric_reason'] for each in stats[10 : jumped[0]]}
        told = [values_of(status)['metric_reason'] for status in run.rig.received[NODE + 'status']]
        assert 'jump' in told
        last = max(run.drive.truth)
        assert np.isclose(
            np.nanmedian(depths(run.rig)[last] / run.drive.truth[last]), 1.3, rtol=0.1
        )


def stretched(message: Any, factor: float) -> Any:
    """The same reference with all distances multiplied."""
    if isinstance(message, PointCloud2):
        points = np.frombuffer(message.data, np.uint8).reshape(-1, message.point_step).copy()
        points[:, :12].view('<f4')[:] *= factor
        message.data = points.tobytes()
    else:
        millimetres = np.frombuffer(message.data, np.uint16)
        message.data = np.round(millimetres * factor).astype(np.uint16).tobytes()
    return message


@pytest.mark.parametrize('reference', [DEPTH, LIDAR, SCAN])
def test_a_reference_with_near_and_far_swapped_never_gives_metres(
    monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    with replay(monkeypatch, reference) as run:
        run.run(lambda _, message: swapped(message))
        assert run.images == len(run.drive.truth)
        assert not run.rig.received[DEPTH_OUT]
        reasons = {each['metric_reason'] for each in run.all_stats}
        assert reasons & {'contradicts_network', 'ambiguous', 'poor_fit', 'polarity_unobserved'}
        run.rig.until(lambda: run.rig.status().level == DiagnosticStatus.WARN)
        assert 'no metric depth' in run.rig.status().message


def swapped(message: Any) -> Any:
    """The same reference with near and far exchanged along each ray."""

    def turned(metres: np.ndarray) -> np.ndarray:
        known = np.isfinite(metres) & (metres > 0.0)
        inverse = 1.0 / metres[known]
        result = metres.copy()
        result[known] = 1.0 / (inverse.max() + inverse.min() - inverse)
        return result

    if isinstance(message, PointCloud2):
        points = np.frombuffer(message.data, np.uint8).reshape(-1, message.point_step).copy()
        xyz = points[:, :12].view('<f4')
        # Turned in the camera's view, which looks along x of the lidar.
        ahead = xyz[:, 0] > 0.5
        xyz[ahead] *= (turned(xyz[ahead, 0]) / xyz[ahead, 0])[:, None]
        message.data = points.tobytes()
    elif isinstance(message, LaserScan):
        ranges = np.array(message.ranges, np.float32)
        angles = message.angle_min + message.angle_increment * np.arange(ranges.size)
        ahead = np.abs(angles) < 0.6
        ranges[ahead] = turned(ranges[ahead])
        message.ranges = ranges.tolist()
    elif isinstance(message, Range):
        message.range = 4.0 / message.range
    else:
        metres = np.frombuffer(message.data, np.uint16) * np.float32(0.001)
        message.data = np.round(turned(metres) * 1000.0).astype(np.uint16).tobytes()
    return message


def test_a_raw_looking_topic_with_distortion_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    live = Drive.live

    def distorted(self: Drive, topic: str, kind: str, message: Any) -> Any:
        sent = live(self, topic, kind, message)
        if topic == INFO:
            sent.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
        return sent

    monkeypatch.setattr(Drive, 'live', distorted)
    with replay(monkeypatch, LIDAR, image='/camera/image_raw') as run:
        run.run(until=4)
        run.rig.until(lambda: 'set rectified to false' in run.rig.status().message)
        assert run.rig.set_parameter('rectified', False)[0]
        run.run(until=8)
        run.rig.until(lambda: 'rectified' not in run.rig.status().message)


def test_reset_alignment_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with replay(monkeypatch, LIDAR) as run:
        run.run(until=8)
        # A frame without a reference of its own goes on with the scale of those before it.
        run.run(lambda image, message: None, until=9)
        assert run.all_stats[-1]['metric_valid'] == 'True'
        assert run.rig.call(Trigger, 'reset_alignment', Trigger.Request()).success
        run.run(lambda image, message: None, until=10)
        assert run.all_stats[-1]['metric_valid'] == 'False'


def test_auto_takes_the_type_of_what_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    with replay(monkeypatch, SCAN, **{'reference.type': 'auto'}) as run:
        rig = run.rig
        assert rig.node._cameras[''].messages.kind is None
        rig.publish(String(data='no reference'), REFERENCE)
        rig.until(lambda: 'std_msgs/msg/String' in alignment(rig).message)
        rig.peer.destroy_publisher(rig._publishers.pop(REFERENCE))
        run.run()
        assert run.all_stats[-1]['metric_valid'] == 'True'
        rig.until(lambda: alignment(rig).message == 'metric depth by laser_scan')


def alignment(rig: Rig) -> DiagnosticStatus:
    return rig.diagnostics('alignment') or DiagnosticStatus()


def test_what_is_said_when_there_is_no_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    with replay(monkeypatch, SCAN, **{'reference.type': 'auto'}) as run:
        run.run(lambda *_: None, until=2)
        # Somebody waits for metres here.
        run.rig.until(lambda: f'no publisher on {REFERENCE}' in run.rig.status().message)
        assert run.rig.status().level == DiagnosticStatus.WARN


def test_metres_end_with_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    with replay(monkeypatch, LIDAR, **{'diagnostics.stale_after_s': 0.5}) as run:
        run.run()
        assert run.all_stats[-1]['metric_valid'] == 'True'
        run.rig.until(lambda: values_of(run.rig.status())['metric_valid'] == 'False')
        run.rig.until(lambda: alignment(run.rig).message == 'no image to align')


def test_a_reference_that_cannot_be_subscribed_to_leaves_the_node_alive() -> None:
    wrong = f'qos_overrides.{REFERENCE}.subscription.reliability:=nonsense'
    arguments = ['-r', f'reference:={REFERENCE}', '-p', wrong]
    with Rig(arguments=arguments) as rig:
        rig.until_state('active')
        rig.publish(LaserScan(), REFERENCE)
        rig.until(lambda: 'nonsense' in alignment(rig).message)
        rig.listen(Image, RELATIVE)
        rig.until_answered(RELATIVE)


def test_a_metric_checkpoint_needs_no_reference_and_is_corrected_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with replay(monkeypatch, LIDAR, **{'metric.prior_relative_sigma': 0.4}) as run:
        metric = OffByAFifth(run.drive)
        run.rig.change_state(Transition.TRANSITION_DEACTIVATE)
        run.rig.node._frames.network.backend = metric
        run.rig.change_state(Transition.TRANSITION_ACTIVATE)
        run.rig.listen(Image, NODE + 'depth/sigma')
        run.run(lambda image, message: message if image >= 10 else None)
        by_stamp = depths(run.rig)
        stamps = sorted(run.drive.truth)
        ratio = [np.nanmedian(by_stamp[s] / run.drive.truth[s]) for s in stamps if s in by_stamp]
        sources = [each['metric_source'] for each in run.all_stats]
        assert sources[0] == 'checkpoint'
        assert sources[-1] == 'reference'
        assert len(ratio) == len(stamps)
        assert np.isclose(ratio[0], 1.2, atol=0.01)
        assert np.isclose(ratio[-1], 1.0, atol=0.05)
        first = by_stamp[stamps[0]]
        sigma = np.frombuffer(run.rig.received[NODE + 'depth/sigma'][0].data, np.float32)
        flat = np.isfinite(first.ravel())
        assert np.isclose(np.median(sigma[flat] / first.ravel()[flat]), 0.4, atol=0.02)
        # Where the head saturates nothing is known.
        assert np.nanmax(first) < 20.0


class OffByAFifth:
    """A metric checkpoint for indoors whose depth is a fifth too large."""

    def __init__(self, what: Drive) -> None:
        wrapped = what.backend()
        card = Card.of_checkpoint('demo', Checkpoint.METRIC_INDOOR)
        weights = replace(wrapped.info.weights, card=card)
        self.info = replace(wrapped.info, output=NetworkOutput.METRES, weights=weights)
        self._truth = {
            bgr_from_image(message).tobytes(): what.truth[ns_from_stamp(message.header.stamp)]
            for topic, _, message in what.messages
            if topic == IMAGE
        }

    def infer(self, bgr: np.ndarray, times: Any = None) -> np.ndarray:
        truth = self._truth[bgr.tobytes()]
        return np.asarray(1.0 / np.minimum(1.2 * truth, 20.0), np.float32)

    def close(self) -> None:
        pass
