from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.parameters import OdometryParameters
from depth_anything_ros.core.types import Camera, FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment import AlignmentConfig, ScaleAligner
from depth_anything_ros.metric.odometry import OdometryTracker, check_camera_height, tracker
from depth_anything_ros.metric.odometry.tracks import Tracks
from depth_anything_ros.metric.scale import reason_text
from lab.world.camera import depth_image, render, view_of
from lab.world.degradation import degraded, sampled_reference
from lab.world.drives import Drive, DriveWorld, Leg

PERIOD_NS = 100_000_000
STRAIGHT = Drive('room', (Leg(2.5, 2.0),))
TURNING = Drive('room', (Leg(2.5, 0.0, 0.7),))
ROAD = Drive('road', (Leg(1.5),))


@dataclass(frozen=True, eq=False)
class Frame:
    grey: npt.NDArray[np.uint8]
    depth_m: FloatImage
    pose: Transform


def world(drive: Drive) -> DriveWorld:
    return DriveWorld(drive.family, 1, size=(400, 300), drive=drive)


@lru_cache(maxsize=4)
def frames(drive: Drive) -> list[Frame]:
    at, made = world(drive), []
    for number in range(round(drive.seconds * 10)):
        scene, pose = at.scene.at(0.1 * number), at.camera_pose(0.1 * number)
        view = view_of(scene, at.camera, pose)
        grey = cv2.cvtColor(render(scene, view, number), cv2.COLOR_BGR2GRAY)
        made.append(Frame(grey, depth_image(view), pose))
    return made


def outcomes(
    drive: Drive, frames: list[Frame], camera: Camera | None = None
) -> Iterator[ReferenceSamples | str]:
    """Yield the samples of each frame, or the reason why there are none."""
    following = OdometryTracker(camera or world(drive).camera, OdometryParameters())
    for number, frame in enumerate(frames):
        try:
            yield following.update(frame.grey, (number + 1) * PERIOD_NS, frame.pose)
        except FrameError as error:
            assert str(error) == reason_text(error.reason) != error.reason
            yield error.reason


def reasons(drive: Drive, frames: list[Frame]) -> list[str]:
    return [each for each in outcomes(drive, frames) if isinstance(each, str)]


def ratio(samples: ReferenceSamples, depth_m: FloatImage) -> npt.NDArray[np.float64]:
    u, v = (np.rint(each).astype(int) for each in (samples.u, samples.v))
    return np.asarray(samples.depth_m / depth_m[v, u], np.float64)


def held(first: list[Frame], pose: Transform) -> list[Frame]:
    """Return the frames with one pose for all."""
    return [replace(frame, pose=pose) for frame in first]


def turned(angle_rad: float) -> Transform:
    return Transform(cv2.Rodrigues(np.array([0.0, angle_rad, 0.0]))[0], np.zeros(3))


def still(drive: Drive) -> list[Frame]:
    """Return the first picture again and again, with the poses of the drive."""
    taken = frames(drive)
    return [replace(taken[0], pose=frame.pose) for frame in taken]


@pytest.mark.parametrize('drive', [STRAIGHT, ROAD], ids=['room', 'road'])
def test_a_drive_gives_depths_near_the_truth_with_an_honest_sigma(drive: Drive) -> None:
    given = list(outcomes(drive, frames(drive)))
    assert isinstance(given[-1], ReferenceSamples)
    assert sum(isinstance(each, ReferenceSamples) for each in given) > 0.5 * len(given)
    for each, frame in zip(given, frames(drive), strict=True):
        if isinstance(each, ReferenceSamples):
            off = ratio(each, frame.depth_m)
            assert np.median(off) == pytest.approx(1.0, abs=0.05)
            assert each.sigma_m is not None
            assert np.mean(np.abs(off - 1.0) < 2.0 * each.sigma_m / each.depth_m) > 0.6
            # What is less sure seems too near, as only that is kept.
            assert np.max(each.sigma_m / each.depth_m) < 0.151


def test_depths_are_as_long_as_odometry_says() -> None:
    longer = [
        replace(frame, pose=Transform(frame.pose.rotation, 1.3 * frame.pose.translation))
        for frame in frames(STRAIGHT)
    ]
    last = list(outcomes(STRAIGHT, longer))[-1]
    assert isinstance(last, ReferenceSamples)
    assert np.median(ratio(last, frames(STRAIGHT)[-1].depth_m)) == pytest.approx(1.3, rel=0.05)


def test_large_images_get_samples_in_their_own_pixels() -> None:
    size = 1200, 900
    large = [
        replace(frame, grey=cv2.resize(frame.grey, size), depth_m=cv2.resize(frame.depth_m, size))
        for frame in frames(STRAIGHT)
    ]
    camera = world(STRAIGHT).camera.scaled(*size)
    last = list(outcomes(STRAIGHT, large, camera))[-1]
    assert isinstance(last, ReferenceSamples)
    assert last.u.max() > 1000 and last.v.max() > 700
    assert np.median(ratio(last, large[-1].depth_m)) == pytest.approx(1.0, abs=0.05)


def test_standing_after_a_drive_keeps_depths_and_marks_them_as_repeated() -> None:
    taken = frames(STRAIGHT)
    given = list(outcomes(STRAIGHT, taken + 10 * taken[-1:]))[-10:]
    assert all(isinstance(each, ReferenceSamples) and each.repeated for each in given)
    assert not any(
        each.repeated for each in outcomes(STRAIGHT, taken) if isinstance(each, ReferenceSamples)
    )


def test_standing_keeps_depths_for_30_s_while_their_sigma_grows() -> None:
    following = OdometryTracker(world(STRAIGHT).camera, OdometryParameters())
    taken = frames(STRAIGHT)
    relative, ended = [], ''
    for number, frame in enumerate(taken + 40 * taken[-1:]):
        extra = max(0, number - len(taken) + 1)
        try:
            given = following.update(frame.grey, (number + 8 * extra) * PERIOD_NS, frame.pose)
        except FrameError as error:
            ended = error.reason
            continue
        if extra:
            assert given.sigma_m is not None
            relative.append(float(np.median(given.sigma_m / given.depth_m)))
    assert len(relative) * 0.9 == pytest.approx(30.0, abs=3.0)
    assert ended == 'no_motion'
    assert relative[0] < relative[-1] < 2.0 * relative[0]


def test_turning_on_the_spot_gives_none() -> None:
    assert len(reasons(TURNING, frames(TURNING))) == len(frames(TURNING))
    assert 'pose_unsure' in reasons(TURNING, frames(TURNING))


def test_stuck_wheels_give_none() -> None:
    assert set(reasons(STRAIGHT, still(STRAIGHT))) == {
        'no_earlier_frame',
        'no_motion',
        'too_little_parallax',
    }
    assert len(reasons(STRAIGHT, still(STRAIGHT))) == len(frames(STRAIGHT))


def test_being_pushed_gives_none() -> None:
    pushed = held(frames(STRAIGHT), IDENTITY)
    assert reasons(STRAIGHT, pushed) == ['no_earlier_frame'] + ['no_motion'] * (len(pushed) - 1)


def test_lost_tracks_are_too_few() -> None:
    taken = frames(STRAIGHT)
    dark = replace(taken[-1], grey=np.zeros_like(taken[-1].grey))
    assert reasons(STRAIGHT, [*taken, dark])[-1] == 'too_few_tracks'


def test_a_picture_that_warps_is_no_still_world() -> None:
    taken = still(STRAIGHT)
    height, width = taken[0].grey.shape
    v, u = np.mgrid[:height, :width].astype(np.float32)
    warped = []
    for number, frame in enumerate(taken):
        du, dv = 1.2 * number * np.sin(v / 20), 1.2 * number * np.sin(u / 25)
        moved = cv2.remap(frame.grey, u + du, v + dv, cv2.INTER_LINEAR)
        warped.append(replace(frame, grey=moved))
    assert 'tracks_disagree' in reasons(STRAIGHT, warped)
    assert len(reasons(STRAIGHT, warped)) == len(warped)


def test_another_turn_than_that_of_the_tracks_disagrees() -> None:
    drifting = [
        replace(frame, pose=frame.pose @ turned(np.radians(0.8 * number)))
        for number, frame in enumerate(frames(STRAIGHT))
    ]
    assert 'odometry_disagrees' in reasons(STRAIGHT, drifting)
    # Where depths are given all the same, the tracks have put the turn right.
    for each, frame in zip(outcomes(STRAIGHT, drifting), drifting, strict=True):
        if isinstance(each, ReferenceSamples):
            assert np.median(ratio(each, frame.depth_m)) == pytest.approx(1.0, abs=0.15)


def test_what_drives_ahead_does_not_turn_the_camera() -> None:
    texture = np.random.default_rng(1).integers(0, 255, (30, 30)).astype(np.uint8)
    patch = cv2.resize(texture, (120, 120), interpolation=cv2.INTER_CUBIC)
    behind = []
    for number, frame in enumerate(frames(ROAD)):
        grey = frame.grey.copy()
        left = 120 + number
        grey[90:210, left : left + 120] = patch
        behind.append(replace(frame, grey=grey))
    off = [
        np.median(np.abs(ratio(each, frame.depth_m) - 1.0))
        for each, frame in zip(outcomes(ROAD, behind), frames(ROAD), strict=True)
        if isinstance(each, ReferenceSamples)
    ]
    assert len(off) > 0.4 * len(behind)
    assert np.median(off) < 0.1


def test_tracks_that_draw_together_leave_slots_to_what_comes_into_view() -> None:
    drawn = np.random.default_rng(2).integers(0, 255, (600, 800)).astype(np.uint8)
    scene = cv2.resize(drawn, (2400, 1800), interpolation=cv2.INTER_CUBIC)
    tracks = Tracks(world(STRAIGHT).camera)
    for number in range(20):
        # Driving backwards shows more of the scene at each step.
        half = 400 * 1.05**number
        down, across = (
            slice(int(900 - 0.75 * half), int(900 + 0.75 * half)),
            slice(int(1200 - half), int(1200 + half)),
        )
        seen = cv2.resize(scene[down, across], (400, 300), interpolation=cv2.INTER_AREA)
        tracks.follow(np.asarray(seen, np.uint8), np.eye(3))
    u, v = tracks.pixels[np.isfinite(tracks.pixels[:, 0])].T
    beside = (np.abs(u - 200) > 140) | (np.abs(v - 150) > 105)
    assert np.mean(beside) > 0.13


def test_a_track_that_leaves_the_lens_is_lost() -> None:
    drawn = np.random.default_rng(3).integers(0, 255, (150, 300)).astype(np.uint8)
    scene = cv2.resize(drawn, (1200, 600), interpolation=cv2.INTER_CUBIC)
    # The lens folds over before the corners: nothing can be seen there.
    camera = replace(
        world(STRAIGHT).camera, distortion=(-0.6, 0.0, 0.0, 0.0), distortion_model='plumb_bob'
    )
    tracks = Tracks(camera)
    left = 0
    for number in range(12):
        seen = np.ascontiguousarray(scene[100:400, 10 * number : 10 * number + 400])
        before = np.isfinite(tracks.pixels[:, 0])
        lost = tracks.follow(seen, np.eye(3))
        gone = np.flatnonzero(before & np.isnan(tracks.pixels[:, 0]))
        assert np.isin(gone, lost).all()
        assert np.array_equal(np.isnan(tracks.pixels[:, 0]), np.isnan(tracks.rays[:, 0]))
        left += lost.size
    assert left > 0


def test_another_way_than_that_of_the_tracks_disagrees() -> None:
    aside = [
        replace(frame, pose=Transform(frame.pose.rotation, frame.pose.translation[[1, 0, 2]]))
        for frame in frames(STRAIGHT)
    ]
    assert 'tracks_disagree' in reasons(STRAIGHT, aside)
    assert len(reasons(STRAIGHT, aside)) == len(aside)


def slipping(first: int, last: int, factor: float) -> list[Frame]:
    """Return the drive whose ways are `factor` times too long from `first` to before `last`."""
    shift, taken = np.zeros(3), frames(STRAIGHT)
    made = taken[:1]
    for number, frame in enumerate(taken[1:], 1):
        step = frame.pose.translation - taken[number - 1].pose.translation
        shift = shift + (factor - 1.0) * step * (first <= number < last)
        made.append(
            replace(frame, pose=Transform(frame.pose.rotation, frame.pose.translation + shift))
        )
    return made


@pytest.mark.parametrize('factor', [0.6, 1.3])
def test_slip_is_seen_until_it_ends(factor: float) -> None:
    given = list(outcomes(STRAIGHT, slipping(10, 17, factor)))
    assert 'odometry_slips' in given[11:17]
    assert isinstance(given[9], ReferenceSamples)
    assert any(isinstance(each, ReferenceSamples) for each in given[17:])
    for each, frame in zip(given, frames(STRAIGHT), strict=True):
        if isinstance(each, ReferenceSamples):
            assert np.median(ratio(each, frame.depth_m)) == pytest.approx(1.0, abs=0.12)


def test_lengths_that_last_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    lasting = slipping(10, 99, 1.5)
    assert list(outcomes(STRAIGHT, lasting))[-1] == 'odometry_slips'
    monkeypatch.setattr(tracker, '_BELIEVED_VIEWS', 6)
    last = list(outcomes(STRAIGHT, lasting))[-1]
    assert isinstance(last, ReferenceSamples)
    assert np.median(ratio(last, frames(STRAIGHT)[-1].depth_m)) == pytest.approx(1.5, rel=0.1)


def test_time_that_goes_back_or_stops_starts_anew() -> None:
    following = OdometryTracker(world(STRAIGHT).camera, OdometryParameters())
    taken = frames(STRAIGHT)
    for number, frame in enumerate(taken):
        stamp_ns = (number + 1) * PERIOD_NS
        try:
            following.update(frame.grey, stamp_ns, frame.pose)
        except FrameError:
            continue
    for later_ns in (stamp_ns + 2_000_000_000, PERIOD_NS):
        with pytest.raises(FrameError) as error:
            following.update(taken[-1].grey, later_ns, taken[-1].pose)
        assert error.value.reason == 'no_earlier_frame'


@pytest.mark.parametrize('refinement', [True, False])
def test_the_error_of_odometrys_scale_does_not_shrink_with_samples(refinement: bool) -> None:
    depth = frames(STRAIGHT)[0].depth_m
    inverse_depth = degraded(depth)
    least = {}
    for scale_sigma in (0.0, 0.1):
        config = AlignmentConfig(
            ReferenceKind.ODOMETRY, scale_sigma=scale_sigma, refinement=refinement
        )
        aligner = ScaleAligner(config)
        for number in range(1, 30):
            drawn = sampled_reference(depth, 300, number)
            samples = ReferenceSamples(drawn.u, drawn.v, drawn.depth_m)
            found = aligner.update(inverse_depth, samples, number * PERIOD_NS)
        metric = found.metric_depth(inverse_depth)
        least[scale_sigma] = float(np.nanmedian(found.sigma_of(metric) / metric))
    assert least[0.1] > 0.1
    assert least[0.0] < 0.08


@pytest.mark.parametrize('repeated', [True, False])
def test_what_is_repeated_contradicts_the_scale_once(repeated: bool) -> None:
    depth = frames(STRAIGHT)[0].depth_m
    inverse_depth = degraded(depth)
    aligner = ScaleAligner(AlignmentConfig(ReferenceKind.ODOMETRY))
    drawn = sampled_reference(depth, 300, 0)
    samples = ReferenceSamples(drawn.u, drawn.v, drawn.depth_m)
    for number in range(1, 6):
        assert aligner.update(inverse_depth, samples, number * PERIOD_NS).accepted
    twice = replace(samples, depth_m=2.0 * samples.depth_m, repeated=repeated)
    found = [aligner.update(inverse_depth, twice, number * PERIOD_NS) for number in range(6, 14)]
    assert found[0].reason == found[2].reason == 'jump'
    assert found[-1].accepted is not repeated


def test_the_height_of_the_camera_checks_the_scale() -> None:
    depth, at = frames(ROAD)[0].depth_m, world(ROAD)
    inverse_depth = degraded(depth)
    drawn = sampled_reference(depth, 300, 0)
    samples = ReferenceSamples(drawn.u, drawn.v, drawn.depth_m)
    found = ScaleAligner().update(inverse_depth, samples, PERIOD_NS)
    up = at.camera_pose(0.0).rotation.T @ np.array([0.0, 0.0, 1.0])
    height_m = at.rig.camera.z_m
    check_camera_height(inverse_depth, found, at.camera, height_m, up)
    for factor in (0.75, 1.3):
        wrong = replace(found, scale=found.scale / factor, shift=found.shift / factor)
        with pytest.raises(FrameError) as error:
            check_camera_height(inverse_depth, wrong, at.camera, height_m, up)
        assert error.value.reason == 'height_disagrees'


def test_without_ground_in_view_the_height_says_nothing() -> None:
    depth, at = frames(ROAD)[0].depth_m, world(ROAD)
    found = ScaleAligner().update(
        degraded(depth),
        ReferenceSamples(*_of(depth)),
        PERIOD_NS,
    )
    check_camera_height(degraded(depth), found, at.camera, 1.45, np.array([0.0, 1.0, 0.0]))


def _of(depth: FloatImage) -> tuple[npt.NDArray[np.float32], ...]:
    drawn = sampled_reference(depth, 300, 0)
    return drawn.u, drawn.v, drawn.depth_m
