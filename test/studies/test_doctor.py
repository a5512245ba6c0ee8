"""What `doctor` finds on a healthy machine and on broken ones, and the fix that it names."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, LaserScan

from depth_anything_ros.cli import main
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.core.types import Camera
from depth_anything_ros.messages.images import fill_image
from depth_anything_ros.model import hub, releases
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.releases import Release
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.settings.share import PROFILE_VARIABLES
from depth_anything_ros.studies.doctor import dds, host, network, topics
from depth_anything_ros.studies.doctor.check import Check, Level, guarded, ok
from lab.camera_views import camera_info


def _named(checks: Iterator[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


@contextmanager
def _broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: str):
    """A package that cannot be imported stands before the installed one, for child processes."""
    (tmp_path / f'{name}.py').write_text(f'raise ImportError({error!r})')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    yield


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def _with_free(monkeypatch: pytest.MonkeyPatch, module: Any, free_bytes: int) -> None:
    usage = _Usage(free_bytes, 0, free_bytes)
    monkeypatch.setattr(module.shutil, 'disk_usage', lambda _: usage)


def test_this_machine_has_nothing_that_fails() -> None:
    found = {check.name: check for check in host.host_checks()}
    assert list(found) == [
        'python', 'packages', 'cv_bridge', 'processor', 'gpu', 'disk', 'clock'
    ]  # fmt: skip
    assert not [check for check in found.values() if check.level is Level.FAIL]
    assert np.__version__ in found['packages'].text


def test_numpy_that_opencv_was_not_built_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _broken_package(tmp_path, monkeypatch, 'cv2', 'numpy.core.multiarray failed to import'):
        check = _named(host.host_checks(), 'packages')
    assert check.level is Level.FAIL
    assert 'numpy.core.multiarray failed to import' in check.text
    assert 'pip install --upgrade opencv-python-headless' in check.fix


def test_numpy_that_does_not_fit_cv_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _broken_package(tmp_path, monkeypatch, 'cv_bridge', '_ARRAY_API not found'):
        check = _named(host.host_checks(), 'cv_bridge')
    assert (check.level, '_ARRAY_API not found' in check.text) == (Level.WARN, True)
    assert "pip install 'numpy<2'" in check.fix


def test_a_full_disk_is_named_with_what_moves_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_free(monkeypatch, host, 1_000_000)
    check = _named(host.host_checks(), 'disk')
    assert (check.level, '1 MB left' in check.text) == (Level.FAIL, True)
    assert 'HF_HOME' in check.fix


def test_a_container_with_less_than_its_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / 'cpu.max'
    limit.write_text('50000 100000\n')
    monkeypatch.setattr(host, '_CPU_LIMIT', limit)
    check = _named(host.host_checks(), 'processor')
    assert (check.level, '0.5 of them' in check.text) == (Level.WARN, True)
    assert 'set threads to 1' in check.fix


def test_what_cannot_be_looked_at_is_a_warning_and_the_others_go_on() -> None:
    def raises() -> Check:
        raise OSError('no such file')

    assert guarded('clock', raises) == Check(
        'clock', Level.WARN, 'could not be checked: no such file'
    )
    assert guarded('clock', lambda: ok('fine')).level is Level.OK


def test_images_pass_through_dds_here() -> None:
    found = {check.name: check for check in dds.dds_checks()}
    assert list(found) == ['ros', 'profile', 'shared_memory', 'socket_buffers', 'transport']
    assert found['profile'].text.endswith('fastdds.xml')
    assert 'of 60 VGA images lost' in found['transport'].text


def test_lost_images_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # The camera's process sends 60.
    monkeypatch.setattr(dds, '_IMAGES', 150)
    check = dds._transport()
    assert (check.level, check.text.partition(' ')[2]) == (
        Level.FAIL,
        'of 150 VGA images lost at 30 Hz',
    )
    assert int(check.text.split()[0]) >= 90
    assert 'profile' in check.fix


@pytest.mark.parametrize(
    ('distribution', 'wanted'),
    [
        ('jazzy', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
        ('kilted', 'FASTDDS_DEFAULT_PROFILES_FILE'),
    ],
)
def test_no_profile_and_a_missing_one(
    distribution: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('ROS_DISTRO', distribution)
    check = dds._profile()
    assert (check.level, 'loses images' in check.text) == (Level.WARN, True)
    # The advice, followed.
    variable, _, path = check.fix.removeprefix('export ').partition(',')[0].partition('=')
    assert variable == wanted
    monkeypatch.setenv(variable, path)
    assert dds._profile().level is Level.OK
    monkeypatch.setenv(variable, '/nowhere.xml')
    # The one that is set is the one to fix.
    monkeypatch.setenv('ROS_DISTRO', 'kilted')
    check = dds._profile()
    assert check.fix.startswith(f'export {variable}=')
    assert (check.level, '/nowhere.xml does not exist' in check.text) == (Level.FAIL, True)


def test_small_shared_memory_and_no_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_free(monkeypatch, dds, 64 * 1024)
    check = dds._shared_memory()
    assert (check.level, '--shm-size' in check.fix) == (Level.FAIL, True)
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'OFF')
    assert (dds._ros().level, 'unset it' in dds._ros().fix) == (Level.FAIL, True)


def test_small_socket_buffers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffers = tmp_path / 'rmem_max'
    buffers.write_text('212992\n')
    monkeypatch.setattr(dds, '_BUFFER', buffers)
    check = dds._socket_buffers()
    assert (check.level, 'sysctl' in check.fix) == (Level.WARN, True)


def test_damaged_weights_are_named_and_sound_ones_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = hashlib.sha256(b'whole').hexdigest()
    card = Card.of_checkpoint('vits', Checkpoint.RELATIVE)
    values = vars(card) | {'file': 'a.pth', 'sha256': sha256}
    row = Release(**values, repo_id='me/it', size_bytes=5)
    path = tmp_path / 'a.pth'
    monkeypatch.setattr(releases, 'RELEASES', (row,))
    monkeypatch.setattr(hub, 'cached', lambda _: path if path.exists() else None)
    check = network._weights()
    assert (check.level, 'weights fetch' in check.fix) == (Level.WARN, True)
    path.write_bytes(b'hal')
    check = network._weights()
    assert (check.level, 'damaged or truncated' in check.text) == (Level.FAIL, True)
    assert check.fix == f'delete {path}, then {row.fetch_command}'
    path.write_bytes(b'whole')
    assert network._weights() == ok('a.pth; as released')


def test_a_backend_runs_or_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    check = network._backend('torch')
    assert check.level is Level.OK
    assert 'ms for demo; agrees with float32' in check.text
    monkeypatch.setattr(network, 'find_spec', lambda _: None)
    assert network._backend('openvino').text == 'not installed; `pip install openvino` adds it'


class _Robot:
    """Publishes what a test tells it to, ten times a second, on a thread of its own."""

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = Node('robot', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self.behind_s = 0.0

    def __enter__(self) -> _Robot:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        self._context.try_shutdown()

    def publish(self, message: Any, topic: str, qos: Any = 10, behind_s: float = 0.0) -> None:
        """Publish `message` from now on, stamped `behind_s` seconds before the clock."""
        publisher = self.node.create_publisher(type(message), topic, qos)

        def send() -> None:
            stamp_ns = self.node.get_clock().now().nanoseconds - int(behind_s * 1e9)
            stamp = message.header.stamp
            stamp.sec, stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
            publisher.publish(message)

        self.node.create_timer(0.1, send)


@pytest.fixture
def robot(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Robot]:
    monkeypatch.setattr(topics, '_IMAGES', 5)
    with _Robot() as robot:
        yield robot


def _image(width: int = 64, height: int = 48) -> Image:
    message = Image()
    message.header.frame_id = 'camera'
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    fill_image(message, pixels, 'bgr8')
    return message


def _info(width: int = 64) -> Any:
    return camera_info(Camera(width, 48, 60.0, 60.0, 31.5, 23.5))


def _scan() -> LaserScan:
    message = LaserScan(
        angle_min=-0.4, angle_max=0.4, angle_increment=0.01, range_min=0.1, range_max=9.0
    )
    message.header.frame_id = 'laser'
    message.ranges = [3.0 + 0.01 * i for i in range(81)]
    return message


def _checked(reference: str = '', **values: Any) -> dict[str, Check]:
    parameters = parameters_from_flat(
        {key.replace('__', '.'): value for key, value in values.items()}
    )
    checks = topics.topic_checks('/camera/image_raw', '', reference, parameters)
    return {check.name: check for check in checks}


# x forward, y left of the laser in the optical frame of the camera.
_EXTRINSICS = '0 0 0 1.5708 -1.5708 0'


def test_topics_of_a_healthy_robot(robot: _Robot) -> None:
    robot.publish(_image(), '/camera/image_raw')
    robot.publish(_info(), '/camera/camera_info')
    robot.publish(_scan(), '/scan')
    found = _checked('/scan', reference__extrinsics=_EXTRINSICS)
    assert {name: check.level for name, check in found.items()} == dict.fromkeys(
        ['image', 'qos', 'lost_images', 'stamps', 'camera_info', 'reference'], Level.OK
    ), found
    assert '64 x 48 bgr8' in found['image'].text
    assert 'laser_scan' in found['reference'].text


def test_no_camera_and_the_images_that_are_there(
    robot: _Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, '_DISCOVERY_S', 1.0)
    robot.publish(_image(), '/front/image')
    for _ in range(20):
        found = _checked()
        assert list(found) == ['image', 'qos']
        if '/front/image' in found['image'].text:
            break
    there = 'no publisher on /camera/image_raw; what could be it: /front/image'
    assert found['image'].text == there


def test_what_else_could_be_the_camera_info_and_the_reference_is_named(
    robot: _Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, '_LISTEN_S', 1.0)
    robot.publish(_image(), '/camera/image_raw')
    robot.publish(_info(), '/front/camera_info')
    robot.publish(_scan(), '/scan')
    found = _checked('/lidar')
    assert found['reference'].text == 'no publisher on /lidar; what could be it: /scan'
    assert found['camera_info'].text.endswith('what could be it: /front/camera_info')


def test_best_effort_against_reliable(robot: _Robot) -> None:
    robot.publish(
        _image(),
        '/camera/image_raw',
        QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
    )
    robot.node.create_subscription(Image, '/camera/image_raw', lambda _: None, 10)
    robot.publish(_info(), '/camera/camera_info')
    check = _checked()['qos']
    assert (check.level, '/robot gets nothing' in check.text) == (Level.WARN, True)


def test_a_camera_info_of_another_size_and_clocks_apart(robot: _Robot) -> None:
    robot.publish(_image(), '/camera/image_raw', behind_s=100.0)
    robot.publish(_info(width=80), '/camera/camera_info')
    found = _checked()
    assert (found['camera_info'].level, 'is for 80 x 48' in found['camera_info'].text) == (
        Level.FAIL,
        True,
    )
    assert (found['stamps'].level, '100 s behind' in found['stamps'].text) == (Level.FAIL, True)


def test_a_transform_is_missing_and_a_reference_is_late(
    robot: _Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a transform nothing is ever paired.
    monkeypatch.setattr(topics, '_LISTEN_S', 3.0)
    robot.publish(_image(), '/camera/image_raw')
    robot.publish(_info(), '/camera/camera_info')
    robot.publish(_scan(), '/scan')
    check = _checked('/scan')['reference']
    assert (check.level, "'laser'" in check.text) == (Level.FAIL, True)
    robot.publish(_scan(), '/late', behind_s=30.0)
    check = _checked('/late', reference__type='laser_scan', reference__extrinsics=_EXTRINSICS)[
        'reference'
    ]
    assert (check.level, ' s older than the image' in check.text) == (Level.FAIL, True), check


def test_the_command_prints_a_line_each_and_its_status(
    robot: _Robot, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    robot.publish(_image(), '/camera/image_raw')
    robot.publish(_info(), '/camera/camera_info')
    assert main(['doctor', '--topics']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('OK    image           /camera/image_raw: 64 x 48 bgr8')
    # Nobody comes.
    monkeypatch.setattr(topics, '_DISCOVERY_S', 0.5)
    assert main(['doctor', '--topics', '--image-topic', '/none', '--json']) == 1
    assert '"level": "FAIL"' in capsys.readouterr().out


def test_the_docs_name_every_check() -> None:
    text = (Path(__file__).parents[2] / 'docs' / 'troubleshooting.md').read_text()
    names = re.findall(r"(?:Check|guarded)\(\s*'(\w+)'", _sources())
    assert len(set(names)) > 15
    # What Python it is, is no cause of anything.
    assert [name for name in sorted(set(names) - {'python'}) if f'`{name}`' not in text] == []


def _sources() -> str:
    folder = Path(topics.__file__).parent
    return '\n'.join(path.read_text() for path in sorted(folder.glob('*.py')))
