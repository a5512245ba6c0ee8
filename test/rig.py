"""A depth node on a thread of its own, and a peer node that the test spins."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from depth_anything_ros.messages.images import fill_image
from depth_anything_ros.node import DepthNode
from depth_anything_ros.ros.qos import LATCHED, SENSOR

# The smallest network there is, and no export of it: the tests are about the node. What they wait
# for on /diagnostics comes soon.
FAST = {
    'weights': 'random',
    'device': 'cpu',
    'variant': 'demo',
    'backend': 'torch',
    'diagnostics.period_s': 0.2,
}


def picture(width: int = 160, height: int = 120, seed: int = 0) -> np.ndarray:
    """An image with structure, uint8 BGR."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


class Rig:
    """Use as a context manager; `received[topic]` holds what the peer got, oldest first."""

    def __init__(
        self, parameters: dict[str, Any] | None = None, arguments: list[str] | None = None
    ) -> None:
        # Two contexts are two DDS participants, as two processes would be.
        self.context, self.peer_context = Context(), Context()
        rclpy.init(context=self.context)
        rclpy.init(context=self.peer_context)
        values = FAST | (parameters or {})
        try:
            self.node = DepthNode(
                context=self.context,
                parameter_overrides=[Parameter(key, value=value) for key, value in values.items()],
                cli_args=['--ros-args', *arguments] if arguments else None,
            )
        except BaseException:
            self._shut_down()
            raise
        self.peer = Node('peer', context=self.peer_context)
        self.received: dict[str, list[Any]] = defaultdict(list)
        self._stamp = 100
        self._publishers: dict[str, Any] = {}
        self._clients: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor(context=self.peer_context)
        self._executor.add_node(self.peer)
        self._node_executor = SingleThreadedExecutor(context=self.context)
        self._node_executor.add_node(self.node)
        self._thread = threading.Thread(target=self._node_executor.spin)

    def __enter__(self) -> Rig:
        self._thread.start()
        self.listen(DiagnosticStatus, '/depth_anything/status', LATCHED)
        self.listen(DiagnosticArray, '/diagnostics', 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._node_executor.shutdown()
        self._thread.join(20.0)
        assert not self._thread.is_alive()
        self.node.close()
        self._executor.shutdown()
        self.peer.destroy_node()
        self._shut_down()

    def _shut_down(self) -> None:
        self.peer_context.try_shutdown()
        self.context.try_shutdown()

    def listen(
        self, message_type: type, topic: str, qos: QoSProfile | int = 10, *, raw: bool = False
    ) -> None:
        """Subscribe the peer; `raw` gives bytes."""
        keep = self.received[topic].append
        self.peer.create_subscription(message_type, topic, keep, qos, raw=raw)

    def until(self, condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
        """Spin the peer until `condition` gives something true; give that."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            result = condition()
            if result:
                return result
            self._executor.spin_once(timeout_sec=0.02)
        raise AssertionError(f'not within {timeout_s} s; last status: {self.status()}')

    def status(self) -> DiagnosticStatus | None:
        """The last ~/status."""
        got = self.received['/depth_anything/status']
        return got[-1] if got else None

    def until_state(self, state: str) -> DiagnosticStatus:
        """Spin until ~/status tells of lifecycle state `state`."""

        def there() -> DiagnosticStatus | None:
            status = self.status()
            return status if status and values_of(status)['state'] == state else None

        return self.until(there)

    def diagnostics(self, part: str) -> DiagnosticStatus | None:
        """The last status of `part` on /diagnostics."""
        for array in reversed(self.received['/diagnostics']):
            for status in array.status:
                if status.name.endswith(f': {part}'):
                    return status
        return None

    def image(self, pixels: np.ndarray | None = None, encoding: str = 'bgr8') -> Image:
        """An image message with a stamp of its own, later than any before.

        Without `pixels` it differs from the one before, as those of a camera do.
        """
        message = Image(header=self.header())
        if pixels is None:
            pixels = picture()
            pixels[0, 0] = self._stamp % 256
        fill_image(
            message,
            pixels,
            'bgr8' if encoding == 'rgb8' else encoding,
        )
        message.encoding = encoding
        return message

    def header(self) -> Header:
        """A header with a stamp of its own."""
        self._stamp += 1
        header = Header(frame_id='camera_optical_frame')
        header.stamp.sec, header.stamp.nanosec = self._stamp, 5
        return header

    def publish(self, message: Any, topic: str = 'image', qos: QoSProfile = SENSOR) -> None:
        """Publish once, from a publisher that stays."""
        if topic not in self._publishers:
            self._publishers[topic] = self.peer.create_publisher(type(message), topic, qos)
        self._publishers[topic].publish(message)

    def call(self, service_type: Any, name: str, request: Any) -> Any:
        """Call a service of the node, like 'set_parameters', and give its response."""
        if name not in self._clients:
            client = self.peer.create_client(service_type, f'/depth_anything/{name}')
            self._clients[name] = client
            self.until(client.service_is_ready)
            # Discovery is one-sided: a node that has not seen the client answers into the void.
            self.until(lambda: self.node.count_clients(client.srv_name))
        future = self._clients[name].call_async(request)
        self.until(future.done)
        return future.result()

    def change_state(self, transition: int) -> bool:
        """Ask for a lifecycle transition; True if it succeeded."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.call(ChangeState, 'change_state', request).success)

    def set_parameter(self, name: str, value: object) -> tuple[bool, str]:
        """Set a parameter; whether it was accepted, and why not."""
        message = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        result = self.call(SetParameters, 'set_parameters', request).results[0]
        return result.successful, result.reason

    def until_answered(
        self,
        topic: str = '/depth_anything/relative/image',
        image: Callable[[], Image | CompressedImage] | None = None,
        to: str = 'image',
    ) -> Any:
        """Publish new images until one is answered on `topic`; give the answer.

        Discovery is one-sided, so the first ones may be lost.
        """
        sent: list[Any] = []
        # Twenty a second, so that even a slow machine gets some through.
        next_s = 0.0

        def answered() -> Any:
            nonlocal next_s
            if time.monotonic() >= next_s:
                message = (image or self.image)()
                sent.append(message.header.stamp)
                self.publish(message, to)
                next_s = time.monotonic() + 0.05
            # An image from before this call may still be on its way.
            got = self.received[topic]
            return got[-1] if got and got[-1].header.stamp in sent else None

        return self.until(answered)


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    """The key-value pairs of a status."""
    return {pair.key: pair.value for pair in status.values}


def dds_event_threads() -> int:
    """Return the number of Fast DDS participants of this process: each has one such thread."""
    names = []
    for path in Path('/proc/self/task').glob('*/comm'):
        with suppress(OSError):  # a thread that has ended meanwhile
            names.append(path.read_text())
    return sum(name.startswith('dds.ev') for name in names)
