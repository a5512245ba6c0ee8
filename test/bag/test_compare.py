from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from written_bag import MAKE, write_bag

from depth_anything_ros.bag.compare import compare_bags
from depth_anything_ros.bag.compare_results import CompareLimits, Comparison, seconds
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.types import Camera, DepthEncoding
from depth_anything_ros.messages.compressed_depth import fill_compressed_depth
from lab.topic_names import TRUTH
from lab.world.sensors import RangeNoise, Scanner

Messages = list[tuple[str, int, Any]]
Array = np.ndarray[Any, Any]

START = 1_700_000_000_000_000_000
PERIOD = 100_000_000
LATE = 20_000_000
FRAMES = 8
HEIGHT, WIDTH = 24, 32
FRAME = 'camera_optical_frame'
METRES = DepthEncoding.METRES
NODE = '/depth_anything'
DEPTH, POINTS = f'{NODE}/depth/image', f'{NODE}/points'
SIGMA, INFO, SCAN = f'{NODE}/depth/sigma', f'{NODE}/depth/camera_info', f'{NODE}/scan'
IMAGE, RAW, COLOR = (f'{NODE}/relative/{name}' for name in ('image', 'raw', 'image_color'))


def scene(index: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Array:
    """Metres: a floor, a wall and a box that goes from left to right."""
    height, width = size
    depth = np.minimum(6.0, 40.0 / (np.arange(height)[:, None] + 1.0)) * np.ones((1, width))
    left = width * (2 + 2 * index) // 32
    depth[height // 4 : height // 2, left : left + width // 4] = 2.0 + 0.05 * index
    return depth.astype(np.float32)


def cloud(stamp: int, frame: str, depth: Array) -> Any:
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    points = np.stack([(u - 16) / 30 * depth, (v - 12) / 30 * depth, depth], -1)
    kind = 'sensor_msgs/msg/PointField'
    fields = [MAKE._make(kind, name, 4 * place, 7, 1) for place, name in enumerate('xyz')]
    data = points.astype(np.float32).view(np.uint8).reshape(-1)
    height, width = depth.shape
    layout = fields, False, 12, 12 * width, data, False
    header = MAKE.header(stamp, frame)
    return MAKE._make('sensor_msgs/msg/PointCloud2', header, height, width, *layout)


def outputs(
    frames: Iterable[int] = range(FRAMES),
    change: Callable[[Array], Array] = lambda depth: depth,
    content: Callable[[int], Array] = scene,
    frame: str = FRAME,
    colormap: int = cv2.COLORMAP_INFERNO,
    late: int = LATE,
) -> Messages:
    """What the node publishes for these frames; `change` takes and gives metres."""
    messages: Messages = []
    for index in frames:
        stamp = START + index * PERIOD
        depth = change(content(index).copy())
        raw = np.nan_to_num(100.0 / depth, nan=0.0)
        relative = (raw - raw.min()) / max(np.ptp(raw), 1e-9)
        color = cv2.applyColorMap(np.uint8(relative * 255), colormap)
        for topic, message in (
            (IMAGE, MAKE.metres(stamp, frame, relative.astype(np.float32))),
            (RAW, MAKE.metres(stamp, frame, raw.astype(np.float32))),
            (COLOR, MAKE.color(stamp, frame, color)),
            (DEPTH, MAKE.metres(stamp, frame, depth)),
            (POINTS, cloud(stamp, frame, depth)),
        ):
            messages.append((topic, stamp + late, message))
    return messages


def truth(frames: Iterable[int] = range(FRAMES)) -> Messages:
    stamps = [START + index * PERIOD for index in frames]
    return [
        (TRUTH, stamp, MAKE.metres(stamp, FRAME, scene((stamp - START) // PERIOD)))
        for stamp in stamps
    ]


def only(topics: str | tuple[str, ...], messages: Messages) -> Messages:
    return [each for each in messages if each[0] in topics]


@pytest.fixture
def compare(tmp_path: Path) -> Callable[..., Comparison]:
    def run(a: Messages, b: Messages, **options: Any) -> Comparison:
        return compare_bags(
            write_bag(tmp_path / 'a', a), write_bag(tmp_path / 'b', b, 'sqlite3'), **options
        )

    return run


Compare = Callable[..., Comparison]


def failed(found: Comparison) -> set[tuple[str, str]]:
    return {(failure.topic, failure.what) for failure in found.failures}


def test_equal_bags_pass(compare: Compare) -> None:
    found = compare(outputs(), outputs())
    assert found.failures == found.notes == found.truth == ()
    measured = {each.topic: each.measured for each in found.topics}
    assert measured == {
        DEPTH: 'metric',
        POINTS: 'cloud',
        IMAGE: 'relative',
        RAW: 'relative',
        COLOR: '',
    }
    for each in found.topics:
        assert (each.frames_a, each.frames_b) == (FRAMES, FRAMES)
        assert (each.missing, each.extra) == (0, 0)
        assert each.latency_a_ms == each.latency_b_ms == pytest.approx(20.0)
    depth = found.topics[0].figures
    assert {name: figure.mean for name, figure in depth.items()} == {
        'coverage': 1.0,
        'abs_rel': 0.0,
        'rmse_m': 0.0,
        'delta1': 1.0,
    }
    assert depth['abs_rel'].frames == FRAMES


def test_another_colormap_is_no_difference(compare: Compare) -> None:
    found = compare(outputs(), outputs(colormap=cv2.COLORMAP_JET))
    assert found.failures == ()


def test_a_scale_error_of_metric_depth_is_caught(compare: Compare) -> None:
    found = compare(outputs(), outputs(change=lambda depth: depth * np.float32(1.05)))
    assert failed(found) == {(DEPTH, 'abs_rel'), (POINTS, 'cloud_m'), (POINTS, 'cloud_rel')}
    (failure,) = (each for each in found.failures if each.topic == DEPTH)
    assert len(failure.worst) == 3
    for stamp, value in failure.worst:
        assert (stamp - START) % PERIOD == 0
        assert value == pytest.approx(0.05, rel=1e-3)
    assert f'{DEPTH} abs_rel is beyond 0.01 in 8 of 8 frames, mean 0.05, worst: 17' in str(failure)
    assert str(failure) in found.table()


def test_compressed_depth_is_compared_as_metres(compare: Compare) -> None:
    def packed(factor: float) -> Messages:
        messages: Messages = []
        for _, late, image in only(DEPTH, outputs()):
            depth = np.frombuffer(image.data, np.float32).reshape(HEIGHT, WIDTH)
            message = MAKE.jpeg(START, FRAME, np.zeros((8, 8, 3), np.uint8))
            message.header = image.header
            fill_compressed_depth(message, depth * np.float32(factor), METRES, 80.0, 80.0)
            messages.append((f'{DEPTH}/compressedDepth', late, message))
        return messages

    found = compare(packed(1.0), packed(1.05))
    assert failed(found) == {(f'{DEPTH}/compressedDepth', 'abs_rel')}
    assert found.topics[0].figures['abs_rel'].mean == pytest.approx(0.05, rel=0.03)


def test_a_scale_error_of_a_near_cloud_is_caught_by_its_range(compare: Compare) -> None:
    near = outputs(content=lambda index: scene(index) / 20)
    found = compare(only(POINTS, near), only(POINTS, outputs(content=lambda x: scene(x) / 19)))
    assert failed(found) == {(POINTS, 'cloud_rel')}
    assert found.topics[0].figures['cloud_m'].worst[0][1] < 0.05


def scans(change: Callable[[Array], Array] = lambda ranges: ranges, **geometry: Any) -> Messages:
    """A scan of one row per frame: the box, nothing beyond 4 m, and two beams not known."""
    messages: Messages = []
    for index in range(FRAMES):
        stamp, ranges = START + index * PERIOD, scene(index)[HEIGHT // 3]
        ranges = np.where(ranges > 4.0, np.float32(np.inf), ranges)
        ranges[-2:] = np.nan
        ranges = change(ranges).astype(np.float32)
        scanner = Scanner(ranges.size, 0.1, 8.0, RangeNoise(0.0, 0.0), 10.0)
        message = MAKE.scan(stamp, 'camera_scan', scanner, ranges)
        for name, value in geometry.items():
            setattr(message, name, value)
        messages.append((SCAN, stamp + LATE, message))
    return messages


def test_a_scale_error_of_a_scan_is_caught(compare: Compare) -> None:
    found = compare(scans(), scans(lambda ranges: ranges * 1.05))
    assert failed(found) == {(SCAN, 'abs_rel')}
    (topic,) = found.topics
    assert (topic.measured, topic.figures['coverage'].mean) == ('scan', 1.0)
    assert topic.figures['abs_rel'].mean == pytest.approx(0.05, rel=1e-3)
    assert compare_bags(found.a, found.a).failures == ()


@pytest.mark.parametrize(
    ('change', 'lost'),
    [
        (lambda x: np.where(np.isinf(x), np.nan, x), np.isinf),
        (lambda x: np.where(np.isinf(x), -x, x), np.isinf),
        (lambda x: np.where(np.isfinite(x), np.inf, x), np.isfinite),
        (lambda x: np.where(np.isnan(x), 3.0, x), np.isnan),
    ],
)
def test_beams_that_changed_in_kind_are_caught(
    compare: Compare, change: Callable[[Array], Array], lost: Callable[[Array], Array]
) -> None:
    found = compare(scans(), scans(change))
    assert failed(found) == {(SCAN, 'coverage')}
    share = np.mean([np.mean(lost(message.ranges)) for _, _, message in scans()])
    assert found.topics[0].figures['coverage'].mean == pytest.approx(1.0 - share)
    assert f'{SCAN} coverage is below 0.95 in 8 of 8 frames' in found.table()


def test_scans_of_other_bearings_cannot_be_compared(compare: Compare) -> None:
    found = compare(scans(), scans(angle_min=0.0))
    assert failed(found) == {(SCAN, 'unreadable')}
    assert 'A has 32 beams from -180.00 by 11.25 degrees, and B 32 beams from 0.00' in str(
        found.failures[0]
    )


def sigmas(by: float) -> Messages:
    pixels = np.full((HEIGHT, WIDTH), 0.1 * by, np.float32)
    pixels[:3] = np.nan
    return [(SIGMA, START, MAKE.metres(START, FRAME, pixels))]


@pytest.mark.parametrize('by', [0.2, 1.06, 5.0])
def test_another_sigma_is_caught(compare: Compare, by: float) -> None:
    found = compare(sigmas(1.0), sigmas(by))
    assert failed(found) == {(SIGMA, 'sigma_rel')}
    figures = found.topics[0].figures
    assert figures.keys() == {'coverage', 'sigma_rel'}
    assert figures['sigma_rel'].mean == pytest.approx(abs(by - 1.0), rel=1e-4)
    assert compare_bags(found.a, found.b, CompareLimits(sigma_rel=9.0)).failures == ()


@pytest.mark.parametrize(
    ('changes', 'what', 'said'),
    [
        ({'k': np.arange(9.0)}, {'K'}, "K '0 1 2 3 4 5 6 7 8' and not '30 0 16 0 30 12 0 0 1'"),
        ({'p': np.arange(12.0)}, {'P'}, "P '0 1 2 3"),
        ({'d': np.full(5, 0.125)}, {'D'}, "D '0.125 0.125 0.125 0.125 0.125' and not '0 0 0 0 0'"),
        ({'width': 64, 'height': 48}, {'size'}, "size '64x48' and not '32x24'"),
        ({'distortion_model': 'equidistant'}, {'distortion_model'}, "model 'equidistant'"),
        ({}, set(), 'B is as good as A'),
    ],
)
def test_another_calibration_is_caught(
    compare: Compare, changes: dict[str, Any], what: set[str], said: str
) -> None:
    def bag(changes: dict[str, Any]) -> Messages:
        camera = Camera(WIDTH, HEIGHT, 30.0, 30.0, 16.0, 12.0)
        message = MAKE.camera_info(START, FRAME, camera)
        for name, value in changes.items():
            setattr(message, name, value)
        return [(INFO, START, message)]

    found = compare(bag({}), bag(changes))
    assert failed(found) == {(INFO, name) for name in what}
    assert found.topics[0].measured == 'calibration'
    assert said in found.table()


def test_millimetres_are_compared_as_metres(compare: Compare) -> None:
    topic = '/camera/depth_registered/image_raw'

    def bag(scale: float) -> Messages:
        stamps = [START + index * PERIOD for index in range(FRAMES)]
        millimetres = [np.uint16(scene(index) * 1000 * scale) for index in range(FRAMES)]
        for pixels in millimetres:
            pixels[0, 0] = 0
        return [
            (topic, stamp, MAKE.millimetres(stamp, FRAME, pixels))
            for stamp, pixels in zip(stamps, millimetres, strict=True)
        ]

    found = compare(bag(1.0), bag(1.05))
    assert failed(found) == {(topic, 'abs_rel')}
    assert found.topics[0].figures['abs_rel'].mean == pytest.approx(0.05, abs=1e-3)
    assert found.topics[0].figures['rmse_m'].mean < 0.5


@pytest.mark.parametrize('topic', [DEPTH, IMAGE, RAW])
def test_frames_two_late_in_content_are_caught_by_any_depth(compare: Compare, topic: str) -> None:
    late = outputs(content=lambda index: scene(max(0, index - 2)))
    found = compare(only(topic, outputs()), only(topic, late))
    assert (topic, 'abs_rel' if topic == DEPTH else 'ssi_error') in failed(found)


def test_stamps_two_frames_off_are_caught_by_any_topic(compare: Compare) -> None:
    shifted = outputs(range(2, FRAMES + 2), content=lambda index: scene(index - 2))
    found = compare(outputs(), shifted)
    assert {(topic, what) for topic in (COLOR, DEPTH) for what in ('missing', 'extra')} <= failed(
        found
    )
    (missing,) = (x for x in found.failures if (x.topic, x.what) == (COLOR, 'missing'))
    assert [stamp for stamp, _ in missing.worst] == [START, START + PERIOD]
    assert 'has 2 of 8 frames only in A' in str(missing)
    assert (DEPTH, 'abs_rel') in failed(found)


def test_one_bad_frame_of_many_is_named(compare: Compare) -> None:
    def content(index: int) -> Array:
        return scene(index) * np.float32(1.02 if index == 5 else 1.0)

    found = compare(only(DEPTH, outputs()), only(DEPTH, outputs(content=content)))
    assert failed(found) == {(DEPTH, 'abs_rel')}
    figure = found.topics[0].figures['abs_rel']
    assert (figure.beyond, figure.frames) == (1, FRAMES)
    assert figure.worst[0] == (START + 5 * PERIOD, pytest.approx(0.02, rel=1e-3))
    assert found.failures[0].worst[0][0] == START + 5 * PERIOD
    assert seconds(START + 5 * PERIOD) == '1700000000.500000000'
    assert '1700000000.500000000 (0.02)' in found.table()


def test_dropped_topics_are_caught(compare: Compare) -> None:
    found = compare(outputs(), [x for x in outputs() if x[0] not in (POINTS, COLOR)])
    assert failed(found) == {(POINTS, 'dropped'), (COLOR, 'dropped')}
    assert f'{POINTS} is not in B, and has 8 messages in A' in found.table()


def test_a_topic_that_went_silent_is_dropped(tmp_path: Path) -> None:
    a = write_bag(tmp_path / 'a', outputs())
    rest = [x for x in outputs() if x[0] != DEPTH]
    b = write_bag(tmp_path / 'b', rest, extra_topics=((DEPTH, 'sensor_msgs/msg/Image'),))
    assert failed(compare_bags(a, b)) == {(DEPTH, 'dropped')}


def test_a_wrong_frame_is_caught(compare: Compare) -> None:
    b = outputs(range(5)) + outputs(range(5, FRAMES), frame='camera_link')
    found = compare(outputs(), b)
    assert failed(found) == {(x, 'frame_id') for x in (DEPTH, POINTS, IMAGE, RAW, COLOR)}
    failure = found.failures[0]
    assert f"has frame_id 'camera_link' and not '{FRAME}' in 3 of 8 frames" in str(failure)
    assert [stamp for stamp, _ in failure.worst] == [START + x * PERIOD for x in (5, 6, 7)]


def test_changes_of_encoding_and_type_are_caught(compare: Compare) -> None:
    stamp = START
    mono = np.zeros((HEIGHT, WIDTH), np.uint8)
    color = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    a = [
        ('/image', stamp, MAKE.color(stamp, FRAME, color)),
        ('/jpeg', stamp, MAKE.jpeg(stamp, FRAME, color)),
        (DEPTH, stamp, MAKE.metres(stamp, FRAME, scene(0))),
    ]
    png = MAKE.jpeg(stamp, FRAME, color)
    png.format = 'png'
    b = [
        ('/image', stamp, MAKE.image(stamp, FRAME, 'mono8', mono)),
        ('/jpeg', stamp, png),
        (DEPTH, stamp, MAKE.millimetres(stamp, FRAME, np.uint16(scene(0) * 1000))),
    ]
    found = compare(a, b)
    assert failed(found) == {(x, 'encoding') for x in ('/image', '/jpeg', DEPTH)}
    assert "has encoding 'mono8' and not 'bgr8' in 1 of 1 frames" in found.table()
    assert next(x for x in found.topics if x.topic == DEPTH).figures['abs_rel'].mean < 1e-3


def test_another_type_is_caught(compare: Compare) -> None:
    a = [('/camera', START, MAKE.color(START, FRAME, np.zeros((9, 9, 3), np.uint8)))]
    b = [('/camera', START, MAKE.jpeg(START, FRAME, np.zeros((9, 9, 3), np.uint8)))]
    found = compare(a, b)
    assert failed(found) == {('/camera', 'type')}


def test_frames_may_be_missing_as_limits_allow(compare: Compare) -> None:
    b = outputs([0, 1, 3, 4, 5, 6, 8])
    found = compare(outputs(), b, limits=CompareLimits(missing=2, extra=1))
    assert found.failures == ()
    assert all((each.missing, each.extra) == (2, 1) for each in found.topics)
    strict = compare_bags(found.a, found.b, CompareLimits(missing=1, extra=1))
    assert {what for _, what in failed(strict)} == {'missing'}
    (first, *_) = strict.failures
    assert [stamp for stamp, _ in first.worst] == [START + 2 * PERIOD, START + 7 * PERIOD]


def test_bags_without_a_common_stamp_never_pass(compare: Compare) -> None:
    later = [(topic, at + 5, message) for topic, at, message in outputs(range(20, 28))]
    found = compare(outputs(), later, limits=CompareLimits(missing=99, extra=99))
    assert {what for _, what in failed(found)} == {'unmatched'}
    assert '1700000000.000000000 and 1700000002.000000000' in str(found.failures[0])


def test_latency_may_not_grow(compare: Compare) -> None:
    found = compare(outputs(), outputs(late=LATE + 60_000_000))
    assert {what for _, what in failed(found)} == {'latency_ms'}
    assert 'comes 80.0 ms after its stamps, in A 20.0 ms' in str(found.failures[0])
    assert '+60.0' in found.table()
    faster = compare_bags(found.b, found.a)
    assert faster.failures == ()
    assert faster.topics[0].latency_a_ms == pytest.approx(80.0)


def test_latency_by_another_clock_is_not_judged(compare: Compare) -> None:
    found = compare(outputs(), outputs(late=30 * 10**9))
    assert found.failures == ()
    assert found.topics[0].latency_b_ms is None


def test_relative_depth_that_flickers_more_on_still_pictures_is_caught(compare: Compare) -> None:
    picture = cv2.applyColorMap(np.uint8(np.arange(HEIGHT * WIDTH) % 251), cv2.COLORMAP_JET)
    picture = picture.reshape(HEIGHT, WIDTH, 3)
    pictures = [
        ('/camera/image_raw', stamp, MAKE.color(stamp, FRAME, picture))
        for stamp in range(START, START + FRAMES * PERIOD, PERIOD)
    ]

    def steady(share: float) -> Messages:
        wave = 1.0 + share * np.sign(np.sin(np.arange(WIDTH)))
        still = scene(0)
        depths = [still if index % 2 else still * wave for index in range(FRAMES)]
        return only(RAW, outputs(content=lambda index: np.float32(depths[index])))

    a, loose = [*pictures, *steady(0.0)], CompareLimits(ssi_error=9.0, rank_correlation=0.0)
    found = compare(a, [*pictures, *steady(0.1)], limits=loose)
    assert failed(found) == {(RAW, 'flicker')}
    (figures,) = (each.figures for each in found.topics if each.topic == RAW)
    assert figures['flicker'].mean == pytest.approx(0.1, rel=0.3)
    assert figures['flicker'].frames == FRAMES - 1


def test_relative_depth_upside_down_is_caught(compare: Compare) -> None:
    def upside_down(messages: Messages) -> Messages:
        for topic, _, message in messages:
            if topic == IMAGE:
                message.data = (1 - message.data.view(np.float32)).view(np.uint8)
        return messages

    found = compare(only(IMAGE, outputs()), upside_down(only(IMAGE, outputs())))
    assert failed(found) == {(IMAGE, 'ssi_error'), (IMAGE, 'rank_correlation')}


def test_far_pixels_of_relative_depth_are_zero_and_known(compare: Compare) -> None:
    """The lowest value of ~/relative/image is 0; as a depth it would be unknown."""

    def forget(messages: Messages) -> Messages:
        for _, _, message in messages:
            values = message.data.view(np.float32)
            message.data = np.where(values == 0, np.float32(0.6), values).view(np.uint8)
        return messages

    found = compare(only(IMAGE, outputs()), forget(only(IMAGE, outputs())))
    assert (IMAGE, 'ssi_error') in failed(found)
    assert found.topics[0].figures['coverage'].mean == 1.0


@pytest.mark.parametrize('share', [0.3, 1.0])
def test_depth_that_became_unknown_is_caught(compare: Compare, share: float) -> None:
    def hole(depth: Array) -> Array:
        depth[:, : int(WIDTH * share)] = np.nan
        return depth

    topics = (DEPTH, POINTS)
    found = compare(only(topics, outputs()), only(topics, outputs(change=hole)))
    assert {(DEPTH, 'coverage'), (POINTS, 'coverage')} <= failed(found)
    assert compare_bags(found.b, found.b).failures == ()


def test_what_was_not_measured_is_said_above_the_verdict(compare: Compare, tmp_path: Path) -> None:
    def bag(value: float) -> Messages:
        pixels = np.full((HEIGHT, WIDTH), value, np.float32)
        text = MAKE._make('std_msgs/msg/String', str(value))
        thermal = '/thermal/image', START, MAKE.metres(START, FRAME, pixels)
        return [thermal, ('/mode', START, text), *only((COLOR, IMAGE), outputs())]

    found = compare(bag(1.0), bag(2.0))
    assert found.failures == ()
    assert found.table().splitlines()[-3:] == [
        f'only stamps compared: {COLOR}, /thermal/image',
        'only counted: /mode',
        'B is as good as A, within the limits',
    ]
    measured = compare_bags(found.a, found.b, topics=[IMAGE]).table()
    assert 'only' not in measured
    # What failed is not a part of the verdict that it is good.
    b = write_bag(tmp_path / 'dropped', bag(1.0)[:1])
    dropped = compare_bags(found.a, b).table()
    assert 'only stamps compared: /thermal/image\n3 checks failed' in dropped


def test_frames_that_cannot_be_compared_are_named(compare: Compare) -> None:
    b = only((DEPTH, POINTS), outputs())
    small = scene(0)[::2, ::2].copy()
    b[0] = (DEPTH, b[0][1], MAKE.metres(START, FRAME, small))
    b[2][2].step = 3
    b[3][2].fields = b[3][2].fields[:2]
    found = compare(only((DEPTH, POINTS), outputs()), b)
    assert failed(found) == {(DEPTH, 'unreadable'), (POINTS, 'unreadable')}
    texts = [str(failure) for failure in found.failures]
    assert any(
        'A has 32x24 pixels, and B 16x12 pixels; first: 1700000000.000000000' in x for x in texts
    )
    assert any('step is 3 bytes' in x and '1700000000.100000000' in x for x in texts)
    assert any("no field 'z'" in x for x in texts)
    assert found.topics[0].figures['abs_rel'].frames == FRAMES - 2


def test_the_order_within_the_bags_does_not_matter(compare: Compare) -> None:
    """Received out of order; two frames have one stamp, the second differs."""

    def bag(order: list[int]) -> Messages:
        frames = only(DEPTH, outputs())
        frames.append((DEPTH, 0, MAKE.metres(START + 3 * PERIOD, FRAME, scene(7))))
        late = START + 10 * PERIOD
        return [(DEPTH, late + place, frames[at][2]) for place, at in enumerate(order)]

    found = compare(bag([0, 1, 2, 3, 4, 5, 6, 7, 8]), bag([7, 6, 3, 2, 8, 0, 1, 5, 4]))
    assert found.failures == ()
    assert found.topics[0].figures['abs_rel'].frames == FRAMES + 1
    assert found.topics[0].figures['abs_rel'].mean == 0.0


def test_topics_without_stamps_are_counted_and_may_not_be_dropped(compare: Compare) -> None:
    def text(value: str) -> Any:
        return MAKE._make('std_msgs/msg/String', value)

    a = [('/state', START + x, text('a')) for x in range(5)] + only(COLOR, outputs())
    a += [('/rosout', START, text('a')), ('/mode', START, text('a'))]
    b = [('/state', START, text('b')), *only(COLOR, outputs()), ('/new', START, text('b'))]
    found = compare(a, b)
    assert failed(found) == {('/mode', 'dropped')}
    state = next(x for x in found.topics if x.topic == '/state')
    assert (state.frames_a, state.frames_b, state.missing) == (5, 1, None)
    assert found.notes == ('only B has /new: nothing in A to compare with',)
    assert '/rosout' not in found.table()
    named = compare_bags(found.a, found.b, topics=['/rosout'])
    assert failed(named) == {('/rosout', 'dropped')}


def test_diagnostics_are_counted(compare: Compare) -> None:
    def bag(stamp: int) -> Messages:
        message = MAKE._make('diagnostic_msgs/msg/DiagnosticArray', MAKE.header(stamp, ''), [])
        return [('/diagnostics', START, message)]

    found = compare(bag(START), bag(START + 12345))
    assert found.failures == ()
    assert found.topics[0].missing is None


def test_a_choice_of_topics(compare: Compare) -> None:
    wrong = outputs(change=lambda depth: depth * 2)
    found = compare(outputs(), wrong, topics=[COLOR])
    assert [each.topic for each in found.topics] == [COLOR]
    assert found.failures == found.notes == ()
    with pytest.raises(SettingError, match='has no topic /nothing: it has /depth_anything/depth'):
        compare_bags(found.a, found.b, topics=['/nothing'])
    more = write_bag(found.a.with_name('more'), [*outputs(), ('/new', START, outputs()[0][2])])
    with pytest.raises(SettingError, match=r'only .*more has topic /new: name one that .*a has'):
        compare_bags(found.a, more, topics=['/new'])


def test_better_against_the_truth_is_no_failure_and_worse_is(compare: Compare) -> None:
    def scaled(by: float) -> Messages:
        return outputs(change=lambda depth: depth * np.float32(by)) + truth()

    loose = {'abs_rel': 1.0, 'cloud_m': 9.0, 'cloud_rel': 9.0}
    found = compare(scaled(1.04), scaled(1.08), limits=CompareLimits(**loose), truth=TRUTH)
    assert failed(found) == {(DEPTH, 'truth_worse')}
    (failure,) = found.failures
    assert 'abs_rel against ground truth grows from 0.04 to 0.08' in str(failure)
    assert failure.worst[0][1] == pytest.approx(0.08, rel=1e-3)
    results = {each.topic: each for each in found.truth}
    assert set(results) == {DEPTH, IMAGE, RAW}
    assert results[DEPTH].a is not None
    assert results[DEPTH].a['abs_rel'] == pytest.approx(0.04, rel=1e-3)
    # The network's inverse depth against that of the truth, whatever its scale.
    assert results[RAW].b is not None
    assert results[RAW].b['ssi_error'] < 1e-3
    better = compare_bags(found.b, found.a, CompareLimits(**loose), truth=TRUTH)
    assert better.failures == ()
    allowed = CompareLimits(**loose, truth_worse=0.05)
    assert compare_bags(found.a, found.b, allowed, truth=TRUTH).failures == ()


def test_only_frames_of_all_three_count_against_the_truth(compare: Compare) -> None:
    def content(index: int) -> Array:
        return scene(index) * np.float32(2.0 if index == 7 else 1.0)

    a, b = outputs(content=content) + truth(), outputs(range(7)) + truth()
    found = compare(a, b, topics=[DEPTH], limits=CompareLimits(missing=1), truth=TRUTH)
    (depth,) = found.truth
    assert depth.frames == 7
    assert depth.a is not None
    assert depth.a['abs_rel'] == 0.0


def test_depth_that_only_b_has_is_shown_against_the_truth_of_a(compare: Compare) -> None:
    found = compare(truth(), truth() + outputs(change=lambda x: x * 2), truth=TRUTH)
    assert found.failures == ()
    depth = next(x for x in found.truth if x.topic == DEPTH)
    assert depth.a is None
    assert depth.b is not None
    assert depth.b['abs_rel'] == pytest.approx(1.0)
    alone = compare_bags(found.a, found.b, topics=[DEPTH], truth=TRUTH)
    assert [x.topic for x in alone.truth] == [DEPTH]


def test_the_truth_is_sampled_at_the_size_of_the_depth(compare: Compare) -> None:
    half = outputs(
        content=lambda index: cv2.resize(
            scene(index), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST_EXACT
        )
    )
    found = compare(truth(), truth() + only(DEPTH, half), truth=TRUTH)
    assert found.truth[0].b is not None
    assert found.truth[0].b['abs_rel'] == pytest.approx(0.0, abs=1e-6)


def test_depth_of_another_camera_is_not_judged_by_the_truth(compare: Compare) -> None:
    other = [x for x in outputs(frame='rear') if x[0] == DEPTH]
    found = compare(truth() + other, truth() + other, truth=TRUTH)
    assert found.truth == ()
    assert found.notes == (f'no depth shares stamps and frame with ground truth {TRUTH}',)


@pytest.mark.parametrize('name', [COLOR, RAW, '/state', '/nothing'])
def test_what_is_no_truth_is_refused(compare: Compare, name: str) -> None:
    bag = [*outputs(), ('/state', START, MAKE._make('std_msgs/msg/String', 'x'))]
    with pytest.raises(SettingError, match=f'topic {name}'):
        compare(bag, bag, truth=name)


def test_json_is_plain_and_complete(compare: Compare) -> None:
    b = outputs(range(FRAMES - 1), change=lambda depth: depth * np.float32(1.05)) + truth()
    found = compare(outputs() + truth(), b, truth=TRUTH)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    content = json.loads(found.to_json(), parse_constant=refuse)
    assert content['passed'] is False
    assert content['a'] == str(found.a)
    depth = next(x for x in content['topics'] if x['topic'] == DEPTH)
    assert depth['missing'] == 1
    assert depth['figures']['abs_rel']['mean'] == pytest.approx(0.05, rel=1e-3)
    # Off, which is infinity.
    assert depth['figures']['rmse_m']['limit'] is None
    assert {x['what'] for x in content['failures']} >= {'missing', 'abs_rel', 'truth_worse'}
    assert json.loads(compare_bags(found.a, found.a).to_json())['passed'] is True


def test_the_table_has_a_row_for_each_topic_and_a_verdict(compare: Compare) -> None:
    found = compare(outputs(), [x for x in outputs() if x[0] != POINTS])
    lines = found.table().splitlines()
    assert lines[0].split()[:5] == ['topic', 'measured', 'A', 'B', 'missing']
    rows = {line.split()[0]: line.split() for line in lines[1:6]}
    assert rows[POINTS][1:] == ['-', '8', '0', '-', '-', '-', 'FAIL']
    assert rows[COLOR][1:] == ['stamps', '8', '8', '0', '0', '+0.0', 'ok']
    assert rows[DEPTH][7] == 'ok'
    assert lines[-1] == '1 check failed'
    good = compare_bags(found.b, found.b).table()
    assert good.splitlines()[-1] == 'B is as good as A, within the limits'


def test_a_bag_that_was_cut_off_is_compared_and_said(tmp_path: Path) -> None:
    size = (HEIGHT * 6, WIDTH * 6)
    messages = outputs(range(24), content=lambda index: scene(index % FRAMES, size))
    a, b = write_bag(tmp_path / 'a', messages), write_bag(tmp_path / 'b', messages)
    file = b / 'b.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    found = compare_bags(a, b)
    assert {what for _, what in failed(found)} == {'missing'}
    assert 'b.mcap ends in the middle of a record' in found.notes[0]
    with pytest.raises(DepthAnythingError, match='does not exist'):
        compare_bags(a, tmp_path / 'c')


def test_an_empty_bag_is_no_measure(tmp_path: Path) -> None:
    a, b = write_bag(tmp_path / 'a', []), write_bag(tmp_path / 'b', outputs())
    with pytest.raises(SettingError, match='has no messages to compare'):
        compare_bags(a, b)
    assert {what for _, what in failed(compare_bags(b, a))} == {'dropped'}


def test_progress_reaches_its_end(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    a = write_bag(tmp_path / 'a', outputs() + truth())
    compare_bags(a, a, truth=TRUTH, on_progress=lambda done, total: heard.append((done, total)))
    assert [done for done, _ in heard] == list(range(1, len(heard) + 1))
    assert heard[-1][0] == heard[-1][1]
    # The total grows by whole topics, as their pairs become known.
    assert len({total for _, total in heard}) < 15 < len(heard)


@pytest.mark.parametrize('value', [-0.1, float('nan')])
def test_limits_are_refused(value: float) -> None:
    with pytest.raises(SettingError, match='limit abs_rel is'):
        CompareLimits(abs_rel=value)


def test_memory_does_not_grow_with_the_bags(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        def frames(step: int = 1) -> Iterable[tuple[str, int, Any]]:
            for index in range(0, count, step):
                stamp = START + index * PERIOD
                depth = scene(index % FRAMES, (72, 96))
                yield DEPTH, stamp, MAKE.metres(stamp, FRAME, depth)
                yield POINTS, stamp, cloud(stamp, FRAME, depth)

        a = write_bag(tmp_path / f'a{count}', frames(2), 'sqlite3')
        b = write_bag(tmp_path / f'b{count}', frames(), 'sqlite3')
        tracemalloc.start()
        try:
            assert compare_bags(a, b, CompareLimits(extra=np.inf)).failures == ()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # 110 kB per frame and bag.
    assert peak(50) - peak(15) < 700_000


def test_a_bag_that_is_cut_off_is_as_good_as_can_be_read(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'a', outputs())
    (file,) = path.glob('*.mcap')
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    *_, left_out, verdict = compare_bags(path, path, topics=[DEPTH]).table().splitlines()
    assert left_out.startswith(f'left out  {path}: {file.name} ends in the middle of a record')
    assert verdict == 'what can be read of B is as good as A, within the limits'
