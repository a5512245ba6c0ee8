from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from depth_anything_ros.core.geometry.projection import rays_of
from depth_anything_ros.core.types import Camera, FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment import AlignmentConfig, ScaleAligner
from depth_anything_ros.metric.alignment.ground_plane import on_ground_plane, shared_error
from depth_anything_ros.metric.alignment.sample_gate import gate, inverse_depth_stats
from depth_anything_ros.metric.alignment.scale_filter import Bias, ScaleState
from depth_anything_ros.metric.samples import Gate, samples_from_ground
from lab.world.degradation import Degradation, degraded

SHAPE = (240, 320)
HEIGHT_M = 1.2
FOCAL_PX, HORIZON_PX = 260.0, 60.0
FLOOR = AlignmentConfig(ReferenceKind.GROUND_PLANE)


def plane(height_m: float, tilt: float = 0.0) -> FloatImage:
    """Depth of a horizontal plane so far below the camera, NaN above the horizon."""
    below = (np.arange(SHAPE[0]) - HORIZON_PX) / FOCAL_PX + tilt
    with np.errstate(divide='ignore'):
        depth = np.where(below > 0.0, height_m / below, np.nan)
    return np.broadcast_to(depth[:, None], SHAPE).astype(np.float32)


def room(*things: tuple[slice, slice, FloatImage | float]) -> FloatImage:
    """The floor, a wall 6 m away, and depths in front of them."""
    depth = np.fmin(plane(HEIGHT_M), np.float32(6.0))
    for rows, columns, thing in things:
        there = thing[rows, columns] if isinstance(thing, np.ndarray) else np.float32(thing)
        depth[rows, columns] = np.fmin(depth[rows, columns], there)
    return depth


def floor_samples(tilt: float = 0.0) -> ReferenceSamples:
    v, u = np.mgrid[8 : SHAPE[0] : 8, 8 : SHAPE[1] : 8]
    u, v = u.ravel(), v.ravel()
    depth = plane(HEIGHT_M, tilt)[v, u]
    near = depth < 10.0
    z = depth[near]
    return ReferenceSamples(
        u[near].astype(np.float32), v[near].astype(np.float32), z, z * z * np.float32(0.009)
    )


def error(depth: FloatImage, true: FloatImage) -> float:
    known = np.isfinite(depth)
    assert known.mean() > 0.9
    return float(np.mean(np.abs(depth[known] / true[known] - 1.0)))


CUPBOARDS = room(
    (slice(60, 200), slice(0, 150), 2.0),
    (slice(60, 220), slice(200, 280), 1.8),
)
# The table fills two thirds of what would be floor.
TABLE = room((slice(110, 240), slice(0, 220), plane(0.6)))


@pytest.mark.parametrize('true', [room(), CUPBOARDS, TABLE], ids=['bare', 'cupboards', 'table'])
@pytest.mark.parametrize('seed', range(4))
def test_what_stands_on_the_floor_is_left_out(true: FloatImage, seed: int) -> None:
    inverse_depth = degraded(true, Degradation(), seed)
    found = ScaleAligner(FLOOR).update(inverse_depth, floor_samples(), 0)
    assert found.reason == ''
    # The network's own error is 0.05.
    assert error(found.metric_depth(inverse_depth), true) < 0.12


@pytest.mark.parametrize(
    ('pitch', 'roll', 'width'),
    [(15, 0, 320), (15, 90, 320), (15, 180, 320), (60, 0, 640), (25, 0, 1600)],
)
def test_the_floor_is_found_however_the_camera_looks(pitch: int, roll: int, width: int) -> None:
    focal = 0.8 * width
    height = width * 3 // 4
    camera = Camera(width, height, focal, focal, width / 2, height / 2)
    down, turn = np.radians(pitch), np.radians(roll)
    up = np.array([np.sin(turn) * np.cos(down), -np.cos(turn) * np.cos(down), -np.sin(down)])
    x, y = rays_of(camera)
    fall = np.maximum(-(x * up[0] + y * up[1] + up[2]), 1e-3)
    # A platform of a third of the height to one side of a line through the view, and a wall.
    side = x * up[1] - y * up[0] > 0.15
    true = np.minimum(HEIGHT_M / fall, 6.0)
    true = np.where(side, np.minimum(0.67 * HEIGHT_M / fall, true), true).astype(np.float32)
    samples = samples_from_ground(HEIGHT_M, up, camera, Gate(max_depth_m=10.0), width // 40)
    inverse_depth = degraded(true, Degradation(error_sigma=0.03), 5)
    found = ScaleAligner(FLOOR).update(inverse_depth, samples, 0)
    assert found.reason == ''
    assert error(found.metric_depth(inverse_depth), true) < 0.1


def test_a_ground_that_falls_away_is_flagged() -> None:
    near = np.fmin(plane(HEIGHT_M), np.float32(2.0))
    below = np.maximum((np.arange(SHAPE[0]) - HORIZON_PX) / FOCAL_PX, 1e-6)
    # From 2 m on it falls by 10 degrees.
    slope = np.tan(np.radians(10.0))
    falling = (HEIGHT_M - 2.0 * slope) / np.maximum(below - slope, 1e-6)
    # Outdoors: without a sky in view, the shift that this looks like is as likely as any.
    falling[: SHAPE[0] // 4] = np.inf
    true = np.where(near < 2.0, near, np.minimum(falling, 40.0)[:, None]).astype(np.float32)
    true[: SHAPE[0] // 4] = np.inf
    for seed in range(4):
        inverse_depth = degraded(true, Degradation(error_sigma=0.03), seed)
        found = ScaleAligner(FLOOR).update(inverse_depth, floor_samples(), 0)
        assert not found.accepted or found.warning


def test_between_references_the_floors_bias_is_left_out_as_well() -> None:
    inverse_depth = degraded(room(), Degradation(error_sigma=0.02), 3)
    aligner = ScaleAligner(FLOOR)
    told = aligner.update(inverse_depth, floor_samples(0.009), 0)
    aligner.follow(inverse_depth, 100_000_000)
    later = aligner.current(100_000_000)
    assert later is not None
    assert later.scale == pytest.approx(told.scale, rel=0.01)
    assert later.shift == pytest.approx(told.shift, rel=0.05)
    assert told.covariance is not None and later.covariance is not None
    assert later.covariance[1, 1] >= 0.99 * told.covariance[1, 1]


def test_a_view_without_floor_gives_no_metres() -> None:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    steps = 1.5 + 0.2 * ((columns // 40 + rows // 40) % 4)
    found = ScaleAligner(FLOOR).update(degraded(steps.astype(np.float32)), floor_samples(), 0)
    assert found.reason == 'no_floor'


def test_a_camera_that_looks_down_keeps_its_floor() -> None:
    # The same depth everywhere has no slope to go by.
    v, u = (each.ravel().astype(np.float32) for each in np.mgrid[8:240:16, 8:320:16])
    samples = ReferenceSamples(u, v, np.full(u.size, 2.0, np.float32))
    inverse_depth = degraded(np.full(SHAPE, 2.0, np.float32), seed=1)
    stats = inverse_depth_stats(inverse_depth)
    assert stats is not None
    gated = gate(inverse_depth, samples, stats, FLOOR)
    assert on_ground_plane(inverse_depth, gated).all()


@pytest.mark.parametrize('tilt', [-0.009, 0.0, 0.009])
def test_half_a_degree_of_tilt_is_within_sigma(tilt: float) -> None:
    true = room()
    within = []
    for seed in range(8):
        inverse_depth = degraded(true, Degradation(error_sigma=0.02), seed)
        found = ScaleAligner(FLOOR).update(inverse_depth, floor_samples(tilt), 0)
        off = np.abs(found.metric_depth(inverse_depth) - true) / found.sigma(inverse_depth)
        within.append(float(np.mean(off < 2.0)))
    assert np.mean(within) > 0.9


def test_what_all_samples_err_by_together_is_not_averaged_away() -> None:
    inverse_depth = degraded(room(), Degradation(error_sigma=0.02), 3)
    exact = replace(floor_samples(), sigma_m=None)
    told = [
        ScaleAligner(FLOOR).update(inverse_depth, each, 0) for each in (floor_samples(), exact)
    ]
    far = inverse_depth.shape[0] // 4
    unsure, sure = (each.sigma(inverse_depth)[far].mean() for each in told)
    assert unsure > 1.3 * sure


def test_an_unknown_shift_stays_the_networks_and_a_measured_one_is_shared_out() -> None:
    shift_sigma, bias = 0.02, Bias(shift=0.04)
    both = shift_sigma**2 + bias.shift**2
    unknown = ScaleState(np.array([0.1, 0.0]), np.diag([1e-4, both]))
    left = unknown.without(bias, shift_sigma)
    assert left.covariance == pytest.approx(np.diag([1e-4, shift_sigma**2]))
    measured = ScaleState(np.array([0.1, 0.05]), np.diag([1e-4, 0.0]))
    left = measured.without(bias, shift_sigma)
    assert left.mean == pytest.approx([0.1, 0.05 * shift_sigma**2 / both])
    assert left.covariance[1, 1] == pytest.approx(shift_sigma**2 * bias.shift**2 / both)


def test_a_wrong_height_is_an_error_of_all_depths() -> None:
    exact = ScaleState(np.array([0.1, 0.05]), np.diag([1e-9, 1e-9]))
    unsure = exact.without(Bias(factor=0.04), 0.02)
    for inverse_depth in (0.5, 2.0, 10.0):
        assert unsure.relative_sigma(inverse_depth) == pytest.approx(0.04, rel=0.01)


@pytest.mark.parametrize('height_sigma_m', [0.0, 0.02, 0.1])
@pytest.mark.parametrize('tilt_sigma_rad', [0.0, 0.009, 0.03])
def test_tilt_and_height_are_told_apart_by_the_sigma_of_the_samples(
    height_sigma_m: float, tilt_sigma_rad: float
) -> None:
    camera = Camera(SHAPE[1], SHAPE[0], FOCAL_PX, FOCAL_PX, 160.0, HORIZON_PX)
    samples = samples_from_ground(
        HEIGHT_M,
        np.array([0.0, -1.0, 0.0]),
        camera,
        Gate(max_depth_m=10.0),
        8,
        tilt_sigma_rad,
        height_sigma_m,
    )
    inverse_depth = (1.0 / room()).astype(np.float32)
    stats = inverse_depth_stats(inverse_depth)
    assert stats is not None
    bias = shared_error(gate(inverse_depth, samples, stats, FLOOR))
    assert bias.factor == pytest.approx(height_sigma_m / HEIGHT_M, rel=0.1, abs=0.004)
    assert bias.shift == pytest.approx(tilt_sigma_rad / HEIGHT_M, rel=0.15, abs=1e-3)
