"""A whole robot for tests of what goes wrong: a drive, a node, and what it must answer."""

from __future__ import annotations

import copy
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from drive import IMAGE, INFO, LIDAR, Drive
from lifecycle_msgs.msg import Transition
from rig import Rig, values_of
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.messages.images import bgr_from_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.ros.qos import REFERENCE
from faults import ALL, DEPTH, DEPTH_INFO, POINTS, RELATIVE, SIGMA, STATS, Fault

SECOND = 1_000_000_000
CLOUD = '/sensor/points'
# What the network's own errors leave, as in test_metric.
BOUND = 0.09

_OUTPUTS = {
    RELATIVE: Image,
    DEPTH: Image,
    DEPTH_INFO: CameraInfo,
    SIGMA: Image,
    POINTS: PointCloud2,
    STATS: DiagnosticArray,
}
# What becomes of an image that is not answered.
_LOSSES = ('skipped_idle', 'dropped_superseded', 'dropped_too_old', 'dropped_invalid')
_FAULTS = ('dropped_too_old', 'dropped_invalid_', 'refused_')


class TruthOrNetwork:
    """Answers the pictures of the drive with their degraded truth, all others by a network."""

    def __init__(self, what: Drive, network: Any) -> None:
        self._truth, self.network = what.backend(), network
        self.info = network.info

    def infer(self, bgr: np.ndarray, times: Any = None) -> np.ndarray:
        try:
            return self._truth.infer(bgr, times)
        except FrameError:
            return self.network.infer(bgr, times)

    def close(self) -> None:
        self.network.close()


class Robot:
    """Sends one moment of a drive again and again, each time with a later stamp."""

    def __init__(self, rig: Rig, what: Drive) -> None:
        self.rig, self.drive = rig, what
        by_topic: dict[str, Any] = {}
        for topic, kind, message in what.messages:
            if topic in (IMAGE, INFO, LIDAR) and topic not in by_topic:
                by_topic[topic] = what.live(topic, kind, message)
        self._image, self._info, self._cloud = (by_topic[t] for t in (IMAGE, INFO, LIDAR))
        png = cv2.imencode('.png', bgr_from_image(self._image))[1]
        self._png = CompressedImage(format='png', data=array('B', png.tobytes()))
        self._png.header = self._image.header
        self.truth = what.truth[ns_from_stamp(self._image.header.stamp)]
        self._base = self.now = 1_000_000 * SECOND
        for topic, kind in _OUTPUTS.items():
            rig.listen(kind, topic)
        assert set(_OUTPUTS) == ALL
        rig.until_state('active')
        self._transport = 'raw'
        self.meet()

    @property
    def around(self) -> Any:
        """What the node has heard around its images."""
        return self.rig.node._cameras[''].messages

    @property
    def network(self) -> Any:
        """The network behind the truth; it answers what is not of the drive."""
        return self.rig.node._frames.network.backend.network

    def meet(self) -> None:
        """Wait until a node that was just activated hears: the first images may be lost."""
        self.inform(self.info())
        self.rig.until_answered(RELATIVE, lambda: self.image(self.tick()), self._topic)

    def transit(self, *transitions: int) -> None:
        for transition in transitions:
            assert self.rig.change_state(transition)

    def hear(self, transport: str) -> None:
        """Send images raw or compressed from now on."""
        if transport == self._transport:
            return
        self.transit(Transition.TRANSITION_DEACTIVATE)
        assert self.rig.set_parameter('image_transport', transport)[0]
        self.transit(Transition.TRANSITION_ACTIVATE)
        self._transport = transport
        self.meet()

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

    @property
    def _topic(self) -> str:
        return 'image' if self._transport == 'raw' else 'image/compressed'

    def image(self, stamp_ns: int) -> Any:
        good = self._image if self._transport == 'raw' else self._png
        return stamped(copy.copy(good), stamp_ns)

    def cloud(self, stamp_ns: int) -> PointCloud2:
        return stamped(copy.copy(self._cloud), stamp_ns)

    def info(self, **changes: Any) -> CameraInfo:
        message = copy.copy(self._info)
        for name, value in changes.items():
            setattr(message, name, value)
        return stamped(message, self.tick())

    def publish(self, image: Any) -> None:
        self.rig.publish(image, self._topic)

    def inform(self, info: CameraInfo) -> None:
        """Send a camera_info until it is there."""

        def there() -> bool:
            heard = self.around.camera_info
            if heard is not None and heard.header == info.header:
                return True
            self.rig.publish(info, 'camera_info')
            return False

        self.rig.until(there)

    def refer(self, cloud: PointCloud2) -> None:
        """Send a reference until it is there."""
        stamp_ns = ns_from_stamp(cloud.header.stamp)

        def there() -> bool:
            if self.around.nearest(stamp_ns, 0.0):
                return True
            self.rig.publish(cloud, CLOUD, REFERENCE)
            return False

        self.rig.until(there)

    def ask(self, image: Any) -> dict[str, str]:
        """Send an image once and give the figures of its answer."""
        self.publish(image)
        return self.rig.until(partial(self.figures, ns_from_stamp(image.header.stamp)))

    def lose(self, image: Any) -> None:
        """Send an image once and wait until it is counted as invalid."""
        before = int(self.values()['dropped_invalid'])
        self.publish(image)
        self.rig.until(lambda: int(self.values()['dropped_invalid']) > before)

    def good(self) -> dict[str, str]:
        """Send a good frame with its reference; every output of it is there and right."""
        stamp_ns = self.tick()
        self.refer(self.cloud(stamp_ns))
        figures = self.ask(self.image(stamp_ns))
        assert figures['metric_valid'] == 'True', figures
        assert figures['metric_reason'] == '', figures
        self.rig.until(lambda: self.published(stamp_ns) == ALL)
        assert abs_rel(self.depth(stamp_ns), self.truth) < BOUND
        return figures

    def prove_well(self) -> None:
        """Two frames are good, ~/status is OK, and every image is accounted for."""
        # The first answer after a jump back gives no rate yet.
        self.good()
        self.good()
        self.rig.until(lambda: self.rig.status().level == DiagnosticStatus.OK)
        self._counts()

    def figures(self, stamp_ns: int) -> dict[str, str] | None:
        found = self.find(STATS, stamp_ns)
        return values_of(found.status[0]) if found else None

    def depth(self, stamp_ns: int) -> np.ndarray:
        message = self.find(DEPTH, stamp_ns)
        return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)

    def find(self, topic: str, stamp_ns: int) -> Any:
        got = reversed(self.rig.received[topic])
        return next((m for m in got if ns_from_stamp(m.header.stamp) == stamp_ns), None)

    def published(self, stamp_ns: int) -> frozenset[str]:
        """The topics that answered the image of that stamp, so far.

        Each topic keeps its order: after a good frame, whatever was to come is there.
        """
        return frozenset(topic for topic in _OUTPUTS if self.find(topic, stamp_ns))

    def told(self, part: str, text: str = '') -> DiagnosticStatus:
        """The last status of `part`, once `text` is in its message."""

        def there() -> DiagnosticStatus | None:
            status = self.rig.diagnostics(part)
            return status if status and text in status.message else None

        return self.rig.until(there)

    def says(self, fault: Fault) -> DiagnosticStatus:
        """Return ~/status once it says what the fault declares, in its message or a value."""

        def there() -> DiagnosticStatus | None:
            status = self.rig.status()
            texts = [status.message, *values_of(status).values()]
            return status if any(fault.said in text for text in texts) else None

        assert fault.said
        return self.rig.until(there)

    def values(self, part: str = 'throughput') -> dict[str, str]:
        """The figures of `part`; the first report after an activation may still be without."""
        return self.rig.until(lambda: values_of(self.told(part)))

    @contextmanager
    def counting(self, fault: Fault, times: int | None = 1) -> Iterator[None]:
        """Await that what is done here is counted as the fault declares, and nothing else is.

        So many `times`; None for any number.
        """
        before = self._counts()
        yield
        expected = times if fault.counted else 0

        def added() -> tuple[Counter[str]] | None:
            found = self._counts() - before
            return (found,) if found.total() >= (expected or 0) else None

        (found,) = self.rig.until(added)
        assert set(found) <= set(fault.counted), found
        assert expected in (None, found.total()), found

    def _counts(self) -> Counter[str]:
        """What /diagnostics counts against images, once all of this moment are accounted for."""
        now_ns = self.rig.node.get_clock().now().nanoseconds

        def counts() -> tuple[Counter[str]] | None:
            arrays = self.rig.received['/diagnostics']
            later = [each for each in arrays if ns_from_stamp(each.header.stamp) > now_ns]
            # The figures of the first may be from before.
            if len(later) < 2:
                return None
            values = {key: v for part in later[-1].status for key, v in values_of(part).items()}
            if not accounted(values):
                return None
            return (Counter({k: int(v) for k, v in values.items() if k.startswith(_FAULTS)}),)

        (found,) = self.rig.until(counts)
        return found


def accounted(values: dict[str, str]) -> bool:
    """Whether every image that came in was answered or its loss has a name."""
    if 'frames_in' not in values:
        return False
    return int(values['frames_in']) == sum(int(values[name]) for name in ('frames_out', *_LOSSES))


def stamped(message: Any, stamp_ns: int) -> Any:
    """Return `message` with a header of its own that has this stamp."""
    header = copy.copy(message.header)
    header.stamp = Time(sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND)
    message.header = header
    return message


def abs_rel(depth: np.ndarray, truth: np.ndarray) -> float:
    """Mean relative error of a depth that knows more than half of the truth."""
    known = np.isfinite(depth) & np.isfinite(truth)
    assert known.mean() > 0.5
    return float(np.mean(np.abs(depth - truth)[known] / truth[known]))
