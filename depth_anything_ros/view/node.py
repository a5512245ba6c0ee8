"""A running node: what it publishes of each image, by its stamp."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.messages.camera_info import camera_from_info
from depth_anything_ros.messages.depth_images import depth_from_image, inverse_depth_from_image
from depth_anything_ros.messages.encodings import DEPTH_ENCODINGS
from depth_anything_ros.messages.images import bgr_from_compressed, bgr_from_image
from depth_anything_ros.messages.laser_scans import scan_from_message
from depth_anything_ros.messages.outputs import OUTPUTS
from depth_anything_ros.messages.point_clouds import cloud_from_message
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.cloud import Cloud
from depth_anything_ros.ros.publishers import TYPES
from depth_anything_ros.ros.qos import LATCHED, REFERENCE, create_subscription
from depth_anything_ros.ros.tf_listener import create_transforms
from depth_anything_ros.view.recording import SHOWN, Entities, Recorder, cloud, figures, pinhole

__all__ = ['NodeView']

_DISCOVERY_S = 8.0
_STATS, _STATUS = 'frame_stats', '/status'
# A bag that is played has figures and no status.
_SIGNS = {
    _STATUS: 'diagnostic_msgs/msg/DiagnosticStatus',
    f'/{_STATS}': 'diagnostic_msgs/msg/DiagnosticArray',
}
_IMAGES: dict[str, Callable[[Any], Any]] = {
    'sensor_msgs/msg/Image': bgr_from_image,
    'sensor_msgs/msg/CompressedImage': bgr_from_compressed,
}
# An image is shown once there is depth of it: until then this many are kept.
_KEPT = 20
_READ: dict[str, tuple[str, Callable[[Any], Any]]] = {
    'relative/raw': ('depth/inverse', inverse_depth_from_image),
    'relative/image_color': ('depth/color', bgr_from_image),
    'depth/image': ('depth/metric', depth_from_image),
    'depth/sigma': ('depth/sigma', depth_from_image),
    'points': ('points', cloud_from_message),
    'samples': ('samples', cloud_from_message),
}
"""The path of an output, and what reads its message."""


class NodeView:
    """Shows the cameras of a node; `roots` names them, `status` is what it says of itself.

    `images` counts the frames whose image was heard, `left_out` what could not be shown.
    """

    def __init__(self, node: Any, spin: Callable[[float], None], name: str) -> None:
        """Find the cameras of the node called `name`; SettingError where there are none."""
        self._node, self._spin, self._name = node, spin, '/' + name.strip('/')
        self._prefixes = self._cameras()
        self.roots = [f'/{prefix or "camera"}' for prefix in self._prefixes]
        self.images, self.left_out, self.status = 0, Counter[str](), ''
        self._images: dict[tuple[int, str], Callable[[], Any]] = {}
        self._seen: dict[str, tuple[str, tuple[int, int], int]] = {}
        self._drops: dict[str, Entities] = {}
        self._topics: set[str] = set()
        self._transforms = create_transforms(node)

    def show(self, recorder: Recorder, stopped: Callable[[], str]) -> None:
        """Subscribe to everything, and write it until `stopped` returns what ends it."""
        for root, prefix in zip(self.roots, self._prefixes, strict=True):
            for output in OUTPUTS:
                # What nobody asks for is not computed.
                if output.name in (*_READ, 'depth/camera_info', 'scan', _STATS):
                    topic = f'{self._name}/{prefix}{"/" * bool(prefix)}{output.name}'
                    self._listen(output.type, topic, self._hear, recorder, root, output.name)
        self._listen('diagnostic_msgs/msg/DiagnosticArray', '/diagnostics', self._count)
        kind = TYPES['diagnostic_msgs/msg/DiagnosticStatus']
        create_subscription(self._node, kind, f'{self._name}{_STATUS}', LATCHED, self._note)
        while not stopped():
            self._listen_to_images()
            self._spin(0.1)
        self._transforms.close()

    def _listen(self, kind: str, topic: str, hear: Callable[..., None], *given: Any) -> None:
        self._topics.add(topic)
        create_subscription(self._node, TYPES[kind], topic, REFERENCE, partial(hear, *given))

    def _listen_to_images(self) -> None:
        """Subscribe to the images that the node subscribes to, once it is known to."""
        for topic, (kind, *_) in self._node.get_topic_names_and_types():
            if kind in _IMAGES and topic not in self._topics:
                ends = self._node.get_subscriptions_info_by_topic(topic)
                names = [f'{end.node_namespace.rstrip("/")}/{end.node_name}' for end in ends]
                if self._name in names:
                    self._listen(kind, topic, self._keep, _IMAGES[kind])

    def _cameras(self) -> list[str]:
        """Return the names of the node's cameras, '' for one without; in any lifecycle state."""
        end_s, seen = time.monotonic() + _DISCOVERY_S, list[str]()
        while True:
            nodes = sorted(
                {
                    name.removesuffix(end)
                    for name, types in self._node.get_topic_names_and_types()
                    for end, kind in _SIGNS.items()
                    if name.endswith(end) and kind in types
                }
            )
            own = [each for each in nodes if f'{each}/'.startswith(f'{self._name}/')]
            # All are there once no more have come.
            if own and own == seen:
                names = sorted(each.removeprefix(self._name).strip('/') for each in own)
                return [name for name in names if name] or names
            if time.monotonic() > end_s and not own:
                others = f'; there is {", ".join(nodes)}' if nodes else ''
                raise SettingError(f'no node {self._name} gives depth: start it{others}')
            seen = own
            self._spin(0.2)

    def _hear(self, recorder: Recorder, root: str, name: str, message: Any) -> None:
        stamp_ns, frame_id = ns_from_stamp(message.header.stamp), message.header.frame_id
        found, said, seen = {}, None, self._seen.get(root)
        try:
            if name in _READ:
                path, read = _READ[name]
                found[path] = SHOWN[path][1](read(message))
            elif name == _STATS:
                (status,) = message.status
                found, said = _figures(status) | self._drops.get(root, {}), status.message
            elif name == 'depth/camera_info':
                camera = camera_from_info(message, message.width, message.height, True)
                found = {'depth/metric': pinhole(camera)}
                if seen is not None and seen[2] == stamp_ns:
                    found['image'] = pinhole(camera.scaled(*seen[1]))
            elif name == 'scan' and seen is not None:
                camera_from_scan = self._transforms.lookup(seen[0], frame_id, stamp_ns)
                points = camera_from_scan.apply(scan_from_message(message).points())
                found['scan'] = cloud(Cloud(points))
            if name == 'relative/raw' and (stamp_ns, frame_id) in self._images:
                image = self._images.pop((stamp_ns, frame_id))()
                self._seen[root] = frame_id, image.shape[1::-1], stamp_ns
                self.images += 1
                found['image'] = SHOWN['image'][1](image)
            recorder.add(root, stamp_ns, found, said)
        except FrameError as error:
            self.left_out[f'{name}: {error}'] += 1

    def _keep(self, decode: Callable[[Any], Any], message: Any) -> None:
        # A depth image as reference has the stamp of the image, too.
        if getattr(message, 'encoding', '') in DEPTH_ENCODINGS:
            return
        key = ns_from_stamp(message.header.stamp), message.header.frame_id
        self._images[key] = partial(decode, message)
        if len(self._images) > _KEPT:
            del self._images[next(iter(self._images))]

    def _note(self, message: Any) -> None:
        self.status = message.message

    def _count(self, message: Any) -> None:
        for status in message.status:
            node, _, part = status.name.partition(': ')
            if node == self._name and part.endswith('throughput'):
                root = f'/{part.removesuffix("throughput").strip() or "camera"}'
                found = _figures(status).items()
                self._drops[root] = {
                    path: each for path, each in found if path.startswith('drops')
                }


def _figures(status: Any) -> Entities:
    return figures({pair.key: pair.value for pair in status.values})
