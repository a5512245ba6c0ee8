from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from depth_anything_ros.core.types import FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment import AlignmentConfig, ScaleAligner

SHAPE = (60, 80)


def plain_scene() -> FloatImage:
    """A floor that rises to a wall: 1 / z from 0.2 to 1.2, smooth."""
    v, u = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
    inverse = 0.2 + 0.8 * np.maximum(v - 20.0, 0.0) / 40.0 + 0.2 * u / 80.0
    return np.asarray(1.0 / inverse, np.float32)


SCENE = plain_scene()


def drawn(count: int, seed: int) -> ReferenceSamples:
    random = np.random.default_rng(seed)
    v, u = random.integers(0, SHAPE[0], count), random.integers(0, SHAPE[1], count)
    return ReferenceSamples(u.astype(np.float32), v.astype(np.float32), SCENE[v, u])


# The shift is in units of the least inverse depth of the scene, as that of the network is.
@given(
    scale=st.floats(1e-4, 1e4),
    shift=st.floats(-20.0, 20.0),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_any_positive_scale_and_any_shift_are_recovered(
    scale: float, shift: float, seed: int
) -> None:
    offset = 0.2 * shift
    inverse_depth = np.asarray((1.0 / SCENE - offset) / scale, np.float32)
    inverse_depth[inverse_depth == 0.0] = np.float32(1e-9 / scale)
    found = ScaleAligner(AlignmentConfig()).update(inverse_depth, drawn(400, seed), 0)
    assert found.accepted, found.reason
    error = np.abs(found.metric_depth(inverse_depth) - SCENE) / SCENE
    assert float(np.nanmax(error)) < 0.03
    assert np.isfinite(found.metric_depth(inverse_depth)).mean() > 0.99


@given(seed=st.integers(0, 10_000), repeats=st.integers(0, 300), noise=st.floats(0.0, 0.3))
@settings(max_examples=40, deadline=None)
def test_order_and_duplicates_do_not_matter(seed: int, repeats: int, noise: float) -> None:
    random = np.random.default_rng(seed)
    inverse_depth = np.asarray(
        3.0 / SCENE * np.exp(noise * 0.2 * random.random(SHAPE)), np.float32
    )
    reference = drawn(200, seed)
    depth = reference.depth_m * np.exp(noise * random.standard_normal(200)).astype(np.float32)
    order = np.concatenate([random.permutation(200), random.integers(0, 200, repeats)])
    first = ScaleAligner().update(
        inverse_depth, ReferenceSamples(reference.u, reference.v, depth), 0
    )
    second = ScaleAligner().update(
        inverse_depth, ReferenceSamples(reference.u[order], reference.v[order], depth[order]), 0
    )
    assert first.reason == second.reason
    np.testing.assert_equal((first.scale, first.shift), (second.scale, second.shift))


anything = st.floats(width=32, allow_nan=True, allow_infinity=True)
usual = st.floats(0.0, 100.0, width=32)


@given(
    kind=st.sampled_from(list(ReferenceKind)),
    inverse_depth=hnp.arrays(np.float32, (12, 16), elements=st.one_of(usual, anything)),
    u=hnp.arrays(np.float32, 40, elements=st.one_of(st.floats(-2.0, 18.0, width=32), anything)),
    v=hnp.arrays(np.float32, 40, elements=st.one_of(st.floats(-2.0, 14.0, width=32), anything)),
    depth=hnp.arrays(np.float32, 40, elements=st.one_of(usual, anything)),
    sigma=st.one_of(st.none(), hnp.arrays(np.float32, 40, elements=anything)),
    count=st.integers(0, 40),
    refinement=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_no_input_raises_and_no_depth_leaves_the_range(
    kind: ReferenceKind,
    inverse_depth: FloatImage,
    u: FloatImage,
    v: FloatImage,
    depth: FloatImage,
    sigma: FloatImage | None,
    count: int,
    refinement: bool,
) -> None:
    config = AlignmentConfig(kind, min_depth_m=0.3, max_depth_m=20.0, refinement=refinement)
    aligner = ScaleAligner(config)
    stated = None if sigma is None else sigma[:count]
    for stamp in range(6):
        reference = ReferenceSamples(u[:count], v[:count], depth[:count], stated)
        found = aligner.update(inverse_depth, reference, stamp * 100_000_000)
        assert found.accepted == (found.reason == '')
        check_range(found.metric_depth(inverse_depth), config)
        current = aligner.current(stamp * 100_000_000)
        if current is not None:
            check_range(current.metric_depth(inverse_depth), config)
            sigma_m = current.sigma(inverse_depth)
            assert (np.isnan(sigma_m) == np.isnan(current.metric_depth(inverse_depth))).all()
            assert not (sigma_m < 0.0).any()


broken = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30])


@given(
    holes=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 79), broken), max_size=60),
    dropouts=st.lists(st.tuples(st.integers(0, 399), broken), max_size=60),
    shift=st.floats(-0.15, 0.15),
    refinement=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_broken_values_among_good_ones_do_no_harm(
    holes: list[tuple[int, int, float]],
    dropouts: list[tuple[int, float]],
    shift: float,
    refinement: bool,
) -> None:
    inverse_depth = np.asarray((1.0 / SCENE + shift) * 5.0, np.float32)
    whole = np.ones(SHAPE, np.bool_)
    reference = drawn(400, 2)
    for row, column, value in holes:
        inverse_depth[row, column] = value
        whole[row, column] = False
    for index, value in dropouts:
        reference.depth_m[index] = value
    config = AlignmentConfig(min_depth_m=0.3, max_depth_m=20.0, refinement=refinement)
    found = ScaleAligner(config).update(inverse_depth, reference, 0)
    assert found.accepted, found.reason
    depth = found.metric_depth(inverse_depth)
    check_range(depth, config)
    assert float(np.max(np.abs(depth - SCENE)[whole] / SCENE[whole])) < 0.05
    sigma = found.sigma(inverse_depth)
    assert (np.isnan(sigma) == np.isnan(depth)).all()


def check_range(depth: FloatImage, config: AlignmentConfig) -> None:
    known = depth[np.isfinite(depth)]
    assert not np.isinf(depth).any()
    # The bounds as float32, in which depth is given.
    assert (known >= np.float32(config.min_depth_m)).all()
    assert (known <= np.float32(config.max_depth_m)).all()


@given(scale=st.floats(0.01, 100.0), shift=st.floats(-5.0, 5.0), noise=st.floats(0.0, 0.1))
@settings(max_examples=60, deadline=None)
def test_negated_inverse_depth_is_never_aligned(scale: float, shift: float, noise: float) -> None:
    random = np.random.default_rng(0)
    noisy = np.exp(noise * random.standard_normal(SHAPE)) / SCENE
    inverse_depth = np.asarray((shift - noisy) * scale, np.float32)
    found = ScaleAligner().update(inverse_depth, drawn(400, 1), 0)
    assert not found.accepted
    assert np.isnan(found.metric_depth(inverse_depth)).all()


@given(value=st.floats(-5.0, 50.0, width=32), depth=st.floats(0.0625, 100.0, width=32))
@settings(max_examples=40, deadline=None)
def test_constant_input_is_refused_or_a_wall(value: float, depth: float) -> None:
    constant = np.full(SHAPE, value, np.float32)
    reference = drawn(100, 0)
    flat = ReferenceSamples(reference.u, reference.v, np.full(100, depth, np.float32))
    assert not ScaleAligner().update(constant, flat, 0).accepted
    found = ScaleAligner().update(np.asarray(2.0 / SCENE, np.float32), flat, 0)
    assert found.accepted == (found.reason == '')
