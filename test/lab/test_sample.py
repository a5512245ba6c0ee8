from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.interfaces import QosDurability
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.geometry.transforms import Transform
from lab.sample import main, write_sample_bag
from lab.sample_topics import START_NS
from lab.world.geometry import yaw_matrix
from lab.world.world import World

SIZE = (96, 72)
SECONDS, RATE_HZ = 0.6, 5.0
RATES_HZ = {
    '/camera/image_raw': RATE_HZ,
    '/camera/image_raw/compressed': RATE_HZ,
    '/camera/camera_info': RATE_HZ,
    '/depth_camera/depth/image_raw': RATE_HZ,
    '/depth_camera/depth/camera_info': RATE_HZ,
    '/lidar/points': 10.0,
    '/scan': 10.0,
    '/ground_truth/depth/image': RATE_HZ,
    '/ground_truth/depth/camera_info': RATE_HZ,
    '/tf': 50.0,
}
Bag = dict[str, list[tuple[int, Any]]]


def read(path: Path) -> Bag:
    store = get_typestore(Stores.ROS2_JAZZY)
    found: Bag = {}
    with Reader(path) as reader:
        for connection, stamp_ns, data in reader.messages():
            message = store.deserialize_cdr(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((stamp_ns, message))
    return found


@pytest.fixture(scope='module', params=['mcap', 'sqlite3'])
def bag_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'drive'
    write_sample_bag(path, 'road', SECONDS, RATE_HZ, SIZE, 3, storage=request.param)
    return path


@pytest.fixture(scope='module')
def bag(bag_path: Path) -> Bag:
    return read(bag_path)


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def test_every_topic_comes_at_its_rate(bag: Bag) -> None:
    assert set(bag) == {*RATES_HZ, '/tf_static'}
    for topic, rate_hz in RATES_HZ.items():
        stamps = np.array([stamp for stamp, _ in bag[topic]])
        assert len(stamps) == round(SECONDS * rate_hz), topic
        assert np.abs(np.diff(stamps) - 1e9 / rate_hz).max() < 1e3, topic
    assert len(bag['/tf_static']) == 1


def test_definitions_are_those_of_jazzy(bag_path: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    with Reader(bag_path) as reader:
        for connection in reader.connections:
            expected, _ = store.generate_msgdef(connection.msgtype, ros_version=2)
            assert connection.msgdef.data == expected
            assert connection.digest == store.hash_rihs01(connection.msgtype)
        latched = {
            connection.topic
            for connection in reader.connections
            for qos in connection.ext.offered_qos_profiles  # type: ignore[union-attr]
            if qos.durability is QosDurability.TRANSIENT_LOCAL
        }
    assert latched == {'/tf_static'}


def test_files_bear_the_name_of_the_bag_and_are_compressed(bag_path: Path) -> None:
    files = sorted(path.name for path in bag_path.iterdir())
    assert files[0] in ('drive.mcap', 'drive.db3')
    assert files[1:] == ['metadata.yaml']
    raw = 3 * SIZE[0] * SIZE[1] * (3 + 4) + 3 * 320 * 240 * 2 + 6 * 32 * 900 * 18
    assert (bag_path / files[0]).stat().st_size < 0.8 * raw


def test_image_info_and_truth_share_stamp_frame_and_content(bag: Bag) -> None:
    world = World('road', 3, SECONDS, SIZE)
    names = ['/camera/image_raw', '/camera/image_raw/compressed', '/camera/camera_info']
    names += ['/ground_truth/depth/image', '/ground_truth/depth/camera_info']
    for moment in zip(*(bag[name] for name in names), strict=True):
        stamps = {stamp for stamp, _ in moment} | {stamp_of(message) for _, message in moment}
        assert len(stamps) == 1
        assert {message.header.frame_id for _, message in moment} == {'camera_optical_frame'}
        image, jpeg, info, truth, _ = (message for _, message in moment)
        picture, depth = world.picture((stamps.pop() - START_NS) * 1e-9)
        assert image.encoding == 'bgr8'
        assert np.array_equal(image.data.reshape(picture.shape), picture)
        small = cv2.imdecode(jpeg.data, cv2.IMREAD_COLOR).astype(float)
        assert np.abs(small - picture).mean() < 8.0
        assert truth.encoding == '32FC1'
        assert np.array_equal(truth.data.view(np.float32).reshape(depth.shape), depth)
        assert (info.width, info.height) == SIZE
        assert info.k[0] == pytest.approx(world.camera.fx)
        assert info.p[6] == pytest.approx(world.camera.cy)


def test_clouds_and_scans_hold_what_the_sensors_gave(bag: Bag) -> None:
    world = World('road', 3, SECONDS, SIZE)
    stamp, cloud = bag['/lidar/points'][0]
    points = world.cloud((stamp - START_NS) * 1e-9)
    assert [field.name for field in cloud.fields] == ['x', 'y', 'z', 'intensity', 'ring']
    assert (cloud.height, cloud.width) == (1, len(points))
    assert cloud.row_step == cloud.data.size == cloud.width * cloud.point_step
    assert cloud.data.tobytes() == points.tobytes()
    stamp, scan = bag['/scan'][1]
    assert np.array_equal(scan.ranges, world.scan((stamp - START_NS) * 1e-9), equal_nan=True)
    span = scan.angle_max - scan.angle_min
    assert span / scan.angle_increment == pytest.approx(len(scan.ranges) - 1, abs=1e-3)
    assert bag['/depth_camera/depth/image_raw'][0][1].encoding == '16UC1'


def matrix(transform: Any) -> np.ndarray[Any, Any]:
    q, t = transform.rotation, transform.translation
    rotation = 2.0 * np.array(
        [
            [0.5 - q.y**2 - q.z**2, q.x * q.y - q.z * q.w, q.x * q.z + q.y * q.w],
            [q.x * q.y + q.z * q.w, 0.5 - q.x**2 - q.z**2, q.y * q.z - q.x * q.w],
            [q.x * q.z - q.y * q.w, q.y * q.z + q.x * q.w, 0.5 - q.x**2 - q.y**2],
        ]
    )
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = rotation, [t.x, t.y, t.z]
    return whole


def test_frames_make_one_tree_that_places_the_camera(bag: Bag) -> None:
    static = bag['/tf_static'][0][1].transforms
    stamp, moving = bag['/tf'][20]
    edges = {
        edge.child_frame_id: (edge.header.frame_id, matrix(edge.transform))
        for edge in [*static, *moving.transforms]
    }
    chains = []
    for frame in ('camera_optical_frame', 'lidar_link', 'laser_link'):
        pose, chain = np.eye(4), [frame]
        while chain[-1] != 'map':
            parent, step = edges[chain[-1]]
            pose, chain = step @ pose, [*chain, parent]
        assert chain[-4:] == ['base_link', 'base_footprint', 'odom', 'map']
        chains.append(pose)
    world = World('road', 3, SECONDS, SIZE)
    expected = world.camera_pose((stamp - START_NS) * 1e-9)
    assert np.allclose(chains[0][:3, :3], expected.rotation, atol=1e-9)
    assert np.allclose(chains[0][:3, 3], expected.translation, atol=1e-9)


def test_transforms_surround_every_measurement(bag: Bag) -> None:
    first, last = bag['/tf'][0][0], bag['/tf'][-1][0]
    for topic, messages in bag.items():
        if topic != '/tf_static':
            assert messages[0][0] >= first
            # The last tick of a bag may outrun the last transform by less than one period.
            assert messages[-1][0] <= last + 20_000_000


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        ({'scene': 'moon'}, "scene 'moon'"),
        ({'seconds': 0.0}, 'seconds is 0'),
        ({'seconds': float('nan')}, 'seconds is nan'),
        ({'rate': -1.0}, 'rate is -1'),
        ({'size': (8, 480)}, 'size is 8x480'),
        ({'seed': -2}, 'seed is -2'),
        ({'storage': 'zip'}, "storage 'zip'"),
        ({'distortion': (float('inf'),)}, 'distortion'),
    ],
)
def test_bad_arguments_leave_nothing(
    tmp_path: Path, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(SettingError, match=complaint):
        write_sample_bag(tmp_path / 'deep' / 'bag', **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bag_is_kept(tmp_path: Path) -> None:
    (tmp_path / 'bag').mkdir()
    with pytest.raises(SettingError, match='already there'):
        write_sample_bag(tmp_path / 'bag')
    assert list((tmp_path / 'bag').iterdir()) == []


FULL_DISK = """
import resource, sys
from lab.sample import main, write_sample_bag
from depth_anything_ros.core.errors import SettingError
# Writing past the limit fails as on a full disk: Python ignores the signal.
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_sample_bag(sys.argv[1], 'room', 1.0, 5.0, (96, 72), storage=sys.argv[2])
except SettingError as err:
    print(err)
"""


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_full_disk_leaves_no_half_bag(tmp_path: Path, storage: str) -> None:
    command = [sys.executable, '-c', FULL_DISK, str(tmp_path / 'bag'), storage]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.startswith(f'cannot write {tmp_path / "bag"}:')
    assert list(tmp_path.iterdir()) == []


def test_stopping_midway_leaves_no_half_bag(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert total > done
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample_bag(tmp_path / 'bag', size=SIZE, seconds=1.0, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_progress_reaches_the_end_and_counts_are_given(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    summary = write_sample_bag(
        tmp_path / 'bag',
        size=SIZE,
        seconds=0.2,
        distortion=(-0.2, 0.05, 0.0, 0.0),
        on_progress=lambda done, total: heard.append((done, total)),
    )
    assert heard[-1][0] == heard[-1][1] == len(heard)
    assert summary.path == tmp_path / 'bag'
    assert summary.counts['/camera/image_raw'] == 2
    bag = read(summary.path)
    assert bag['/camera/camera_info'][0][1].d[:2] == pytest.approx([-0.2, 0.05])


@pytest.mark.parametrize('yaw', [0.0, 1e-14, 0.3, -2.5, np.pi])
def test_quaternions_turn_as_the_matrix_does(yaw: float) -> None:
    x, y, z, w = Transform(yaw_matrix(yaw), np.zeros(3)).quaternion
    assert x == pytest.approx(0.0, abs=1e-9)
    assert y == pytest.approx(0.0, abs=1e-9)
    assert w >= -1e-12
    assert np.cos(2 * np.arctan2(z, w) - yaw) == pytest.approx(1.0)


def test_the_command_prints_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = tmp_path / 'bag'
    arguments = ['--seconds', '0.2', '--size', '96x72', '--storage', 'sqlite3', '--scene', 'road']
    assert main([str(bag), *arguments, '--json']) == 0
    content = json.loads(capsys.readouterr().out)
    assert content['path'] == str(bag)
    assert content['counts']['/camera/image_raw'] == 2


@pytest.mark.parametrize(
    ('arguments', 'complaint'), [('--scene moon', 'moon'), ('--storage tape', 'tape')]
)
def test_a_bad_option_is_one_line_and_status_2(
    tmp_path: Path, arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / 'bag'), *arguments.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line and line.startswith('python -m lab.sample: ')
    assert not list(tmp_path.iterdir())
