"""The live node fed in step with a bag, and `bag process` on the same bag: the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from rig import Rig
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.bag.plan import ProcessOptions
from depth_anything_ros.bag.process import plan_bag, process_bag
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.messages.tf import put_transforms
from lab.feeder import Feeder
from lab.sample import write_sample_bag
from lab.world.rig import extrinsics_text

NODE = '/depth_anything/'
OUTPUTS: dict[str, Any] = {
    'relative/image': Image,
    'relative/image_color': Image,
    'depth/image': Image,
    'depth/image/compressedDepth': CompressedImage,
    'depth/camera_info': CameraInfo,
    'depth/sigma': Image,
    'points': PointCloud2,
}
QUEUE = QoSProfile(depth=10)
IMAGE, INFO, LIDAR = '/camera/image_raw', '/camera/camera_info', '/lidar/points'


def extrinsics(bag: Path) -> str:
    """Where the lidar sits: the wheels of ROS on PyPI cannot hear tf."""
    buffer = TransformBuffer()
    with BagReader(bag) as reader:
        for message in reader.messages(['/tf_static']):
            put_transforms(buffer, message.read().transforms, static=True)
    return extrinsics_text(buffer.lookup('camera_optical_frame', 'lidar_link', 0))


def processed(bag: Path, out: Path, given: dict[str, Any]) -> dict[str, list[bytes]]:
    parameters = parameters_from_flat(given)
    fetch_weights(parameters)
    backend = load_backend(parameters)
    options = ProcessOptions(reference=LIDAR, outputs=tuple(OUTPUTS), copy=('none',))
    plan = plan_bag(bag, out, parameters, options)
    assert plan is not None
    process_bag(plan, backend, parameters)
    backend.close()
    found: dict[str, list[bytes]] = {name: [] for name in OUTPUTS}
    with BagReader(out) as reader:
        for message in reader.messages():
            found[message.topic.removeprefix(NODE)].append(bytes(message.raw))
    return found


def live(bag: Path, given: dict[str, Any]) -> dict[str, list[bytes]]:
    remaps = {'image': IMAGE, 'camera_info': INFO, 'reference': LIDAR}
    arguments = [word for old, new in remaps.items() for word in ('-r', f'{old}:={new}')]
    with Rig(given | {'reference.type': 'point_cloud'}, arguments) as rig:
        for name, kind in OUTPUTS.items():
            rig.listen(kind, NODE + name, 100, raw=True)
        rig.listen(DiagnosticArray, NODE + 'frame_stats', 100)
        rig.until_state('active')
        topics = {IMAGE: (Image, QUEUE), INFO: (CameraInfo, QUEUE), LIDAR: (PointCloud2, QUEUE)}
        feeder = Feeder(rig.peer, topics, IMAGE, rig.until)
        stats = rig.received[NODE + 'frame_stats']

        def answered(stamp_ns: int) -> bool:
            return bool(stats) and ns_from_stamp(stats[-1].header.stamp) == stamp_ns

        with BagReader(bag) as reader:
            assert feeder.in_step(reader, answered, 60.0) == []
        # What answers the last image may be behind its statistics.
        rig.until(lambda: len(rig.received[NODE + 'points']) >= 11)
        return {name: rig.received[NODE + name] for name in OUTPUTS}


def test_live_in_lockstep_and_from_the_bag_are_the_same_bytes(tmp_path: Path) -> None:
    bag = tmp_path / 'room'
    write_sample_bag(bag, 'room', 1.2, 10.0, (320, 240))
    given = {'variant': 'demo', 'weights': '', 'device': 'cpu', 'backend': 'auto'}
    given['reference.extrinsics'] = extrinsics(bag)
    first = processed(bag, tmp_path / 'first', given)
    assert len(first['relative/image']) == 12
    # camera_info comes after its image, so the first one has no metres.
    assert len(first['points']) == len(first['depth/image']) == 11
    again = processed(bag, tmp_path / 'again', given)
    assert first == again
    assert live(bag, given) == first
