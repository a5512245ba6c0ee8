"""Metres from the motion of the camera alone, and from landmarks that it maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drive import IMAGE, INFO, Drive, drive

import depth_anything_ros as da
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.messages.images import bgr_from_image
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.messages.tf import put_transforms
from depth_anything_ros.metric.odometry import OdometryTracker
from lab.sample_messages import SampleMessages
from lab.sample_topics import START_NS

MAKE = SampleMessages()
LENS = 'camera_optical_frame'
# Mean |error| / depth; the network errs by some .06.
BOUND = 0.12


@pytest.fixture(scope='module')
def road() -> Drive:
    """1.2 s, of which odometry needs half a second to begin."""
    return drive('road', 1.2, size=(320, 240))


def pictures(what: Drive) -> list[Any]:
    return [message for topic, _, message in what.messages if topic == IMAGE]


def frames(
    what: Drive, stretch: float = 1.0, level: bool = True, size: int = 0, **given: Any
) -> list[Frame]:
    """The frames of a drive whose odometry has all lengths times `stretch`."""
    world = what.world
    parameters = {name.replace('__', '.'): value for name, value in given.items()}
    stream = DepthStream(
        what.backend(),
        parameters_from_flat(parameters | {'output.max_side': size}),
        world.camera,
        world.base(0.0).inverse() @ world.camera_pose(0.0) if level else None,
    )
    found = []
    for image in pictures(what):
        time_s = (ns_from_stamp(image.header.stamp) - START_NS) * 1e-9
        pose = world.camera_pose(time_s)
        odometry = da.Odometry(Transform(pose.rotation, stretch * pose.translation))
        found.append(stream(bgr_from_image(image), 100.0 + time_s, odometry))
    return found


def errors(found: list[Frame], what: Drive) -> list[float]:
    made = []
    for frame, truth in zip(found, what.truth.values(), strict=True):
        if frame.depth_m is not None:
            assert frame.depth_m.shape == truth.shape
            known = np.isfinite(frame.depth_m) & np.isfinite(truth)
            assert known.mean() > 0.5
            made.append(float(np.mean(np.abs(frame.depth_m / truth - 1.0)[known])))
    return made


def reasons(found: list[Frame]) -> list[str]:
    return [frame.reason for frame in found]


def test_the_motion_of_the_camera_gives_metres(road: Drive) -> None:
    found = frames(road)
    assert reasons(found)[:2] == ['no_earlier_frame', 'no_motion']
    assert found[1].message.startswith('odometry has not moved far enough')
    made = errors(found, road)
    assert len(made) >= 4
    assert np.median(made) < BOUND
    assert found[-1].scale.source == 'reference'


def test_samples_lie_in_the_pixels_of_a_smaller_output(road: Drive) -> None:
    whole, half = frames(road)[-1], frames(road, size=160)[-1]
    assert whole.depth_m is not None
    assert half.depth_m is not None
    assert half.depth_m.shape == (120, 160)
    ratio = half.depth_m / whole.depth_m[::2, ::2]
    assert abs(np.nanmedian(ratio) - 1.0) < 0.05


def test_a_known_height_of_the_camera_silences_wheels_that_slip(road: Drive) -> None:
    height_m = float(road.world.camera_pose(0.0).translation[2])
    slipped = frames(road, 1.4, reference__camera_height_m=height_m)
    assert set(reasons(slipped)[-4:]) == {'height_disagrees'}
    assert 'camera_height_m' in slipped[-1].message
    right = frames(road, reference__camera_height_m=height_m)
    assert len(errors(right, road)) == len(errors(frames(road), road))
    # Without the tilt nothing is known of the ground.
    assert frames(road, 1.4, level=False, reference__camera_height_m=height_m)[-1].scale.valid


def test_the_scale_error_of_odometry_is_in_sigma(road: Drive) -> None:
    def relative(scale_sigma: float) -> float:
        frame = frames(road, odometry__scale_sigma=scale_sigma)[-1]
        assert frame.depth_m is not None
        assert frame.sigma_m is not None
        return float(np.nanmedian(frame.sigma_m / frame.depth_m))

    assert relative(0.2) > np.hypot(relative(0.0), 0.15)


def test_a_reset_forgets_the_earlier_images(road: Drive) -> None:
    stream = DepthStream(road.backend(), parameters_from_flat({}), road.world.camera)
    last = ''
    for image in pictures(road):
        time_s = (ns_from_stamp(image.header.stamp) - START_NS) * 1e-9
        pose = road.world.camera_pose(time_s)
        last = stream(bgr_from_image(image), 100.0 + time_s, da.Odometry(pose)).reason
    assert last == ''
    stream.reset_scale()
    frame = stream(bgr_from_image(image), 100.1 + time_s, da.Odometry(pose.matrix))
    assert frame.reason == 'no_earlier_frame'


def test_images_are_not_followed_where_nobody_wants_metres(
    road: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OdometryTracker, 'update', None)
    messages = SceneMessages()
    messages.kind = ReferenceKind.ODOMETRY
    messages.metres_wanted = lambda: False
    frame = asked(road, messages, {'reference.fixed_frame': 'odom'}, 0)
    assert frame.reason == 'no_subscriber'


def asked(what: Drive, messages: SceneMessages, parameters: dict[str, Any], index: int) -> Frame:
    messages.camera_info = next(m for topic, _, m in what.messages if topic == INFO)
    image = pictures(what)[index]
    stamp_ns = ns_from_stamp(image.header.stamp)
    stream = DepthStream(what.backend(), parameters_from_flat(parameters))
    scene = MessageScene(messages, LENS, stamp_ns, what.world.size, stream.parameters)
    return stream.process(bgr_from_image(image), stamp_ns, scene)


def test_sparse_landmarks_in_the_odometry_frame_give_metres() -> None:
    what = drive('room')
    messages = SceneMessages(TransformBuffer())
    assert isinstance(messages.transforms, TransformBuffer)
    for topic, static in (('/tf_static', True), ('/tf', False)):
        for name, _, message in what.messages:
            if name == topic:
                put_transforms(messages.transforms, message.transforms, static=static)
    relative_sigma = {}
    for fields in (4, 3):
        messages.kind = ReferenceKind.POINT_CLOUD
        cloud = landmarks(what, 8)
        cloud.fields = cloud.fields[:fields]
        messages.add_reference(cloud)
        # Of 0.3 s before the image: the map stands still, whatever the robot does.
        given = {'reference.fixed_frame': 'odom', 'reference.sync_tolerance_s': 1.0}
        frame = asked(what, messages, given, 8)
        assert frame.depth_m is not None
        assert frame.sigma_m is not None
        wrong = np.abs(frame.depth_m / list(what.truth.values())[8] - 1.0)
        assert np.nanmedian(wrong) < 0.05
        relative_sigma[fields] = np.nanmedian(frame.sigma_m / frame.depth_m)
    # Without sigma the unsure points speak against the rest.
    assert relative_sigma[4] < 0.75 * relative_sigma[3]


def landmarks(what: Drive, index: int) -> Any:
    """80 points of an image as SLAM has them, in `odom` with `sigma`, stamped 0.3 s earlier.

    Half are off by up to a half, and say so.
    """
    draw = np.random.default_rng(5)
    world = what.world
    image = pictures(what)[index]
    stamp_ns = ns_from_stamp(image.header.stamp)
    time_s = (stamp_ns - START_NS) * 1e-9
    depth_m = what.truth[stamp_ns]
    v, u = (draw.integers(8, side - 8, 80) for side in depth_m.shape)
    z = depth_m[v, u].astype(np.float64)
    sigma = 0.02 * z
    sigma[::2] = 0.5 * z[::2]
    z[::2] *= draw.uniform(0.5, 1.5, 40)
    camera = world.camera
    points = np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], 1)
    odom_from_camera = world.base(0.0).inverse() @ world.camera_pose(time_s)
    data = np.concatenate([odom_from_camera.apply(points), sigma[:, None]], 1).astype(np.float32)
    types = MAKE.store.types
    return types['sensor_msgs/msg/PointCloud2'](
        MAKE.header(stamp_ns - 300_000_000, 'odom'),
        1,
        len(data),
        [
            types['sensor_msgs/msg/PointField'](name, 4 * place, 7, 1)
            for place, name in enumerate(('x', 'y', 'z', 'sigma'))
        ],
        False,
        16,
        16 * len(data),
        np.ascontiguousarray(data).view(np.uint8).ravel(),
        True,
    )
