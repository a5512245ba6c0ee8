"""Whatever a message holds, its reader gives what it promises or a FrameError, in bounds."""

from __future__ import annotations

import dataclasses
import struct
import time
import tracemalloc
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
from drive import DEPTH, DEPTH_INFO, IMAGE, INFO, LIDAR, ODOM, SCAN, drive
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.planar_scan import PlanarScan
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.geometry.transforms import extrinsics_from_text
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.core.types import Camera, ReferenceKind
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.messages.camera_info import camera_from_info, fill_camera_info
from depth_anything_ros.messages.depth_images import depth_from_image, inverse_depth_from_image
from depth_anything_ros.messages.encodings import DEPTH_ENCODINGS, ENCODINGS
from depth_anything_ros.messages.image_headers import read_header
from depth_anything_ros.messages.images import bgr_from_compressed, bgr_from_image
from depth_anything_ros.messages.laser_scans import scan_from_message
from depth_anything_ros.messages.point_clouds import points_from_cloud
from depth_anything_ros.messages.reference_messages import REFERENCE_TYPES, reference_from_message
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.messages.tf import put_transforms
from lab.sample_messages import SampleMessages

LENS = 'camera_optical_frame'
TF = '/tf'
LEAST_M, MOST_M = 0.1, 80.0

# Of memory that NumPy takes while one message is read: 100 times the largest of them.
MOST_BYTES = 64_000_000
MOST_S = 2.0


def by_topic() -> dict[str, Any]:
    """The first message of each topic, as rosbags' dataclasses."""
    found: dict[str, Any] = {}
    for topic, _, message in drive('room').messages:
        found.setdefault(topic, message)
    return found


GOOD = by_topic()
KINDS = {topic: REFERENCE_TYPES[GOOD[topic].__msgtype__] for topic in (DEPTH, LIDAR, SCAN)}
BGR = bgr_from_image(GOOD[IMAGE])
PICTURES = [
    cv2.imencode(extension, BGR)[1] for extension in ('.jpg', '.png', '.bmp', '.webp', '.tiff')
]
COMPRESSED = SampleMessages().store.types['sensor_msgs/msg/CompressedImage'](
    GOOD[IMAGE].header, 'jpeg', PICTURES[0].ravel()
)

# Anything that a field of the type can carry, often something near to sense.
INTEGERS = st.one_of(
    st.integers(0, 12),
    st.sampled_from([4, 8, 16, 120, 160, 480, 2**16, 50_000_000, 2**31, 2**32 - 1]),
    st.integers(0, 2**32 - 1),
)
FLOATS = st.one_of(
    st.floats(), st.floats(-10.0, 10.0), st.sampled_from([0.0, -0.0, 1.0, 1e-300, 1e300, 3.4e38])
)
# The single numbers of sensor_msgs are float32, those of geometry_msgs are not.
SINGLES = st.one_of(st.floats(width=32), st.floats(0.0, 8.0, width=32))
TEXTS = st.one_of(
    st.sampled_from([*ENCODINGS, *DEPTH_ENCODINGS, '', 'plumb_bob', 'equidistant', 'x', 'y', 'z']),
    st.text(max_size=50),
)
HOLDERS: list[Callable[[bytes], Any]] = [
    bytes,
    bytearray,
    memoryview,
    partial(array, 'B'),
    partial(np.frombuffer, dtype=np.uint8),
]


@st.composite
def bytes_like(draw: st.DrawFn, whole: bytes) -> Any:
    """The bytes of `whole`: cut, longer, with a wrong part, or others; in any container."""
    at = draw(st.integers(0, min(len(whole), draw(st.sampled_from([60, 2**20])))))
    patch = draw(st.binary(max_size=16))
    made = {
        'patched': whole[:at] + patch + whole[at + len(patch) :],
        'cut': whole[:at],
        'longer': whole + patch,
        'other': patch,
    }
    return draw(st.sampled_from(HOLDERS))(made[draw(st.sampled_from(sorted(made)))])


@st.composite
def numbers_like(draw: st.DrawFn, values: np.ndarray) -> np.ndarray:
    """As `values` with some others in it, or as many or fewer of one value."""
    made = np.array(values)
    with np.errstate(over='ignore'):
        if draw(st.booleans()):
            made[:] = draw(FLOATS)
        for place in draw(st.lists(st.integers(0, 2**20), max_size=4)) if made.size else []:
            made[place % made.size] = draw(FLOATS)
    return made[: draw(st.integers(0, made.size))] if draw(st.booleans()) else made


@st.composite
def spoilt(draw: st.DrawFn, message: Any) -> Any:
    """`message` with another value in one to three of its fields, however deep."""
    names = [field.name for field in dataclasses.fields(message) if field.name[0] != '_']
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    floats = SINGLES if message.__msgtype__.startswith('sensor_msgs') else FLOATS
    values = {name: draw(another(getattr(message, name), floats)) for name in chosen}
    return replace(message, **values)


def another(value: Any, floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """Any value of the same type."""
    if dataclasses.is_dataclass(value):
        return spoilt(value)
    if isinstance(value, np.ndarray):
        return bytes_like(value.tobytes()) if value.dtype == np.uint8 else numbers_like(value)
    if isinstance(value, list):
        items = st.sampled_from(value).flatmap(lambda item: st.just(item) | spoilt(item))
        return st.lists(items, max_size=len(value) + 1)
    for kind, strategy in ((bool, st.booleans()), (int, INTEGERS), (float, floats)):
        if isinstance(value, kind):
            return strategy
    assert isinstance(value, str), type(value)
    return TEXTS


def check_bgr(message: Any, bgr: Any) -> None:
    assert bgr.shape == (message.height, message.width, 3)
    assert bgr.dtype == np.uint8
    assert not (bgr.flags.writeable and shared(message, bgr))


def check_compressed(_: Any, bgr: Any) -> None:
    assert bgr.ndim == 3
    assert bgr.shape[2] == 3
    assert bgr.shape[0] * bgr.shape[1] <= 1_000_000
    assert bgr.dtype == np.uint8


def check_depth(message: Any, depth: Any) -> None:
    assert depth.shape == (message.height, message.width)
    assert depth.dtype == np.float32
    assert not (depth <= 0.0).any()
    assert not shared(message, depth)


def check_inverse_depth(message: Any, inverse_depth: Any) -> None:
    assert inverse_depth.shape == (message.height, message.width)
    assert not shared(message, inverse_depth)


def check_points(message: Any, points: Any) -> None:
    assert points.shape == (message.height * message.width, 3)
    assert points.dtype == np.float32
    assert not shared(message, points)


def check_scan(message: Any, scan: PlanarScan) -> None:
    assert scan.ranges_m.shape == (len(message.ranges),)
    assert np.isfinite(scan.points()).all()
    assert not np.shares_memory(scan.ranges_m, message.ranges)


def check_camera(_: Any, camera: Camera) -> None:
    assert (camera.width, camera.height) == (160, 120)
    assert min(camera.fx, camera.fy) > 0.0
    assert np.isfinite([camera.fx, camera.fy, camera.cx, camera.cy, *camera.distortion]).all()


def check_info(_: Any, out: Any) -> None:
    assert (out.width, out.height, out.binning_x, out.roi.width) == (80, 60, 0, 0)
    assert np.asarray(out.r).any()


def check_transforms(message: Any, found: tuple[list[FrameError], TransformBuffer]) -> None:
    refused, buffer = found
    assert all(error.reason == 'bad_transform' for error in refused)
    for item in message.transforms:
        try:
            transform = buffer.lookup(item.header.frame_id, item.child_frame_id, 0)
        except FrameError:
            continue
        assert np.isfinite(transform.matrix).all()


def shared(message: Any, values: np.ndarray) -> bool:
    return np.shares_memory(values, np.frombuffer(message.data, np.uint8))


def filled_info(info: Any) -> Any:
    out = replace(GOOD[INFO], roi=replace(GOOD[INFO].roi))
    fill_camera_info(out, info, 80, 60)
    return out


def heard(message: Any) -> tuple[list[FrameError], TransformBuffer]:
    buffer = TransformBuffer()
    return put_transforms(buffer, message.transforms, static=False), buffer


@dataclass(frozen=True)
class Reader:
    """A message to spoil, how it is read, and what is promised of the result."""

    good: Any
    read: Callable[[Any], Any]
    check: Callable[[Any, Any], None]


READERS = {
    'image': Reader(GOOD[IMAGE], bgr_from_image, check_bgr),
    'compressed': Reader(
        COMPRESSED, partial(bgr_from_compressed, max_pixels=1_000_000), check_compressed
    ),
    'depth': Reader(GOOD[DEPTH], depth_from_image, check_depth),
    'inverse_depth': Reader(
        replace(GOOD[DEPTH], encoding='32FC1', step=4 * (GOOD[DEPTH].step // 4)),
        inverse_depth_from_image,
        check_inverse_depth,
    ),
    'cloud': Reader(GOOD[LIDAR], points_from_cloud, check_points),
    'scan': Reader(GOOD[SCAN], scan_from_message, check_scan),
    'rectified': Reader(
        GOOD[INFO], lambda m: camera_from_info(m, 160, 120, rectified=True), check_camera
    ),
    'raw': Reader(
        replace(GOOD[INFO], d=np.array([-0.3, 0.1, 0.001, -0.002, 0.05])),
        lambda m: camera_from_info(m, 160, 120, rectified=False),
        check_camera,
    ),
    'info out': Reader(GOOD[INFO], filled_info, check_info),
    'transforms': Reader(GOOD[TF], heard, check_transforms),
}


def many(cases: int) -> settings:
    """Return the settings that try so many examples of each."""
    return settings(
        max_examples=cases,
        deadline=None,
        # Large messages are large, and a drive is made once.
        suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow],
    )


@pytest.mark.parametrize('name', READERS)
@given(data=st.data())
@many(200)
def test_any_message_gives_its_value_or_a_frame_error(name: str, data: st.DataObject) -> None:
    reader = READERS[name]
    message = data.draw(spoilt(reader.good))
    start_s = time.thread_time()
    tracemalloc.start()
    try:
        value = reader.read(message)
    except FrameError as error:
        assert error.reason.isidentifier()
        assert '\n' not in str(error)
        # It goes into diagnostics and the log.
        assert len(str(error)) < 1000
    else:
        reader.check(message, value)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MOST_BYTES
    assert time.thread_time() - start_s < MOST_S


@given(data=st.sampled_from([each.tobytes() for each in PICTURES]).flatmap(bytes_like))
@many(200)
def test_any_picture_is_decoded_or_refused(data: Any) -> None:
    message = replace(COMPRESSED, format='', data=data)
    header = read_header(bytes(message.data))
    start_s = time.thread_time()
    try:
        bgr = bgr_from_compressed(message, max_pixels=1_000_000)
    except FrameError as error:
        assert error.reason in ('bad_compressed', 'empty_image', 'image_too_large')
    else:
        # The header said so beforehand, hence its limit holds for what is decoded.
        assert header is not None
        assert bgr.shape == (header.height, header.width, 3)
        check_compressed(message, bgr)
    assert time.thread_time() - start_s < MOST_S


def test_no_format_promises_more_than_the_limit() -> None:
    small = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    lossy, lossless = [
        cv2.imencode('.webp', small, (cv2.IMWRITE_WEBP_QUALITY, quality))[1].tobytes()
        for quality in (50, 101)
    ]
    bmp = cv2.imencode('.bmp', small)[1].tobytes()
    wide = (13_000).to_bytes(2, 'little')
    header = b'GIF89a' + 2 * wide + bytes(20)
    extended = b'RIFF\0\0\0\0WEBPVP8X' + bytes(8) + 2 * (wide + b'\0')
    bits = (12_999 | 12_999 << 14).to_bytes(4, 'little')
    sides, long_sides = {256: 13_000, 257: 13_000}, {256: 13_000, 257: 4, 322: 16, 323: 13_000}
    tile = {256: 16, 257: 16, 322: 13_000, 323: 13_000}
    bombs = {
        'GIF': header,
        'BMP': bmp[:18] + 2 * (wide + b'\0\0') + bmp[26:],
        'upside down': bmp[:18] + wide + b'\0\0' + (-13_000).to_bytes(4, 'little', signed=True),
        'WebP': lossy[:26] + 2 * wide + lossy[30:],
        'lossless WebP': lossless[:21] + bits + lossless[25:],
        'extended WebP': extended,
        'TIFF': tiff('<', sides),
        'TIFF of the other end': tiff('>', sides),
        'one tile': tiff('<', tile),
        'tall tiles': tiff('>', long_sides),
    }
    for name, bomb in bombs.items():
        data = bomb + bytes(100)
        with pytest.raises(FrameError, match=r'1300[01] x 1300[01]') as raised:
            bgr_from_compressed(replace(COMPRESSED, format='', data=data))
        assert raised.value.reason == 'image_too_large', name
    for whole in (bmp, lossy, lossless, cv2.imencode('.tiff', small)[1].tobytes()):
        message = replace(COMPRESSED, format='', data=whole)
        assert bgr_from_compressed(message, max_pixels=2000).shape == (40, 50, 3)
        with pytest.raises(FrameError, match='the image is 50 x 40 pixels'):
            bgr_from_compressed(message, max_pixels=1999)


def tiff(order: str, sides: dict[int, int]) -> bytes:
    """The header of a TIFF with these tags as long words."""
    mark = b'II*\0' if order == '<' else b'MM\0*'
    entries = [struct.pack(f'{order}HHII', tag, 4, 1, side) for tag, side in sides.items()]
    return mark + struct.pack(f'{order}IH', 8, len(entries)) + b''.join(entries)


@pytest.mark.parametrize(
    'data',
    [
        # A comment of a PPM that reads like a small WebP, were the first four bytes not looked at.
        b'P6\n#    WEBPVP8 ' + bytes(10) + struct.pack('<HH', 4, 4) + b'\n13000 13000\n255\n',
        tiff('<', dict.fromkeys(range(1001), 1)),
        tiff('<', {256: 4, 257: 4}).replace(
            struct.pack('<HH', 257, 4), struct.pack('<HH', 257, 16)
        ),
        tiff('>', {256: 4, 257: 4})[:-1],
        struct.pack('<4sI', b'II*\0', 2**32 - 1),
    ],
    ids=['a PPM like a WebP', 'many tags', 'a long side', 'half a tag', 'a directory far away'],
)
def test_a_header_that_hides_its_size_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError, match='no whole header') as raised:
        bgr_from_compressed(replace(COMPRESSED, format='', data=data))
    assert raised.value.reason == 'bad_compressed'


CAMERA = drive('room').world.camera


@pytest.mark.parametrize('topic', KINDS)
@given(data=st.data())
@many(60)
def test_any_reference_gives_samples_in_the_image(topic: str, data: st.DataObject) -> None:
    message = data.draw(spoilt(GOOD[topic]))
    info = data.draw(st.none() | st.just(GOOD[DEPTH_INFO]) | spoilt(GOOD[DEPTH_INFO]))
    camera_from = extrinsics_from_text(drive('room').extrinsics(topic))
    assert camera_from is not None
    try:
        found = reference_from_message(
            KINDS[topic], message, info, LENS, CAMERA, lambda frame, stamp_ns: camera_from
        )
    except FrameError:
        return
    samples = found.samples(CAMERA, LEAST_M, MOST_M)
    assert samples.u.shape == samples.v.shape == samples.depth_m.shape
    assert ((samples.u >= -0.5) & (samples.u < CAMERA.width - 0.5)).all()
    assert ((samples.v >= -0.5) & (samples.v < CAMERA.height - 0.5)).all()
    assert ((samples.depth_m >= np.float32(LEAST_M)) & (samples.depth_m <= MOST_M)).all()
    if samples.sigma_m is not None:
        assert samples.sigma_m.shape == samples.u.shape


BACKEND = drive('room').backend()


def asked(topic: str, reference: Any, info: Any, reference_info: Any) -> Any:
    """The frame of the first image, with that reference and those intrinsics messages it."""
    messages = SceneMessages(TransformBuffer())
    messages.kind = KINDS[topic]
    messages.camera_info, messages.reference_info = info, reference_info
    messages.add_reference(reference)
    given_ = {'reference.extrinsics': drive('room').extrinsics(topic)}
    parameters = parameters_from_flat(given_)
    stamp_ns = ns_from_stamp(GOOD[IMAGE].header.stamp)
    scene = MessageScene(messages, LENS, stamp_ns, (BGR.shape[1], BGR.shape[0]), parameters)
    return DepthStream(BACKEND, parameters).process(BGR, stamp_ns, scene)


@pytest.mark.parametrize('topic', KINDS)
@given(data=st.data())
@many(60)
def test_nothing_messages_an_image_costs_the_frame(topic: str, data: st.DataObject) -> None:
    reference = data.draw(spoilt(GOOD[topic]))
    info = data.draw(st.just(GOOD[INFO]) | spoilt(GOOD[INFO]))
    beside = data.draw(st.none() | st.just(GOOD[DEPTH_INFO]) | spoilt(GOOD[DEPTH_INFO]))
    frame = asked(topic, reference, info, beside)
    assert frame.inverse_depth.shape == BGR.shape[:2]
    if frame.depth_m is None:
        assert frame.scale.reason
        assert frame.cloud() is None
        return
    known = frame.depth_m[~np.isnan(frame.depth_m)]
    assert ((known >= np.float32(LEAST_M)) & (known <= np.float32(MOST_M))).all()
    assert (np.isnan(frame.sigma_m) == np.isnan(frame.depth_m)).all()


GARBAGE = st.one_of(
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3.4e38]),
    st.floats(width=32).filter(lambda value: not 0.0 < value < 1000.0),
)


def garbage(topic: str, value: float) -> Any:
    """The first reference with nothing but `value` in it."""
    good = GOOD[topic]
    if topic == SCAN:
        return replace(good, ranges=np.full_like(good.ranges, value))
    if topic == DEPTH:
        metres = np.full((good.height, good.width), value, np.float32)
        return replace(
            good, encoding='32FC1', step=4 * good.width, data=metres.view(np.uint8).ravel()
        )
    # x, y and z are its first three fields, float32.
    points = np.full((good.height * good.width, 3), value, np.float32)
    row_step = 12 * good.width
    return replace(good, point_step=12, row_step=row_step, data=points.view(np.uint8).ravel())


@pytest.mark.parametrize('topic', KINDS)
@given(value=GARBAGE)
@many(40)
def test_garbage_gives_no_metres(topic: str, value: float) -> None:
    frame = asked(topic, garbage(topic, value), GOOD[INFO], GOOD[DEPTH_INFO])
    assert frame.depth_m is None
    assert frame.cloud() is None
    assert not frame.scale.valid
    assert frame.scale.reason == 'too_few_samples'


def test_what_is_not_garbage_gives_metres() -> None:
    for topic in (DEPTH, LIDAR, SCAN):
        assert asked(topic, GOOD[topic], GOOD[INFO], GOOD[DEPTH_INFO]).scale.valid
    others = {ReferenceKind.GROUND_PLANE, ReferenceKind.ODOMETRY}
    assert set(KINDS.values()) == set(ReferenceKind) - others


@given(data=st.data())
@many(60)
def test_no_odometry_costs_the_frame(data: st.DataObject) -> None:
    messages = SceneMessages(TransformBuffer())
    messages.kind, messages.camera_info = ReferenceKind.ODOMETRY, GOOD[INFO]
    for *_, message in drive('room').odometry[:3]:
        messages.add_reference(data.draw(st.just(message) | spoilt(message)))
    parameters = parameters_from_flat({'reference.extrinsics': drive('room').extrinsics(ODOM)})
    stamp_ns = ns_from_stamp(GOOD[IMAGE].header.stamp)
    scene = MessageScene(messages, LENS, stamp_ns, (BGR.shape[1], BGR.shape[0]), parameters)
    frame = DepthStream(BACKEND, parameters).process(BGR, stamp_ns, scene)
    assert frame.depth_m is None
    assert frame.scale.reason
