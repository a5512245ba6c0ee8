"""Several cameras, one network: each keeps its own topics, parameters, figures and troubles."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from drive import IMAGE, INFO, LIDAR, drive
from lifecycle_msgs.msg import Transition
from rig import Rig, dds_event_threads, picture, values_of
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from depth_anything_ros import node as node_module
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.ros.qos import LATCHED, REFERENCE
from depth_anything_ros.settings.parameter_files import parameters_from_file

NODE = '/depth_anything/'
CAMERAS = ('front', 'left', 'rear')
FAST = {'diagnostics.period_s': 0.1}


def relative(camera: str) -> str:
    return f'{NODE}{camera}/relative/image'


class Robot:
    """A rig whose cameras all have been answered."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        for camera in CAMERAS:
            rig.listen(Image, relative(camera))
            rig.listen(DiagnosticStatus, f'{NODE}{camera}/status', LATCHED)
        rig.until_state('active')
        for camera in CAMERAS:
            self.good(camera)

    def good(self, camera: str, pixels: np.ndarray | None = None) -> Image:
        """The answer to a good image."""
        return self.rig.until_answered(
            relative(camera), lambda: self.rig.image(pixels), f'{camera}/image'
        )

    def told(self, part: str, text: str) -> DiagnosticStatus:
        """The status of a part, once it says `text`."""

        def there() -> DiagnosticStatus | None:
            status = self.rig.diagnostics(part)
            return status if status and text in status.message else None

        return self.rig.until(there)

    def count(self, camera: str, name: str) -> int:
        part = f'{camera} throughput'
        figures = self.rig.until(lambda: values_of(self.told(part, '')))
        return int(figures.get(name, 0))


@pytest.fixture
def robot() -> Iterator[Robot]:
    with Rig({'cameras': list(CAMERAS), 'front.color.map': 'jet', **FAST}) as rig:
        yield Robot(rig)


def test_frames_that_wait_together_run_as_one_batch_of_one_network(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig, worker = robot.rig, robot.rig.node._worker
    backend = rig.node._frames.network.backend
    assert all(each.stream.backend is backend for each in rig.node._cameras.values())
    infer_batch, sizes = backend.infer_batch, list[int]()

    def watched(images: Any, times: Any = None) -> Any:
        sizes.append(len(images))
        return infer_batch(images, times)

    monkeypatch.setattr(backend, 'infer_batch', watched)
    # Busy until all three have come in.
    free = threading.Event()
    busy = worker.submit(lambda: free.wait(30.0))
    images = {camera: rig.image(picture(seed=n)) for n, camera in enumerate(CAMERAS)}

    def waiting() -> bool:
        # An earlier image may still have been on its way.
        held = {camera: each.message.header for camera, each in dict(worker._frames).items()}
        for camera, image in images.items():
            if held.get(camera) != image.header:
                rig.publish(image, f'{camera}/image')
        return held == {camera: image.header for camera, image in images.items()}

    rig.until(waiting)
    sizes.clear()
    free.set()
    assert busy.result(30.0)
    for camera, image in images.items():
        rig.until(lambda c=camera, i=image: i.header in [m.header for m in answers(rig, c)])
    assert sizes[0] == len(CAMERAS)


def answers(rig: Rig, camera: str) -> list[Image]:
    return rig.received[relative(camera)]


def test_each_has_its_own_parameters_and_says_so(robot: Robot) -> None:
    rig = robot.rig
    assert rig.set_parameter('rear.color.map', 'magma') == (True, '')
    accepted, reason = rig.set_parameter('color.map', 'magma')
    assert not accepted
    assert 'front.color.map, left.color.map, rear.color.map' in reason
    accepted, reason = rig.set_parameter('front.color.map', 'sepia')
    assert not accepted and reason.startswith("front.color.map is 'sepia'")
    in_force = {name: each.parameters.color.map for name, each in rig.node._cameras.items()}
    assert in_force == {'front': 'jet', 'left': 'spectral_r', 'rear': 'magma'}
    # What belongs to the network is one for all.
    assert rig.set_parameter('overload.policy', 'downscale') == (True, '')
    assert not rig.node.has_parameter('front.overload.policy')
    assert not rig.node.has_parameter('front.variant')


def test_each_has_its_own_status(robot: Robot) -> None:
    rig = robot.rig
    for camera in CAMERAS:
        for part in ('throughput', 'latency', 'alignment'):
            robot.told(f'{camera} {part}', '')
        assert values_of(rig.received[f'{NODE}{camera}/status'][-1])['idle'] == 'False'
    assert rig.diagnostics('throughput') is None
    assert values_of(rig.status()).keys() == {'state', 'idle', 'degraded'}
    for name in ('', *(f'{camera}/' for camera in CAMERAS)):
        answer = rig.call(Trigger, f'{name}reset_alignment', Trigger.Request())
        assert answer.success, answer.message


def test_bad_images_and_a_new_size_of_one_disturb_no_other(robot: Robot) -> None:
    rig = robot.rig
    before = robot.count('rear', 'dropped_invalid')
    bad = rig.image()
    bad.step = 1

    def refused() -> bool:
        rig.publish(bad, 'front/image')
        return robot.count('front', 'dropped_invalid_bad_step') > 0

    rig.until(refused)
    assert (robot.good('rear').width, robot.good('left').width) == (160, 160)
    larger = robot.good('front', picture(320, 240))
    assert (larger.width, larger.height) == (320, 240)
    assert robot.good('rear').width == 160
    assert robot.count('rear', 'dropped_invalid') == before


def test_one_is_unplugged_and_comes_back(robot: Robot) -> None:
    rig = robot.rig
    rig.set_parameter('front.diagnostics.stale_after_s', 0.3)
    rig.peer.destroy_publisher(rig._publishers.pop('front/image'))
    lost = robot.told('front throughput', 's on /front/image: no publisher on /front/image')
    assert lost.level == DiagnosticStatus.WARN
    assert lost.message.startswith('no image for ')
    assert 'front: no image' in rig.until(lambda: joint(rig, 'front: no image')).message
    for camera in ('left', 'rear'):
        robot.good(camera)
        robot.told(f'{camera} throughput', 'Hz out')
    robot.good('front')
    rig.set_parameter('front.diagnostics.stale_after_s', 600.0)
    robot.told('front throughput', 'Hz out')


def joint(rig: Rig, text: str) -> DiagnosticStatus | None:
    status = rig.status()
    return status if status and text in status.message else None


def test_they_come_back_after_a_cleanup(robot: Robot) -> None:
    rig = robot.rig
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert rig.change_state(transition)
    for camera in CAMERAS:
        robot.good(camera)


def test_only_the_one_with_a_reference_gives_metres(monkeypatch: pytest.MonkeyPatch) -> None:
    what = drive('room')
    given = {
        'cameras': ['front', 'rear'],
        'reference.type': 'none',
        'front.reference.type': 'point_cloud',
        'front.reference.extrinsics': what.extrinsics(LIDAR),
        **FAST,
    }
    monkeypatch.setattr(node_module, 'load_backend', lambda _: what.backend())
    first = {}
    for topic, kind, message in what.messages:
        if topic in (IMAGE, INFO, LIDAR):
            first.setdefault(topic, what.live(topic, kind, message))
    with Rig(given) as rig:
        for camera in ('front', 'rear'):
            rig.listen(Image, relative(camera))
            rig.listen(Image, f'{NODE}{camera}/depth/image')
        rig.until_state('active')
        around = rig.node._cameras['front'].messages
        stamp_ns = ns_from_stamp(first[LIDAR].header.stamp)

        def known() -> bool:
            rig.publish(first[INFO], 'front/camera_info')
            rig.publish(first[LIDAR], 'front/reference', REFERENCE)
            return around.camera_info is not None and around.nearest(stamp_ns, 0.0) is not None

        rig.until(known)
        images = {'front': first[IMAGE], 'rear': first[IMAGE]}

        def answered() -> bool:
            for camera, image in images.items():
                rig.publish(image, f'{camera}/image')
            return all(rig.received[relative(camera)] for camera in images)

        rig.until(answered)
        metric = rig.until(lambda: rig.received[f'{NODE}front/depth/image'])[0]
        depth = np.frombuffer(metric.data, np.float32)
        assert np.isfinite(depth).mean() > 0.5
        assert not rig.received[f'{NODE}rear/depth/image']
        rear = rig.until(lambda: rig.diagnostics('rear alignment'))
        assert values_of(rear)['metric_valid'] == 'False'


@pytest.mark.parametrize('names', [['Front'], ['front', 'front'], ['front', ''], ['a/b']], ids=str)
def test_names_that_cannot_be_are_refused(names: list[str]) -> None:
    before = dds_event_threads()
    with pytest.raises(SettingError, match='give names of lower-case'):
        Rig({'cameras': names})
    # What stays in the graph hides the next node of its name.
    assert dds_event_threads() == before


def test_the_file_for_several_cameras_says_what_it_means() -> None:
    path = Path(__file__).parents[1] / 'config' / 'multi_camera.yaml'
    flat = parameters_from_file(path)
    with Rig(arguments=['--params-file', str(path)]) as rig:
        assert all(rig.node.has_parameter(name) for name in flat)
        of = rig.node._settings.cameras
        assert list(of) == ['front', 'left', 'rear']
        assert [each.reference.type for each in of.values()] == ['point_cloud', 'none', 'none']
        assert [each.rectified for each in of.values()] == [True, True, False]
        assert {each.diagnostics.stale_after_s for each in of.values()} == {1.0}
        assert rig.node.parameters.overload.policy == 'downscale'


def test_topics_are_remapped_like_any_other() -> None:
    arguments = ['-r', 'front/image:=/cam0/image_raw', '-r', 'front/reference:=/cam0/points']
    with Rig({'cameras': ['front']}, arguments) as rig:
        rig.until_state('active')
        camera = rig.node._cameras['front']
        assert camera.image_topic() == '/cam0/image_raw'
        assert camera.reference.topic == '/cam0/points'
        types = {CameraInfo: 'camera_info', PointCloud2: 'points'}
        assert f'{NODE}front/{types[PointCloud2]}' in dict(rig.node.get_topic_names_and_types())
