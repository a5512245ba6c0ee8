"""What happens to an image, from top to bottom: receive, take, infer, publish.

`NodeCamera` receives it on the executor's thread and leaves it in the worker's mailbox, where a
newer one of the same camera replaces it. The rest runs here, on the worker's thread, which owns
the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage

from depth_anything_ros.core.parameters import OverloadParameters, Parameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.estimator.shared_network import SharedNetwork
from depth_anything_ros.messages.images import bgr_from_compressed, bgr_from_image
from depth_anything_ros.messages.scene_messages import MessageScene
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.ros.camera import ReceivedImage
from depth_anything_ros.ros.telemetry import CLOCKS_DISAGREE_S
from depth_anything_ros.ros.worker import Worker

__all__ = ['FrameLoop']

_LONG_S = 10.0


@dataclass(frozen=True, eq=False)
class _Taken:
    """An image ready for the network."""

    image: ReceivedImage
    bgr: BgrImage
    stamp_ns: int
    scene: MessageScene
    times: StageTimes
    output: FloatImage | None
    """That of the network, where the image before was equal."""


class FrameLoop:
    """Runs the waiting images of all cameras through one network, for as long as it is open."""

    def __init__(
        self,
        node: Node,
        on_scale: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Start the worker's thread, on which both functions are called.

        `on_scale`: the metric scale became valid or invalid, or the reason changed. `on_error`: an
        error that belongs to no image.
        """
        self.worker: Worker[ReceivedImage] = Worker(self._process, on_error)
        self.network: SharedNetwork | None = None
        self.overload = OverloadParameters()
        self._node = node
        self._on_scale = on_scale
        self._doing = ('', 0.0)

    def stuck(self) -> str:
        """Return what takes more than ten seconds, and for how long by now; '' for nothing."""
        what, since_s = self._doing
        for_s = time.monotonic() - since_s
        return (
            f'{what} for {for_s:.0f} s: nothing else is processed'
            if what and for_s > _LONG_S
            else ''
        )

    def _process(self, images: Mapping[str, ReceivedImage]) -> None:
        """Turn the images that waited, the newest of each camera, into published frames."""
        start_s = time.monotonic()
        network = self.network
        if network is None:
            return
        try:
            taken = [each for image in images.values() if (each := self._take(image)) is not None]
            if not taken:
                return
            new = [each for each in taken if each.output is None]
            self._begin('the network runs')
            outputs = iter(network.infer([each.bgr for each in new], [each.times for each in new]))
            for each in taken:
                self._begin(f'depth of an image on {each.image.topic} is made and published')
                self._publish(each, next(outputs) if each.output is None else each.output)
        finally:
            self._begin('')
        if not new:
            return
        input_hz = max(each.image.camera.telemetry.input_hz() for each in taken)
        network.processed(time.monotonic() - start_s, input_hz, self.overload)

    def _take(self, image: ReceivedImage) -> _Taken | None:
        """Make an image ready for the network; None if it is dropped or refused."""
        if not image.is_current():
            return None
        self._begin(f'an image on {image.topic} is decoded')
        camera, header = image.camera, image.message.header
        parameters = camera.parameters
        stamp_ns = ns_from_stamp(header.stamp)
        limit_s = parameters.max_image_age_s
        # Beyond that the clocks disagree, and an age by them means nothing.
        if limit_s and limit_s < self._age_s(stamp_ns) < CLOCKS_DISAGREE_S:
            camera.telemetry.too_old()
            return None
        times = StageTimes()
        times.add('wait', (time.monotonic() - image.received_s) * 1e3)
        try:
            with times.stage('convert'):
                bgr = _decoded(image, parameters)
            camera.note_levels(image)
            height, width = bgr.shape[:2]
            camera.check_camera_info(width, height)
            image.stream.check(bgr, times)
            with times.stage('health'):
                repeated = camera.health.update(bgr, parameters.health)
        except Exception as error:  # noqa: BLE001  it concerns this image alone
            camera.refuse(image, error)
            return None
        scene = MessageScene(
            camera.messages, header.frame_id, stamp_ns, (width, height), parameters
        )
        output = camera.last_output if repeated else None
        return _Taken(image, bgr, stamp_ns, scene, times, output)

    def _publish(self, taken: _Taken, output: FloatImage | Exception) -> None:
        """Publish what follows from the network's output, or refuse the image for its error."""
        image, times = taken.image, taken.times
        camera = image.camera
        if not image.is_current():
            return
        camera.last_output = None if isinstance(output, Exception) else output
        try:
            if isinstance(output, Exception):
                raise output
            frame = image.stream.frame(output, taken.bgr, taken.stamp_ns, taken.scene, times)
            header, info = image.message.header, camera.messages.camera_info
            camera.outputs.publish(frame, header, info, image.is_current)
        except Exception as error:  # noqa: BLE001  it concerns this image alone
            camera.refuse(image, error)
            return
        if not image.is_current():
            return
        if camera.telemetry.scaled(frame.scale, frame.missing):
            self._on_scale()
        age_s = self._age_s(taken.stamp_ns)
        camera.telemetry.published(image.received_s, taken.stamp_ns * 1e-9, age_s, times.ms)

    def _begin(self, what: str) -> None:
        self._doing = what, time.monotonic()

    def _age_s(self, stamp_ns: int) -> float:
        return float(self._node.get_clock().now().nanoseconds - stamp_ns) * 1e-9


def _decoded(image: ReceivedImage, parameters: Parameters) -> BgrImage:
    max_pixels = round(parameters.max_image_megapixels * 1e6)
    compressed = isinstance(image.message, CompressedImage)
    decode = bgr_from_compressed if compressed else bgr_from_image
    return decode(image.message, max_pixels=max_pixels, levels=image.stream.levels)
