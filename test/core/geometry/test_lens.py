"""Every distortion model against OpenCV's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.geometry.lens import Lens

LENSES = {
    'plumb_bob 4': Lens('plumb_bob', (-0.28, 0.09, 0.0012, -0.0008)),
    'plumb_bob 5': Lens('plumb_bob', (-0.28, 0.09, 0.0012, -0.0008, -0.012)),
    'pincushion': Lens('plumb_bob', (0.15, 0.02, 0.0, 0.0, 0.0)),
    'rational 8': Lens('rational_polynomial', (3.1, 1.2, 0.0004, -0.0007, 0.03, 3.4, 2.1, 0.25)),
    'thin prism 12': Lens(
        'rational_polynomial',
        (0.2, 0.1, 0.0004, -0.0007, 0.03, 0.5, 0.2, 0.02, 0.002, -0.001, 0.003, 0.0005),
    ),
    'tilted 14': Lens(
        'rational_polynomial',
        (0.2, 0.1, 0.0004, -0.0007, 0.03, 0.5, 0.2, 0.02, 0.002, -0.001, 0.0, 0.0, 0.03, -0.02),
    ),
    'equidistant': Lens('equidistant', (-0.02, 0.01, 0.001, -0.002)),
    'equidistant 0': Lens('equidistant', (0.0, 0.0, 0.0, 0.0)),
}
lenses = pytest.mark.parametrize('lens', LENSES.values(), ids=LENSES.keys())


def directions(lens: Lens, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Directions up to 45 degrees off the axis, or to nine tenths of where the lens folds."""
    random = np.random.default_rng(0)
    radius = min(1.0, 0.9 * lens.limit) * np.sqrt(random.random(count))
    angle = random.uniform(-np.pi, np.pi, count)
    return radius * np.cos(angle), radius * np.sin(angle)


def by_opencv(lens: Lens, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    points = np.stack([x, y, np.ones_like(x)], axis=1).reshape(-1, 1, 3)
    zero, eye = np.zeros(3), np.eye(3)
    coefficients = np.array(lens.coefficients)
    if lens.model == 'equidistant':
        shown, _ = cv2.fisheye.projectPoints(points, zero, zero, eye, coefficients)
    else:
        shown, _ = cv2.projectPoints(points, zero, zero, eye, coefficients)
    return shown.reshape(-1, 2).T


@lenses
def test_distortion_is_opencvs(lens: Lens) -> None:
    x, y = directions(lens)
    assert np.allclose(lens.distort(x, y), by_opencv(lens, x, y), rtol=0, atol=1e-9)


@lenses
def test_float32_is_kept_and_good_to_a_thousandth_of_a_pixel(lens: Lens) -> None:
    x, y = directions(lens)
    shown = np.stack(lens.distort(x.astype(np.float32), y.astype(np.float32)))
    assert shown.dtype == np.float32
    assert np.allclose(shown, by_opencv(lens, x, y), rtol=0, atol=1e-6)


@lenses
def test_undistortion_is_the_inverse(lens: Lens) -> None:
    x, y = directions(lens)
    back = lens.undistort(*by_opencv(lens, x, y))
    # A ten-thousandth of a pixel at a focal length of 500.
    assert np.allclose(back, (x, y), rtol=0, atol=2e-7)


def test_points_beyond_the_fold_do_not_come_back_into_the_picture() -> None:
    lens = Lens('plumb_bob', (-0.28, 0.09, 0.0, 0.0, -0.012))
    # The derivative of r (1 + k1 r^2 + k2 r^4 + k3 r^6) vanishes here.
    roots = np.roots([7 * -0.012, 0, 5 * 0.09, 0, 3 * -0.28, 0, 1])
    fold = min(root.real for root in roots if abs(root.imag) < 1e-9 and root.real > 0)
    assert lens.limit == pytest.approx(fold, abs=1e-3)
    x = np.array([0.98 * fold, 1.02 * fold, 3.0, 50.0, np.inf])
    with np.errstate(invalid='ignore', over='ignore'):
        shown, _ = lens.distort(x, np.zeros(5))
    assert np.isfinite(shown).tolist() == [True, False, False, False, False]


def test_what_no_direction_leads_to_is_unknown() -> None:
    lens = Lens('plumb_bob', (-0.28, 0.02, 0.0, 0.0))
    x, y = lens.undistort(np.array([0.1, 2.0]), np.array([0.0, 2.0]))
    assert np.isfinite([x[0], y[0]]).all()
    assert np.isnan([x[1], y[1]]).all()


def test_no_distortion_changes_nothing() -> None:
    for lens in (Lens(), Lens('plumb_bob', (0.0,) * 5)):
        assert lens.is_plain
        x = np.array([0.1, 30.0])
        assert lens.distort(x, x)[0] is x
        assert lens.undistort(x, x)[1] is x
