"""Bounds that follow the scene, and frames that are refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.normalization import Normalizer, check_image, normalized_between
from depth_anything_ros.core.timing import NOMINAL_INTERVAL_S
from depth_anything_ros.core.types import Normalization

SECOND_NS = 1_000_000_000
SHAPE = (48, 64)


def normalize(normalizer: Normalizer, inverse_depth: np.ndarray, stamp_ns: int) -> np.ndarray:
    return normalized_between(inverse_depth, *normalizer.update(inverse_depth, stamp_ns))


def ramp(low: float, high: float, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Return an inverse depth that rises from `low` to `high`."""
    return np.linspace(low, high, shape[0] * shape[1], dtype=np.float32).reshape(shape)


def test_minmax_spans_the_extremes() -> None:
    normalizer = Normalizer('minmax', 0.0)
    normalized = normalize(normalizer, ramp(2.0, 6.0), 0)
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized, ramp(0.0, 1.0), atol=1e-6)
    assert normalizer.bounds == (2.0, 6.0)


def test_percentile_clips_two_percent_at_each_end() -> None:
    inverse_depth = ramp(0.0, 100.0)
    normalizer = Normalizer(Normalization.PERCENTILE, 0.0)
    normalized = normalize(normalizer, inverse_depth, 0)
    np.testing.assert_allclose(
        normalized, np.clip((inverse_depth - 2.0) / 96.0, 0.0, 1.0), atol=1e-3
    )


def test_a_single_near_pixel_does_not_darken_the_rest() -> None:
    inverse_depth = ramp(0.0, 1.0)
    inverse_depth[0, 0] = 1e4
    normalized = normalize(Normalizer('percentile', 0.0), inverse_depth, 0)
    assert normalized[0, 0] == 1.0
    assert normalized[-1, -1] == 1.0


def test_a_large_frame_has_the_percentiles_of_all_its_pixels() -> None:
    inverse_depth = np.random.default_rng(0).gamma(2.0, 3.0, (480, 640)).astype(np.float32)
    normalizer = Normalizer('percentile', 0.0)
    normalize(normalizer, inverse_depth, 0)
    assert normalizer.bounds is not None
    exact = np.percentile(inverse_depth, (2, 98))
    # One standard error of the 98th percentile of 4,500 samples is 1.5 % of this range.
    assert np.abs(np.array(normalizer.bounds) - exact).max() < 0.05 * (exact[1] - exact[0])


def test_a_small_thing_before_an_empty_sky_is_seen() -> None:
    inverse_depth = np.zeros(SHAPE, np.float32)
    inverse_depth[10, 10:14] = 3.0
    normalized = normalize(Normalizer('percentile', 0.0), inverse_depth, 0)
    np.testing.assert_array_equal(normalized, inverse_depth / 3.0)


def test_the_inverse_depth_is_left_alone() -> None:
    inverse_depth = ramp(1.0, 2.0)
    normalize(Normalizer('percentile', 1.0), inverse_depth, 0)
    np.testing.assert_array_equal(inverse_depth, ramp(1.0, 2.0))


def test_low_contrast_is_no_fault() -> None:
    normalized = normalize(Normalizer('minmax', 0.0), ramp(5.0, 5.001), 0)
    assert normalized.min() == 0.0
    assert normalized.max() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize('steps_s', [[0.1] * 10, [0.4, 0.01, 0.09, 0.3, 0.2], [1.0]])
def test_bounds_follow_with_the_time_constant_however_irregular(steps_s: list[float]) -> None:
    normalizer = Normalizer('minmax', 0.5)
    stamp_ns = 1_700_000_000 * SECOND_NS
    normalize(normalizer, ramp(0.0, 1.0), stamp_ns)
    for step_s in steps_s:
        stamp_ns += round(step_s * SECOND_NS)
        normalize(normalizer, ramp(10.0, 21.0), stamp_ns)
    # One second in all is two time constants, in whatever steps.
    kept = math.exp(-2.0)
    assert normalizer.bounds == pytest.approx((10.0 * (1 - kept), 21.0 - 20.0 * kept), abs=1e-6)


def test_noise_in_the_bounds_is_calmed() -> None:
    rng = np.random.default_rng(0)
    normalizer = Normalizer('minmax', 1.0)
    tops = []
    for frame in range(300):
        normalize(normalizer, ramp(0.0, 10.0 + rng.normal()), frame * SECOND_NS // 30)
        assert normalizer.bounds is not None
        tops.append(normalizer.bounds[1])
    # An exponential mean over 30 frames leaves sqrt(1 / 59) = 0.13 of white noise.
    assert np.std(tops[100:]) < 0.25


def test_zero_smoothing_follows_each_frame() -> None:
    normalizer = Normalizer('minmax', 0.0)
    normalize(normalizer, ramp(0.0, 1.0), 0)
    normalize(normalizer, ramp(4.0, 5.0), 0)
    assert normalizer.bounds == (4.0, 5.0)


@pytest.mark.parametrize(
    ('stamp_s', 'shape'),
    [
        pytest.param(98.9, SHAPE, id='stamps went back by more than a second: the bag loops'),
        pytest.param(0.0, SHAPE, id='stamps went back to zero'),
        pytest.param(102.6, SHAPE, id='a pause of more than five time constants'),
        pytest.param(100.1, (24, 32), id='another size'),
    ],
)
def test_the_past_is_dropped(stamp_s: float, shape: tuple[int, int]) -> None:
    normalizer = Normalizer('minmax', 0.5)
    normalize(normalizer, ramp(0.0, 1.0), 100 * SECOND_NS)
    normalize(normalizer, ramp(4.0, 5.0, shape), round(stamp_s * SECOND_NS))
    assert normalizer.bounds == (4.0, 5.0)


@pytest.mark.parametrize('stamp_ns', [0, 7, 100 * SECOND_NS])
def test_constant_stamps_do_not_freeze_the_bounds(stamp_ns: int) -> None:
    normalizer = Normalizer('minmax', 0.5)
    normalize(normalizer, ramp(0.0, 1.0), stamp_ns)
    for _ in range(30):
        normalize(normalizer, ramp(10.0, 21.0), stamp_ns)
    # Thirty frames count as one second, two time constants.
    kept = math.exp(-2.0)
    assert normalizer.bounds == pytest.approx((10.0 * (1 - kept), 21.0 - 20.0 * kept), abs=1e-6)


def test_a_late_frame_counts_as_one_more_and_keeps_the_past() -> None:
    normalizer = Normalizer('minmax', 0.5)
    normalize(normalizer, ramp(0.0, 1.0), 100 * SECOND_NS)
    normalize(normalizer, ramp(0.0, 11.0), 100 * SECOND_NS - SECOND_NS // 2)
    after_late = 11.0 - 10.0 * math.exp(-2.0 * NOMINAL_INTERVAL_S)
    assert normalizer.bounds == pytest.approx((0.0, after_late))
    # The next one is timed from the newest stamp, not from the late one.
    normalize(normalizer, ramp(0.0, 11.0), 100 * SECOND_NS + SECOND_NS // 10)
    assert normalizer.bounds == pytest.approx((0.0, 11.0 - (11.0 - after_late) * math.exp(-0.2)))


def spoilt(value: float) -> np.ndarray:
    inverse_depth = ramp(0.0, 1.0)
    inverse_depth[3, 4] = value
    return inverse_depth


DEGENERATE = {
    'nan': spoilt(np.nan),
    'inf': spoilt(np.inf),
    'minus inf': spoilt(-np.inf),
    'zero': np.zeros(SHAPE, np.float32),
    'constant': np.full(SHAPE, 3.5, np.float32),
    'almost constant': ramp(0.0, 9e-7),
    'beyond float32': ramp(-3e38, 3e38),
}


@pytest.mark.parametrize('name', DEGENERATE)
def test_degenerate_answers_are_refused_and_forgotten(name: str) -> None:
    normalizer = Normalizer('percentile', 0.5)
    normalize(normalizer, ramp(0.0, 1.0), 0)
    bounds = normalizer.bounds
    with pytest.raises(FrameError, match="the network's output") as raised:
        normalize(normalizer, DEGENERATE[name], SECOND_NS)
    assert raised.value.reason == 'degenerate_network'
    assert normalizer.bounds == bounds
    with pytest.raises(FrameError):
        Normalizer('minmax', 0.0).update(DEGENERATE[name], 0)


def test_a_sound_inverse_depth_passes() -> None:
    Normalizer('minmax', 0.0).update(ramp(0.0, 2e-6), 0)


@pytest.mark.parametrize(
    ('method', 'smoothing_s'), [('median', 0.0), ('minmax', -1.0), ('minmax', math.nan)]
)
def test_bad_settings_are_refused(method: str, smoothing_s: float) -> None:
    with pytest.raises(SettingError):
        Normalizer(method, smoothing_s)


FRAMES = st.lists(
    st.tuples(
        st.floats(-1e6, 1e6, width=32),
        st.floats(0.0, 1e6, width=32),
        st.integers(-(10**9), 10**10),
        st.integers(0, 2**32 - 1),
    ),
    min_size=1,
    max_size=6,
)


@given(method=st.sampled_from(Normalization), smoothing_s=st.floats(0.0, 60.0), frames=FRAMES)
@settings(max_examples=300, deadline=None)
def test_bounds_never_invert(method: Normalization, smoothing_s: float, frames: list) -> None:
    normalizer = Normalizer(method, smoothing_s)
    stamp_ns = 0
    for offset, spread, elapsed_ns, seed in frames:
        stamp_ns += elapsed_ns
        noise = np.random.default_rng(seed).random((9, 13), np.float32)
        inverse_depth = (noise * np.float32(spread) + np.float32(offset)).astype(np.float32)
        try:
            normalized = normalize(normalizer, inverse_depth, stamp_ns)
        except FrameError as error:
            assert error.reason == 'degenerate_network'
            continue
        assert normalizer.bounds is not None
        assert normalizer.bounds[0] < normalizer.bounds[1]
        assert 0.0 <= normalized.min() <= normalized.max() <= 1.0
        # What is nearer is never drawn farther.
        order = np.argsort(inverse_depth, axis=None)
        assert (np.diff(normalized.ravel()[order]) >= 0.0).all()


def noisy(level: tuple[int, int, int], std: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0.0, std, (120, 160, 1))
    return np.clip(np.rint(np.array(level) + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ('image', 'reason'),
    [
        pytest.param(noisy((0, 0, 0), 0.0), 'covered_lens', id='black'),
        pytest.param(noisy((12, 9, 14), 1.0), 'covered_lens', id='dark with noise'),
        pytest.param(noisy((255, 255, 255), 1.0), 'constant_image', id='overexposed'),
        pytest.param(noisy((20, 40, 200), 1.0), 'constant_image', id='a red wall'),
    ],
)
def test_images_that_show_nothing_are_refused(image: np.ndarray, reason: str) -> None:
    with pytest.raises(FrameError, match='varies by') as raised:
        check_image(image)
    assert raised.value.reason == reason


def test_a_night_scene_is_not_a_covered_lens() -> None:
    check_image(noisy((10, 10, 10), 3.0))


def test_a_pattern_in_step_with_the_sampling_is_looked_at_closely() -> None:
    image = np.full((640, 640, 3), 255, np.uint8)
    image[::10, ::10] = 255
    image[5::10, 5::10] = 0
    check_image(image)


@pytest.mark.parametrize('shape', [(1, 1, 3), (2, 3, 3), (3000, 2, 3)])
def test_any_size_is_looked_at(shape: tuple[int, int, int]) -> None:
    with pytest.raises(FrameError):
        check_image(np.zeros(shape, np.uint8))


def test_a_normalizer_goes_on_where_another_one_was() -> None:
    first, second = (Normalizer('percentile', 0.5) for _ in range(2))
    maps = [ramp(0.0, high) for high in (1.0, 3.0, 2.0)]
    for index, each in enumerate(maps[:2]):
        first.update(each, index * SECOND_NS // 10)
    second.restore(json.loads(json.dumps(first.state())))
    last = maps[2], 2 * SECOND_NS // 10
    assert second.update(*last) == first.update(*last)


def test_another_scene_has_its_own_bounds_and_a_film_one_scale() -> None:
    normalizer = Normalizer('minmax', 5.0)
    normalizer.update(ramp(0.0, 1.0), 0)
    normalizer.forget()
    assert normalizer.update(ramp(2.0, 4.0), SECOND_NS // 10) == (2.0, 4.0)
    normalizer.fixed = 1.0, 8.0
    assert normalizer.update(ramp(2.0, 4.0), SECOND_NS // 5) == (1.0, 8.0)
