"""One camera of a bag through the pipeline, from a simulated drive and a network that errs."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import DEPTH, DEPTH_INFO, IMAGE, INFO, LIDAR, ODOM, SCAN, TRUTH, Drive, drive
from written_bag import MAKE, write_bag

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.reasons import Reason
from depth_anything_ros.bag.replay import BagReplay, CameraTopics, ReplayedImage
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters, parameters_from_flat
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.messages.images import bgr_from_compressed
from depth_anything_ros.messages.stamps import ns_from_stamp
from lab.degraded_truth import DegradedTruthBackend

COMPRESSED = IMAGE + '/compressed'
TRUTH_INFO = '/ground_truth/depth/camera_info'
# Mean |error| / depth that the network's own errors leave, as in test_metric.
BOUNDS = {DEPTH: 0.09, LIDAR: 0.09, SCAN: 0.11, '': 0.12}
KINDS = {
    DEPTH: ReferenceKind.DEPTH_IMAGE,
    LIDAR: ReferenceKind.POINT_CLOUD,
    SCAN: ReferenceKind.LASER_SCAN,
    '': ReferenceKind.GROUND_PLANE,
}
Messages = list[tuple[str, int, Any]]


def recorded(what: Drive) -> Messages:
    """The drive as (topic, time of receipt, message)."""
    return [(topic, stamp_of(message), message) for topic, _, message in what.messages]


def stamp_of(message: Any) -> int:
    first = message if hasattr(message, 'header') else message.transforms[0]
    return ns_from_stamp(first.header.stamp)


@pytest.fixture(scope='module')
def room() -> Drive:
    return drive('room')


@pytest.fixture(scope='module')
def bag(room: Drive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp('bags') / 'room', recorded(room))


def answers(
    bag: Path, topics: CameraTopics, backend: Any, **settings: object
) -> list[ReplayedImage]:
    parameters = parameters_from_flat({k.replace('__', '.'): v for k, v in settings.items()})
    with BagReader(bag) as reader:
        replay = BagReplay(reader, topics, backend, parameters)
        found = list(replay)
        assert replay.left_out == []
    return found


def error(answer: ReplayedImage, truth: dict[int, np.ndarray]) -> float:
    """Mean |error| / depth of one frame."""
    assert answer.frame is not None
    assert answer.frame.depth_m is not None
    depth_m, true_m = answer.frame.depth_m, truth[ns_from_stamp(answer.header.stamp)]
    both = np.isfinite(depth_m) & np.isfinite(true_m) & (true_m > 0.0)
    assert both.mean() > 0.5
    return float(np.mean(np.abs(depth_m[both] - true_m[both]) / true_m[both]))


@pytest.mark.parametrize('reference', BOUNDS)
def test_every_reference_gives_metres(tmp_path: Path, reference: str) -> None:
    # The floor fills the lower half of a road, and hardly shows in a room.
    what = drive('room' if reference else 'road')
    found = answers(
        write_bag(tmp_path / 'bag', recorded(what)),
        CameraTopics(IMAGE, reference=reference),
        what.backend(),
        reference__type='auto' if reference else 'ground_plane',
    )
    assert len(found) == len(what.truth)
    metric = [each for each in found if each.frame and each.frame.depth_m is not None]
    # The first image may come before the reference.
    assert len(metric) > len(found) / 2
    assert np.median([error(each, what.truth) for each in metric]) < BOUNDS[reference]
    last = found[-1]
    assert last.frame is not None
    assert last.frame.scale.source == 'reference'
    assert last.info is not None
    assert last.receive_ns == ns_from_stamp(last.header.stamp)
    assert last.header.frame_id == 'camera_optical_frame'


@pytest.mark.parametrize('reference', BOUNDS)
def test_the_kind_follows_the_type_of_the_topic(bag: Path, room: Drive, reference: str) -> None:
    kind = 'auto' if reference else 'ground_plane'
    parameters = parameters_from_flat({'reference.type': kind})
    with BagReader(bag) as reader:
        topics = CameraTopics(IMAGE, reference=reference)
        replay = BagReplay(reader, topics, room.backend(), parameters)
        assert replay.kind is KINDS[reference]
        heard = {IMAGE, INFO, '/tf', '/tf_static'} | ({reference} if reference else set())
        assert replay.topics == heard | ({DEPTH_INFO} if reference == DEPTH else set())


def test_the_same_again(bag: Path, room: Drive) -> None:
    topics = CameraTopics(IMAGE, reference=LIDAR)
    first, second = (answers(bag, topics, room.backend()) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.frame and other.frame
        for name in ('inverse_depth', 'normalized', 'depth_m', 'sigma_m'):
            one_value, other_value = getattr(one.frame, name), getattr(other.frame, name)
            assert (one_value is None) == (other_value is None)
            if one_value is not None:
                assert one_value.tobytes() == other_value.tobytes()


@pytest.fixture(scope='module')
def road() -> Drive:
    """1.2 s, of which odometry needs half a second to begin."""
    return drive('road', 1.2, size=(320, 240))


@pytest.fixture(scope='module')
def driven(road: Drive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag with /odom as well, as late as a robot's."""
    odometry = [(topic, stamp_of(each) + 5_000_000, each) for topic, _, each in road.odometry]
    messages = sorted(recorded(road) + odometry, key=lambda item: item[1])
    return write_bag(tmp_path_factory.mktemp('bags') / 'road', messages)


@pytest.mark.parametrize('by', ['topic', 'auto', 'tf'])
def test_odometry_gives_metres(driven: Path, road: Drive, by: str) -> None:
    found = answers(
        driven,
        CameraTopics(IMAGE, reference='' if by == 'tf' else ODOM),
        road.backend(),
        reference__type='auto' if by == 'auto' else 'odometry',
        reference__fixed_frame='odom' if by == 'tf' else '',
    )
    metric = [each for each in found if each.frame and each.frame.depth_m is not None]
    assert len(metric) >= 4
    assert np.median([error(each, road.truth) for each in metric]) < 0.12
    first = found[0].frame
    assert first is not None
    assert first.reason == 'no_earlier_frame'


@pytest.mark.parametrize('fixed_frame', ['', 'odom'])
def test_odometry_by_tf_reads_no_topic(driven: Path, road: Drive, fixed_frame: str) -> None:
    parameters = parameters_from_flat(
        {'reference.type': 'odometry', 'reference.fixed_frame': fixed_frame}
    )
    with BagReader(driven) as reader:
        replay = BagReplay(reader, CameraTopics(IMAGE, reference=ODOM), road.backend(), parameters)
        assert replay.kind is ReferenceKind.ODOMETRY
        heard = {IMAGE, INFO, '/tf', '/tf_static'}
        assert replay.topics == heard | (set() if fixed_frame else {ODOM})


def test_odometry_that_is_recorded_too_late_is_not_used(
    tmp_path: Path, road: Drive, driven: Path
) -> None:
    with BagReader(driven) as reader:
        messages = [(each.topic, each.receive_ns, each.read()) for each in reader.messages()]
    late = write_bag(tmp_path / 'late', moved(messages, ODOM, 200_000_000))
    topics = CameraTopics(IMAGE, reference=ODOM)
    for each in answers(late, topics, road.backend()):
        assert each.frame is not None
        assert each.frame.reason in ('no_reference', 'transform_too_old')


def moved(messages: Iterable[tuple[str, int, Any]], topic: str, late_ns: int) -> Messages:
    """The same bag with one topic received later; stamps stay."""
    changed = [(name, ns + late_ns * (name == topic), message) for name, ns, message in messages]
    return sorted(changed, key=lambda item: item[1])


def test_a_reference_recorded_after_the_image_is_not_used_however_near(
    room: Drive, tmp_path: Path
) -> None:
    # Depth images are stamped 7 ms before the colour images at 10 Hz. Received 20 ms late they
    # come after the image, so the one before, 107 ms old, is what there is: beyond tolerance.
    late = write_bag(tmp_path / 'late', moved(recorded(room), DEPTH, 20_000_000))
    topics = CameraTopics(IMAGE, reference=DEPTH)
    reasons = [
        each.frame.scale.reason for each in answers(late, topics, room.backend()) if each.frame
    ]
    assert set(reasons) == {'no_reference'}
    found = answers(late, topics, room.backend(), reference__sync_tolerance_s=0.2)
    ages = [each.frame.scale.reference_age_s for each in found[1:] if each.frame]
    assert np.allclose(ages, 0.107)


def test_tf_recorded_after_the_image_is_not_used(room: Drive, tmp_path: Path) -> None:
    late = write_bag(tmp_path / 'late', moved(recorded(room), '/tf', 10**12))
    topics = CameraTopics(IMAGE, reference=LIDAR)
    rigid = answers(late, topics, room.backend())
    assert rigid[-1].frame and rigid[-1].frame.scale.source == 'reference'
    found = answers(late, topics, room.backend(), reference__fixed_frame='odom')
    assert {each.frame.scale.reason for each in found if each.frame} == {'no_transform'}


def test_static_transforms_are_known_before_they_are_recorded_but_not_later_ones(
    room: Drive, tmp_path: Path
) -> None:
    messages = moved(recorded(room), '/tf_static', 10**12)
    topics = CameraTopics(IMAGE, reference=LIDAR)
    plain = answers(write_bag(tmp_path / 'late', messages), topics, room.backend())
    assert plain[-1].frame and plain[-1].frame.scale.source == 'reference'
    # A calibration that comes later must not reach back.
    wrong = deepcopy(next(message for topic, _, message in messages if topic == '/tf_static'))
    for item in wrong.transforms:
        item.transform.translation.z += 5.0
    again = [*messages, ('/tf_static', messages[-1][1] + 1, wrong)]
    found = answers(write_bag(tmp_path / 'again', again), topics, room.backend())
    for one, other in zip(plain, found, strict=True):
        assert one.frame and other.frame
        assert (one.frame.depth_m is None) == (other.frame.depth_m is None)
        if one.frame.depth_m is not None and other.frame.depth_m is not None:
            assert one.frame.depth_m.tobytes() == other.frame.depth_m.tobytes()


def test_compressed_images_with_the_camera_info_beside_the_base_topic(
    bag: Path, room: Drive
) -> None:
    pictures = [message for topic, _, message in room.messages if topic == COMPRESSED]
    backend = DegradedTruthBackend(
        (bgr_from_compressed(each), room.truth[stamp_of(each)]) for each in pictures
    )
    found = answers(bag, CameraTopics(COMPRESSED, reference=DEPTH), backend)
    assert len(found) == len(pictures)
    assert error(found[-1], room.truth) < BOUNDS[DEPTH]


def test_a_named_camera_info_counts(bag: Path, room: Drive) -> None:
    with BagReader(bag) as reader:
        topics = CameraTopics(IMAGE, camera_info=TRUTH_INFO, reference=LIDAR)
        replay = BagReplay(reader, topics, room.backend(), Parameters())
        assert replay.topics >= {IMAGE, TRUTH_INFO, LIDAR}


def test_without_metres_images_are_all_that_is_read(bag: Path, room: Drive) -> None:
    with BagReader(bag) as reader:
        replay = BagReplay(reader, CameraTopics(IMAGE), room.backend(), Parameters())
        assert replay.topics == {IMAGE}


def test_an_image_that_cannot_be_used_is_refused_and_the_others_go_on(
    room: Drive, tmp_path: Path
) -> None:
    messages = recorded(room)
    places = [place for place, item in enumerate(messages) if item[0] == IMAGE]
    for place, change in zip(
        places, ({'data': np.zeros(9, np.uint8)}, {'encoding': '16UC1'}), strict=False
    ):
        topic, receive_ns, message = messages[place]
        messages[place] = topic, receive_ns, replace(message, **change)
    found = answers(write_bag(tmp_path / 'bag', messages), CameraTopics(IMAGE), room.backend())
    reasons = [each.error.reason if each.error else '' for each in found]
    assert reasons[:3] == ['bad_data_size', 'depth_image', '']
    assert found[0].header.frame_id == 'camera_optical_frame'
    large = answers(
        tmp_path / 'bag', CameraTopics(IMAGE), room.backend(), max_image_megapixels=0.01
    )
    assert {each.error.reason for each in large if each.error} >= {'image_too_large'}


def test_images_of_12_bits_are_stretched_and_noted_once(room: Drive, tmp_path: Path) -> None:
    def deep(message: Any) -> Any:
        pixels = np.asarray(message.data).reshape(message.height, message.width, 3)
        levels = 7000 + 4 * pixels.astype('<u2')
        fields = {'encoding': 'bgr16', 'step': 6 * message.width, 'is_bigendian': 0}
        return replace(message, data=levels.view(np.uint8).ravel(), **fields)

    messages = [
        (topic, receive_ns, deep(message) if topic == IMAGE else message)
        for topic, receive_ns, message in recorded(room)
    ]
    seen: list[np.ndarray] = []
    backend = room.backend()
    backend.infer = lambda bgr, times: seen.append(bgr) or bgr[..., 0].astype(np.float32)  # type: ignore[method-assign, func-returns-value]
    with BagReader(write_bag(tmp_path / 'bag', messages)) as reader:
        replay = BagReplay(reader, CameraTopics(IMAGE), backend, Parameters())
        assert all(each.frame is not None for each in replay)
        (note,) = replay.notes
    assert note.startswith(f'images on {IMAGE}: levels ') and 'are stretched to 8 bits' in note
    # As dark as they were they would vary by 4.
    assert all(bgr.std() > 20 for bgr in seen)


def test_a_transform_that_is_refused_is_noted_once(room: Drive, tmp_path: Path) -> None:
    messages = recorded(room)
    loop = MAKE.transforms(messages[0][1], [])
    loop.transforms = deepcopy(messages[1][2].transforms)
    loop.transforms[0].child_frame_id = loop.transforms[0].header.frame_id
    extra = [('/tf', messages[0][1] + n, loop) for n in range(3)]
    path = write_bag(tmp_path / 'bag', [messages[0], *extra, *messages[1:]])
    with BagReader(path) as reader:
        replay = BagReplay(
            reader, CameraTopics(IMAGE, reference=LIDAR), room.backend(), Parameters()
        )
        assert all(each.error is None for each in replay)
        (noted,) = replay.left_out
        assert (noted.name, noted.count) == ('/tf', 3)
        assert 'transform on /tf refused' in noted.message


@pytest.mark.parametrize(
    ('topics', 'kind', 'message'),
    [
        (CameraTopics('/nowhere'), 'auto', r'has no topic /nowhere: (it has|near it are) /'),
        (CameraTopics(LIDAR), 'auto', 'name one of type Image'),
        (CameraTopics(IMAGE, '/nowhere'), 'auto', 'has no topic /nowhere'),
        (
            CameraTopics(IMAGE, LIDAR),
            'auto',
            'is sensor_msgs/msg/PointCloud2, no CameraInfo: name one of',
        ),
        (
            CameraTopics(IMAGE, reference='/tf'),
            'auto',
            'is tf2_msgs/msg/TFMessage: a reference has one of',
        ),
        (CameraTopics(IMAGE, reference=IMAGE), 'auto', r'has pictures, no depth \(16UC1'),
        (
            CameraTopics(IMAGE, reference=SCAN),
            'point_cloud',
            'is a laser_scan .*: set reference.type',
        ),
        (CameraTopics(IMAGE), 'point_cloud', 'no reference topic is named: give --reference'),
        (CameraTopics(IMAGE), 'odometry', 'set reference.fixed_frame to the odometry frame'),
        (CameraTopics(IMAGE, reference=SCAN), 'odometry', 'is a laser_scan .*: set reference'),
    ],
)
def test_topics_that_cannot_be_used_are_named(
    bag: Path, room: Drive, topics: CameraTopics, kind: str, message: str
) -> None:
    parameters = parameters_from_flat({'reference.type': kind})
    with BagReader(bag) as reader, pytest.raises(SettingError, match=message):
        BagReplay(reader, topics, room.backend(), parameters)


def test_none_asks_for_no_metres(bag: Path, room: Drive) -> None:
    topics = CameraTopics(IMAGE, reference=DEPTH)
    found = answers(bag, topics, room.backend(), reference__type='none')
    assert all(each.frame and each.frame.depth_m is None for each in found)


def test_a_damaged_reference_is_noted(
    bag: Path, room: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    from depth_anything_ros.bag.reading import BagMessage

    read = BagMessage.read

    def damaged(self: BagMessage) -> Any:
        if self.topic == LIDAR:
            raise DepthAnythingError(f'the message of {LIDAR} is not a PointCloud2')
        return read(self)

    monkeypatch.setattr(BagMessage, 'read', damaged)
    with BagReader(bag) as reader:
        topics = CameraTopics(IMAGE, reference=LIDAR)
        replay = BagReplay(reader, topics, room.backend(), Parameters())
        found = list(replay)
    assert len(found) == len(room.truth)
    (noted,) = replay.left_out
    clouds = sum(topic == LIDAR for topic, _, _ in room.messages)
    assert noted == Reason(LIDAR, clouds, f'the message of {LIDAR} is not a PointCloud2')
    assert TRUTH not in replay.topics


def test_transforms_of_another_type_are_left_out(room: Drive, tmp_path: Path) -> None:
    messages = recorded(room)
    scan = next(message for topic, _, message in messages if topic == SCAN)
    others = [item for item in messages if item[0] != '/tf']
    path = write_bag(tmp_path / 'bag', [*others, ('/tf', messages[-1][1], scan)])
    with BagReader(path) as reader:
        topics = CameraTopics(IMAGE, reference=LIDAR)
        replay = BagReplay(reader, topics, room.backend(), Parameters())
        assert len(list(replay)) == len(room.truth)
    text = '/tf is not used: it is sensor_msgs/msg/LaserScan, no TFMessage'
    assert replay.left_out == [Reason('/tf', 1, text)]
