"""PointCloud2 of any layout, in the messages of rclpy and in those read from bags."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.parameters import CloudParameters
from depth_anything_ros.core.types import Camera
from depth_anything_ros.messages.point_clouds import (
    CloudWriter,
    points_from_cloud,
    sigma_from_cloud,
)
from depth_anything_ros.metric.cloud import Cloud, cloud_from_depth, compacted
from lab.sample_messages import SampleMessages
from lab.world.world import World

try:
    from sensor_msgs.msg import PointCloud2, PointField
except ImportError:
    PointCloud2 = PointField = None

CODES = {'i1': 1, 'u1': 2, 'i2': 3, 'u2': 4, 'i4': 5, 'u4': 6, 'f4': 7, 'f8': 8}
REASONS = {'bad_data_size', 'bad_fields', 'bad_size'}
XYZ = np.array([[1, 2, 3], [-4, 5, 6], [7, -8, 9], [10, 11, 12], [0, 0, 1], [3, 3, 3]], np.float64)


@dataclass
class BagField:
    """sensor_msgs/PointField as rosbags gives it."""

    name: str = ''
    offset: int = 0
    datatype: int = 0
    count: int = 0


@dataclass
class BagCloud:
    """sensor_msgs/PointCloud2 as rosbags gives it."""

    height: int = 0
    width: int = 0
    fields: list[Any] = field(default_factory=list)
    is_bigendian: bool = False
    point_step: int = 0
    row_step: int = 0
    data: Any = field(default_factory=lambda: np.zeros(0, np.uint8))
    is_dense: bool = False


KINDS: list[tuple[Any, Any]] = [(BagCloud, BagField)]
if PointCloud2 is not None:
    KINDS.append((PointCloud2, PointField))
kinds = pytest.mark.parametrize(('kind', 'field_kind'), KINDS, ids=['bag', 'rclpy'][: len(KINDS)])


def message(
    kind: Any,
    field_kind: Any,
    points: np.ndarray,
    layout: list[tuple[str, str, int]],
    point_step: int,
    *,
    height: int = 1,
    padding: int = 0,
    big_endian: bool = False,
) -> Any:
    """`layout`: name, type and offset of each field; what lies between is rubbish."""
    width = len(points) // height
    row_step = width * point_step + padding
    data = np.full(height * row_step, 0xA5, np.uint8)
    for name, code, offset in layout:
        if name in 'xyz':
            view = np.ndarray(
                (height, width), ('>' if big_endian else '<') + code, data, offset,
                (row_step, point_step),
            )  # fmt: skip
            view[:] = points[:, 'xyz'.index(name)].reshape(height, width)
    return kind(
        height=height,
        width=width,
        fields=[
            field_kind(name=name, offset=offset, datatype=CODES[code], count=1)
            for name, code, offset in layout
        ],
        is_bigendian=big_endian,
        point_step=point_step,
        row_step=row_step,
        data=data if kind is BagCloud else array('B', data.tobytes()),
        is_dense=False,
    )


LAYOUTS = {
    'packed': ([('x', 'f4', 0), ('y', 'f4', 4), ('z', 'f4', 8)], 12),
    'pcl': ([('x', 'f4', 0), ('y', 'f4', 4), ('z', 'f4', 8), ('rgb', 'f4', 16)], 32),
    'doubles': ([('t', 'f8', 0), ('x', 'f8', 8), ('y', 'f8', 16), ('z', 'f8', 24)], 32),
    'unaligned': ([('i', 'u1', 0), ('x', 'f4', 1), ('y', 'f4', 5), ('z', 'f4', 9)], 13),
    'reversed': ([('z', 'f4', 0), ('y', 'f4', 4), ('x', 'f4', 8)], 12),
    'mixed': ([('y', 'i1', 0), ('x', 'i2', 2), ('z', 'f8', 8)], 16),
    'whole numbers': ([('x', 'i4', 0), ('y', 'i4', 4), ('z', 'i4', 8)], 12),
}


@kinds
@pytest.mark.parametrize('big_endian', [False, True])
@pytest.mark.parametrize('height', [1, 2])
@pytest.mark.parametrize('padding', [0, 7])
@pytest.mark.parametrize('layout', LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout(
    kind: Any, field_kind: Any, layout: Any, height: int, padding: int, big_endian: bool
) -> None:
    msg = message(
        kind, field_kind, XYZ, *layout, height=height, padding=padding, big_endian=big_endian
    )
    points = points_from_cloud(msg)
    assert points.dtype == np.float32
    assert points.shape == (6, 3)
    assert np.array_equal(points, XYZ)


def of_fields(**columns: list[float]) -> BagCloud:
    """A cloud with these fields, float32."""
    data = np.array([*columns.values()], np.float32).T
    return BagCloud(
        height=1,
        width=len(data),
        fields=[BagField(name, 4 * place, 7, 1) for place, name in enumerate(columns)],
        point_step=4 * len(columns),
        data=np.ascontiguousarray(data).view(np.uint8).ravel(),
    )


def sigma_of(cloud: BagCloud, origin: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Any:
    return sigma_from_cloud(cloud, points_from_cloud(cloud), np.array(origin))


def test_sigma_is_a_field_of_its_own() -> None:
    at = {'x': [1.0, 2.0, 3.0, 4.0], 'y': [0.0] * 4, 'z': [0.0] * 4}
    found = sigma_of(of_fields(**at, sigma=[0.1, 0.0, -1.0, np.inf]))
    assert np.allclose(found, [0.1, 0.0, np.nan, np.nan], equal_nan=True)
    assert sigma_of(of_fields(**at)) is None
    assert sigma_of(of_fields(**at, cov_xx=[1.0] * 4)) is None


def test_a_covariance_counts_along_the_ray() -> None:
    points = {'x': [3.0, 1.0], 'y': [4.0, 0.0], 'z': [0.0, 2.0]}
    half = {'cov_xx': 0.04, 'cov_xy': 0.01, 'cov_xz': 0.0, 'cov_yy': 0.09, 'cov_yz': 0.02}
    cloud = of_fields(**points, **{name: [v, v] for name, v in half.items()}, cov_zz=[0.25, 0.25])
    whole = np.array([[0.04, 0.01, 0.0], [0.01, 0.09, 0.02], [0.0, 0.02, 0.25]])
    for origin in ((0.0, 0.0, 0.0), (1.0, 1.0, -1.0)):
        ray = np.array([[3.0, 4.0, 0.0], [1.0, 0.0, 2.0]]) - origin
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        expected = np.sqrt(np.einsum('ni,ij,nj->n', ray, whole, ray))
        assert np.allclose(sigma_of(cloud, origin), expected)


def test_unknown_points_stay_in_their_place() -> None:
    points = XYZ.copy()
    points[2], points[4, 1] = np.nan, np.inf
    read = points_from_cloud(message(BagCloud, BagField, points, *LAYOUTS['doubles']))
    assert np.array_equal(read, points.astype(np.float32), equal_nan=True)
    points[0, 0] = 1e200
    read = points_from_cloud(message(BagCloud, BagField, points, *LAYOUTS['doubles']))
    assert np.isposinf(read[0, 0])


def test_points_do_not_change_with_their_message() -> None:
    msg = message(BagCloud, BagField, XYZ, *LAYOUTS['packed'])
    points = points_from_cloud(msg)
    msg.data[:] = 0
    assert np.array_equal(points, XYZ)


def test_an_empty_cloud_is_no_error() -> None:
    msg = message(BagCloud, BagField, XYZ, *LAYOUTS['packed'])
    msg.width, msg.data = 0, msg.data[:0]
    assert points_from_cloud(msg).shape == (0, 3)


def test_the_row_step_of_a_single_row_is_not_needed() -> None:
    msg = message(BagCloud, BagField, XYZ, *LAYOUTS['packed'])
    msg.row_step = 0
    assert np.array_equal(points_from_cloud(msg), XYZ)


def test_the_lidar_of_a_sample_bag() -> None:
    world = World('room', 1)
    cloud = world.cloud(0.5)
    points = points_from_cloud(SampleMessages().cloud(0, 'lidar', cloud))
    assert np.array_equal(points, np.stack([cloud['x'], cloud['y'], cloud['z']], axis=1))


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'fields': []}, 'bad_fields'),
        (
            {'fields': [BagField('x', 0, 9), BagField('y', 4, 7), BagField('z', 8, 7)]},
            'bad_fields',
        ),
        (
            {'fields': [BagField('x', 9, 7), BagField('y', 4, 7), BagField('z', 8, 7)]},
            'bad_fields',
        ),
        ({'point_step': 0}, 'bad_fields'),
        ({'width': 7}, 'bad_data_size'),
        ({'height': 2, 'width': 3, 'row_step': 1}, 'bad_data_size'),
        ({'height': 2, 'width': 3, 'row_step': 99}, 'bad_data_size'),
        ({'width': 2**31, 'height': 2**31}, 'bad_size'),
        ({'data': b''}, 'bad_data_size'),
        ({'data': None}, 'bad_data_size'),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], reason: str) -> None:
    msg = message(BagCloud, BagField, XYZ, *LAYOUTS['packed'])
    for name, value in change.items():
        setattr(msg, name, value)
    with pytest.raises(FrameError) as caught:
        points_from_cloud(msg)
    assert caught.value.reason == reason


UINT32 = st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1))
FIELDS = st.builds(
    BagField,
    st.sampled_from(['x', 'y', 'z', 'rgb', '']),
    st.one_of(st.sampled_from([0, 4, 8]), UINT32),
    st.integers(0, 10),
    st.integers(0, 3),
)


@given(
    size=st.tuples(st.integers(0, 3), st.integers(0, 4)),
    fields=st.lists(FIELDS, min_size=2, max_size=5),
    big_endian=st.booleans(),
    point_step=st.sampled_from([12, 13, 16, 24, 32]),
    padding=st.integers(0, 3),
    data=st.binary(min_size=1, max_size=200),
    spoilt=st.dictionaries(
        st.sampled_from(['height', 'width', 'point_step', 'row_step', 'data']), UINT32, max_size=1
    ),
)
@settings(max_examples=400, deadline=None)
def test_any_message_gives_points_or_a_frame_error(
    size: tuple[int, int],
    fields: list[BagField],
    big_endian: bool,
    point_step: int,
    padding: int,
    data: bytes,
    spoilt: dict[str, int],
) -> None:
    height, width = size
    row_step = width * point_step + padding
    length = height * row_step
    whole = np.frombuffer((data * (length // len(data) + 1))[:length], np.uint8)
    usual = [BagField('x', 0, 7, 1), BagField('y', 4, 7, 1), BagField('z', 8, 7, 1)]
    msg = BagCloud(
        height, width, [*fields, *usual], big_endian, point_step, row_step, whole, False
    )
    for name, value in spoilt.items():
        setattr(msg, name, whole[: value % (length + 1)] if name == 'data' else value)
    try:
        points = points_from_cloud(msg)
    except FrameError as error:
        assert error.reason in REASONS
        return
    assert points.shape == (msg.height * msg.width, 3)
    assert points.dtype == np.float32


def organised() -> Cloud:
    random = np.random.default_rng(0)
    points = random.normal(size=(4, 5, 3)).astype(np.float32)
    points[1, 2] = np.nan
    bgr = random.integers(0, 256, (4, 5, 3), np.uint8)
    return Cloud(points, bgr, random.random((4, 5)).astype(np.float32))


@kinds
@pytest.mark.parametrize('color', [False, True])
@pytest.mark.parametrize('sigma', [False, True])
def test_written_clouds_can_be_read(kind: Any, field_kind: Any, color: bool, sigma: bool) -> None:
    cloud = organised()
    writer = CloudWriter(field_kind, color=color, sigma=sigma)
    for written in (cloud, compacted(cloud), cloud):
        msg = kind()
        writer.fill(msg, written)
        assert np.array_equal(
            points_from_cloud(msg), written.points.reshape(-1, 3), equal_nan=True
        )
        size = (4, 5) if written is cloud else (1, 19)
        assert (msg.height, msg.width) == size
        assert msg.is_dense is (written is not cloud)
        names = ['x', 'y', 'z'] + ['rgb'] * color + ['sigma'] * sigma
        assert [item.name for item in msg.fields] == names
        assert [item.offset for item in msg.fields] == [4 * i for i in range(len(names))]
        assert {(item.datatype, item.count) for item in msg.fields} == {(7, 1)}
        assert (msg.point_step, msg.row_step) == (4 * len(names), 4 * len(names) * msg.width)
        assert len(msg.data) == msg.height * msg.row_step
        values = np.frombuffer(bytes(msg.data), np.uint32).reshape(-1, len(names))
        if color:
            assert written.bgr is not None
            blue, green, red = written.bgr.reshape(-1, 3).T.astype(np.uint32)
            assert np.array_equal(values[:, 3], red << 16 | green << 8 | blue)
        if sigma:
            assert written.sigma_m is not None
            assert np.array_equal(values[:, -1].view(np.float32), written.sigma_m.ravel())


@kinds
def test_a_written_message_does_not_change_with_the_next(kind: Any, field_kind: Any) -> None:
    writer = CloudWriter(field_kind, color=False, sigma=False)
    first, second = kind(), kind()
    writer.fill(first, organised())
    before = bytes(first.data)
    writer.fill(second, Cloud(np.zeros((4, 5, 3), np.float32)))
    assert bytes(first.data) == before


@kinds
def test_an_empty_cloud_can_be_written(kind: Any, field_kind: Any) -> None:
    msg = kind()
    nothing = np.zeros(0, np.float32)
    cloud = Cloud(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), nothing)
    CloudWriter(field_kind, color=True, sigma=True).fill(msg, cloud)
    assert (msg.height, msg.width, len(msg.data)) == (1, 0, 0)
    assert points_from_cloud(msg).shape == (0, 3)


def test_rosbags_writes_what_is_filled() -> None:
    store = SampleMessages()
    writer = CloudWriter(store.store.types['sensor_msgs/msg/PointField'], color=True, sigma=True)
    msg = store.cloud(7, 'lens', World('room', 1).cloud(0.0))
    writer.fill(msg, organised())
    name = 'sensor_msgs/msg/PointCloud2'
    read = store.store.deserialize_cdr(store.store.serialize_cdr(msg, name), name)
    assert np.array_equal(points_from_cloud(read), points_from_cloud(msg), equal_nan=True)


def test_a_layout_needs_its_values() -> None:
    bare = Cloud(np.zeros((4, 3), np.float32))
    for color, sigma in ((True, False), (False, True)):
        with pytest.raises(ValueError, match='the cloud has none'):
            CloudWriter(BagField, color=color, sigma=sigma).fill(BagCloud(), bare)


@kinds
def test_a_whole_cloud_of_vga_is_quick(kind: Any, field_kind: Any) -> None:
    camera = Camera(640, 480, 480.0, 480.0, 319.5, 239.5)
    depth = np.linspace(1, 8, 480 * 640).reshape(480, 640).astype(np.float32)
    bgr = np.zeros((480, 640, 3), np.uint8)
    writer = CloudWriter(field_kind, color=True, sigma=False)
    times = []
    for _ in range(9):
        start = time.thread_time()
        writer.fill(kind(), cloud_from_depth(depth, camera, CloudParameters(), bgr=bgr))
        times.append(time.thread_time() - start)
    # 2.4 ms where this was written, where 6 are allowed; another machine may be slow.
    assert min(times) < 0.012
