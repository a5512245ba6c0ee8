"""Metres from the robot's own motion, on simulated drives, beside those from a lidar.

The inverse depth errs as the network does (`lab.world.degradation`). Odometry has lengths 2 %
too long, drifts by 0.1 degrees a frame and is 5 ms late; the extrinsics are 1 degree off. Depth is
judged at every pixel with a true depth within 0.1 to 80 m. A frame is wrong in silence whose
AbsRel exceeds both 0.15 and twice that of the best scale and shift. The constants were chosen on
the drives of seeds 0 to 3 and 7000; other ones are reported. Times are those of the thread, so
that what else runs does not count.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import cv2
import numpy as np

from depth_anything_ros.cli.options import require_some
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.parameters import OdometryParameters
from depth_anything_ros.core.types import (
    BgrImage,
    FloatImage,
    Floats,
    ReferenceKind,
    ReferenceSamples,
)
from depth_anything_ros.estimator.model import load
from depth_anything_ros.metric.alignment import Alignment, AlignmentConfig, ScaleAligner
from depth_anything_ros.metric.odometry import OdometryTracker, check_camera_height
from depth_anything_ros.metric.references import Points
from lab import command
from lab.claims.alignment_baselines import huber_oracle
from lab.claims.alignment_score import MAX_M, MIN_M
from lab.world.camera import depth_image, render, view_of
from lab.world.degradation import degraded
from lab.world.drives import Drive, Driven, DriveWorld, Leg
from lab.world.geometry import yaw_matrix
from lab.world.rig import base_pose, optical

__all__ = [
    'CASES',
    'Case',
    'DriveFrame',
    'DriveRow',
    'camera_poses',
    'drive_frames',
    'main',
    'measured',
    'run',
]

FIRST_SEED = 8000
"""Seed of the first drive reported: none of those that constants were chosen on."""

_PERIOD_S = 0.1
_SCALE = 1.02
_YAW_SIGMA = np.radians(0.1)
_EXTRINSICS_RAD = np.radians(1.0)
_STEP = 4
_WRONG, _WRONG_OVER_ORACLE = 0.15, 2.0

_TURN = np.radians(40.0)


Infer: TypeAlias = Callable[[BgrImage], FloatImage]
"""From a picture to the inverse depth of a network."""


@dataclass(frozen=True)
class Case:
    """A drive and what odometry makes of it.

    `reported`: legs that odometry counts instead of those driven (stuck wheels, pushed). `slip`:
    (from, to, factor): the wheels turn `factor` times too far between two times. `height`: the
    camera's height is known. `metres`: whether any are due.
    """

    name: str
    drive: Drive
    late_s: float = 0.005
    reported: tuple[Leg, ...] = ()
    slip: tuple[float, float, float] = (0.0, 0.0, 1.0)
    height: bool = False
    metres: bool = True


def _case(name: str, family: str, *legs: Leg, **values: object) -> Case:
    ways = {key: values.pop(key) for key in ('straight', 'facing', 'traffic') if key in values}
    return Case(name, Drive(family, legs, **ways), **values)  # type: ignore[arg-type]


_DRIVE, _FAST, _STAND, _SPIN = Leg(6.0), Leg(6.0, 2.0), Leg(6.0, 0.0), Leg(4.0, 0.0, _TURN)
_STOPS = Leg(2.0), Leg(1.0, 0.0), Leg(1.5), Leg(1.5, 0.0), Leg(2.0)

CASES = (
    _case('room forward', 'room', _DRIVE),
    _case('room arc', 'room', _DRIVE, straight=False),
    _case('room arc, twice as fast', 'room', _FAST, straight=False),
    _case('room sideways', 'room', _DRIVE, facing=np.pi / 2),
    _case('room backwards', 'room', _DRIVE, facing=np.pi),
    _case('room, stand, turn, drive', 'room', Leg(3.0), _STAND, Leg(1.5, 0.0, _TURN), Leg(3.0)),
    _case('road 4 m/s', 'road', _DRIVE),
    _case('road 8 m/s', 'road', _FAST),
    _case('road 4 m/s, traffic', 'road', _DRIVE, traffic='cars'),
    _case('road 8 m/s, traffic', 'road', _FAST, traffic='cars'),
    _case('road, behind a lorry', 'road', _DRIVE, traffic='lorry'),
    _case('road, drive and stand', 'road', Leg(3.0), _STAND, traffic='none'),
    _case('turning on the spot', 'room', _SPIN, metres=False),
    _case('standing', 'room', _STAND, metres=False),
    _case('stuck wheels', 'room', _STAND, reported=(_DRIVE,), metres=False),
    _case('pushed', 'room', _DRIVE, reported=(_STAND,), metres=False),
    _case('slip +30 %', 'room', _DRIVE, slip=(2.0, 4.0, 1.3)),
    _case('slip +30 %, height known', 'room', _DRIVE, slip=(2.0, 4.0, 1.3), height=True),
    _case('slip +100 %', 'room', _DRIVE, slip=(2.0, 4.0, 2.0)),
    _case('road slip +30 %', 'road', _DRIVE, slip=(2.0, 4.0, 1.3)),
    _case('road slip +30 %, height known', 'road', _DRIVE, slip=(2.0, 4.0, 1.3), height=True),
    _case('road slip +100 %', 'road', _DRIVE, slip=(2.0, 4.0, 2.0)),
    _case('100 ms late, stops', 'room', *_STOPS, straight=False, late_s=0.1),
    _case('road 100 ms late, stops', 'road', *_STOPS, late_s=0.1),
)


@dataclass(frozen=True, eq=False)
class DriveFrame:
    """One image (H, W) with its depth, and what the network and the lidar say of it."""

    stamp_ns: int
    grey: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
    depth_m: FloatImage
    inverse_depth: FloatImage
    lidar: ReferenceSamples


@dataclass(frozen=True)
class DriveRow:
    """One case over all its drives.

    `metres`, `wrong`: shares of the frames. `abs_rel`, `with_lidar`, `lidar_unrefined` (by scale
    and shift alone), `oracle` (the best of those), `true_samples` (true depths in place of the
    samples, with odometry's error of scale): means over the frames with metres. `worst`,
    `worst_unrefined`: the greatest ratio of AbsRel to that with the lidar, and with it by scale
    and shift alone, of one drive. `bias`: of depth. `within_1_sigma`, `within_2_sigma`: shares of
    the pixels. `ms_median`, `ms_p95`: of the tracker; `ms_lidar`: median of the refined alignment
    with the lidar, to compare with. `reasons`: frames whose odometry was not used, by reason.
    """

    name: str
    drives: int
    frames: int
    metres: float
    abs_rel: float
    with_lidar: float
    lidar_unrefined: float
    oracle: float
    true_samples: float
    worst: float
    worst_unrefined: float
    bias: float
    wrong: float
    within_1_sigma: float
    within_2_sigma: float
    ms_median: float
    ms_p95: float
    ms_lidar: float
    reasons: str


def drive_frames(drive: Drive, seed: int, infer: Infer | None = None) -> Iterator[DriveFrame]:
    """Simulate what is seen on a drive at 10 Hz; `seed` draws scene and errors.

    `infer`: a network to run on the pictures instead of simulating its errors.
    """
    world = DriveWorld(drive.family, seed, drive=drive)
    camera, rig = world.camera, world.rig
    camera_from_lidar = optical(rig.camera.pose()).inverse() @ rig.lidar.pose()
    for number in range(round(drive.seconds / _PERIOD_S)):
        at_s = number * _PERIOD_S
        scene = world.scene.at(at_s)
        view = view_of(scene, camera, world.camera_pose(at_s))
        depth_m = depth_image(view)
        objects = view.hits.solid.reshape(depth_m.shape).astype(np.int16)
        bgr = render(scene, view, number)
        if infer is None:
            inverse_depth = degraded(depth_m, seed=seed, frame=number, objects=objects)
        else:
            inverse_depth = infer(bgr)
        points = world.cloud(at_s)
        xyz = np.stack([points['x'], points['y'], points['z']], axis=1)
        yield DriveFrame(
            round((100.0 + at_s) * 1e9),
            np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8),
            depth_m,
            inverse_depth,
            Points(xyz, camera_from_lidar).samples(camera, MIN_M, MAX_M),
        )


def camera_poses(case: Case, seed: int) -> tuple[list[Transform], Floats]:
    """Return the pose of the camera by odometry, odom_from_camera, at each frame of a drive.

    And the unit vector (3,) away from the ground in the optical frame, by the extrinsics that
    odometry uses. `seed` draws the errors.
    """
    world = DriveWorld(case.drive.family, seed, drive=case.drive)
    random = np.random.default_rng([seed, 11])
    axis = random.standard_normal(3)
    off = cv2.Rodrigues(_EXTRINSICS_RAD * axis / np.linalg.norm(axis))[0]
    base_from_camera = optical(world.rig.camera.pose()) @ Transform(off, np.zeros(3))
    reported = world.scene.path
    if case.reported and isinstance(reported, Driven):
        reported = Driven(reported.along, case.reported, reported.facing)
    first_s, last_s, slip = case.slip
    poses, odom, before = [], IDENTITY, base_pose(*reported.pose(-case.late_s))
    for number in range(round(case.drive.seconds / _PERIOD_S)):
        at_s = number * _PERIOD_S
        true = base_pose(*reported.pose(at_s - case.late_s))
        step, before = before.inverse() @ true, true
        length = _SCALE * (slip if first_s <= at_s < last_s else 1.0)
        yaw = yaw_matrix(_YAW_SIGMA * float(random.standard_normal()))
        odom = odom @ Transform(step.rotation @ yaw, length * step.translation)
        poses.append(odom @ base_from_camera)
    return poses, base_from_camera.rotation.T @ np.array([0.0, 0.0, 1.0])


@dataclass
class _Drive:
    """The figures of the frames of one drive."""

    ms: list[float] = field(default_factory=list)
    ms_lidar: list[float] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    figures: list[tuple[float, ...]] = field(default_factory=list)
    """AbsRel, with the lidar refined and not, with true samples, the oracle's; bias; shares
    within 1 and 2 sigma."""


def measured(case: Case, seed: int, frames: Iterable[DriveFrame]) -> _Drive:
    """Follow one drive by odometry and, beside it, by lidar."""
    poses, up = camera_poses(case, seed)
    world = DriveWorld(case.drive.family, seed, drive=case.drive)
    noise = OdometryParameters()
    tracker = OdometryTracker(world.camera, noise)
    lidar = AlignmentConfig(ReferenceKind.POINT_CLOUD, min_depth_m=MIN_M, max_depth_m=MAX_M)
    odometry = replace(lidar, kind=ReferenceKind.ODOMETRY, scale_sigma=noise.scale_sigma)
    aligner, by_lidar = ScaleAligner(odometry), ScaleAligner(lidar)
    plain, by_truth = ScaleAligner(replace(lidar, refinement=False)), ScaleAligner(odometry)
    done = _Drive()
    for frame, odom_from_camera in zip(frames, poses, strict=True):
        start = time.thread_time()
        try:
            samples = tracker.update(frame.grey, frame.stamp_ns, odom_from_camera)
        except FrameError as error:
            samples, reason = None, error.reason
        done.ms.append(1e3 * (time.thread_time() - start))
        if samples is None:
            for each in (aligner, by_truth):
                each.follow(frame.inverse_depth, frame.stamp_ns)
        else:
            by_truth.update(frame.inverse_depth, _true(samples, frame.depth_m), frame.stamp_ns)
            reason = aligner.update(frame.inverse_depth, samples, frame.stamp_ns).reason
        used = aligner.current(frame.stamp_ns)
        if used is not None and case.height:
            try:
                height_m = world.rig.camera.z_m
                check_camera_height(frame.inverse_depth, used, world.camera, height_m, up)
            except FrameError as error:
                reason, used = error.reason, None
        if reason:
            done.reasons[reason] += 1
        start = time.thread_time()
        refined = by_lidar.update(frame.inverse_depth, frame.lidar, frame.stamp_ns)
        done.ms_lidar.append(1e3 * (time.thread_time() - start))
        unrefined = plain.update(frame.inverse_depth, frame.lidar, frame.stamp_ns)
        if used is not None:
            beside = [refined, unrefined, by_truth.current(frame.stamp_ns) or used]
            done.figures.append(_figures(frame, used, beside))
    return done


def _true(samples: ReferenceSamples, depth_m: FloatImage) -> ReferenceSamples:
    """Return the samples with their true depths, times odometry's error of scale."""
    u, v = (np.rint(each).astype(np.int64) for each in (samples.u, samples.v))
    true = depth_m[np.clip(v, 0, depth_m.shape[0] - 1), np.clip(u, 0, depth_m.shape[1] - 1)]
    return replace(samples, depth_m=true * np.float32(_SCALE), sigma_m=None)


def _figures(frame: DriveFrame, used: Alignment, beside: Sequence[Alignment]) -> tuple[float, ...]:
    with np.errstate(invalid='ignore'):
        judged = (frame.depth_m > MIN_M) & (frame.depth_m < MAX_M) & (frame.inverse_depth > 0.0)
    every = np.zeros_like(judged)
    every[::_STEP, ::_STEP] = True
    judged &= every
    true = frame.depth_m[judged].astype(np.float64)
    image = used.metric_depth(frame.inverse_depth)
    depth, sigma = image[judged], used.sigma_of(image)[judged]
    known = np.isfinite(depth)
    off = np.abs(depth - true)[known] / sigma[known]
    scale, shift = huber_oracle(frame.inverse_depth[judged].astype(np.float64), true)
    with np.errstate(all='ignore'):
        best = 1.0 / (scale * frame.inverse_depth[judged] + shift)
        best = np.where((best > MIN_M) & (best < MAX_M), best, np.nan)
    return (
        _abs_rel(depth, true),
        *(_abs_rel(each.metric_depth(frame.inverse_depth)[judged], true) for each in beside),
        _abs_rel(best, true),
        float(np.median(depth[known] / true[known])),
        float(np.mean(off < 1.0)),
        float(np.mean(off < 2.0)),
    )


def _abs_rel(depth: Floats | FloatImage, true: Floats) -> float:
    relative = np.abs(depth - true) / true
    return _mean(relative)


def _mean(values: Floats) -> float:
    """Return the mean of the finite values, NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float('nan')


def run(
    cases: Sequence[Case] = CASES,
    seeds: Sequence[int] = range(FIRST_SEED, FIRST_SEED + 2),
    infer: Infer | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[DriveRow]:
    """Measure every case on a drive of each seed, on one thread; `infer` as for drive_frames."""
    by_drive: defaultdict[Drive, list[Case]] = defaultdict(list)
    for case in cases:
        by_drive[case.drive].append(case)
    drives: defaultdict[Case, list[_Drive]] = defaultdict(list)
    done, threads = 0, cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for drive, of_drive in by_drive.items():
            for seed in seeds:
                # Rendered once, which takes far longer than what follows.
                frames = list(drive_frames(drive, seed, infer))
                for case in of_drive:
                    drives[case].append(measured(case, seed, frames))
                    done += 1
                    if on_progress:
                        on_progress(done, len(cases) * len(seeds))
    finally:
        cv2.setNumThreads(threads)
    return [_row(case, drives[case]) for case in cases]


def _row(case: Case, drives: Sequence[_Drive]) -> DriveRow:
    frames = sum(len(drive.ms) for drive in drives)
    times = [ms for drive in drives for ms in drive.ms]
    reasons = sum((drive.reasons for drive in drives), Counter[str]())
    all_of_them = [each for drive in drives for each in drive.figures]
    figures = np.array(all_of_them or [(np.nan,) * 8])
    means = [[*map(_mean, np.array(drive.figures).T)] for drive in drives if drive.figures]
    abs_rel, lidar, plain, truth, oracle, bias, one, two = map(_mean, figures.T)
    wrong = (figures[:, 0] > _WRONG) & (figures[:, 0] > _WRONG_OVER_ORACLE * figures[:, 4])
    return DriveRow(
        case.name,
        len(drives),
        frames,
        len(all_of_them) / frames,
        abs_rel,
        lidar,
        plain,
        oracle,
        truth,
        max((float(mean[0] / mean[1]) for mean in means), default=float('nan')),
        max((float(mean[0] / mean[2]) for mean in means), default=float('nan')),
        bias,
        float(np.count_nonzero(wrong)) / frames,
        one,
        two,
        float(np.median(times)),
        float(np.percentile(times, 95)),
        float(np.median([ms for drive in drives for ms in drive.ms_lidar])),
        ', '.join(f'{count} {reason}' for reason, count in reasons.most_common()),
    )


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.odometry', __doc__)
    parser.add_argument(
        '--seeds', type=int, metavar='N', default=2, help='drives of a case (default: %(default)s)'
    )
    parser.add_argument(
        '--first-seed',
        type=int,
        metavar='N',
        default=FIRST_SEED,
        help='seed of the first drive (default: %(default)s)',
    )
    parser.add_argument(
        '--drives', default='', metavar='TEXT', help='only the cases whose names contain TEXT'
    )
    parser.add_argument(
        '--demo', action='store_true', help='the demo network instead of simulated errors'
    )
    command.add_json(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'seeds')
    cases = [case for case in CASES if options.drives in case.name]
    if not cases:
        names = ', '.join(case.name for case in CASES)
        raise SettingError(f"no drive is called '{options.drives}': choose one of {names}")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with progress('drive') as show:
        if options.demo:
            with load('demo', threads=1) as model:
                rows = run(cases, seeds, model.backend.infer, show)
        else:
            rows = run(cases, seeds, on_progress=show)
    return print_rows(rows, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
