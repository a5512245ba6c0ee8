"""Dark, blown out, blurred and frozen images, on photographs and on simulated drives."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data

from depth_anything_ros.core.camera_health import CameraHealth
from depth_anything_ros.core.parameters import HealthParameters
from lab.world.world import World

LIMITS = HealthParameters()


def _drive(family: str, count: int = 36) -> list[np.ndarray]:
    """Views along a way, as a camera with some noise takes them, uint8 BGR."""
    world, noise = World(family, size=(320, 240)), np.random.default_rng(0)
    views = [world.picture(world.seconds * index / count)[0] for index in range(count)]
    return [
        np.clip(view + noise.normal(0, 2, view.shape), 0, 255).astype(np.uint8) for view in views
    ]


@pytest.fixture(scope='module', params=['room', 'road'])
def drive(request: pytest.FixtureRequest) -> list[np.ndarray]:
    return _drive(request.param)


def _after(images: list[np.ndarray], limits: HealthParameters = LIMITS) -> CameraHealth:
    health = CameraHealth()
    for image in images:
        health.update(image, limits)
    return health


def test_nothing_is_wrong_with_a_drive(drive: list[np.ndarray]) -> None:
    health = _after(drive)
    assert health.counts == {}
    assert health.problem() == ''


@pytest.mark.parametrize(
    ('cause', 'spoil'),
    [
        ('dark', lambda image: image // 16),
        ('blown_out', lambda image: np.clip(image.astype(int) * 8, 0, 255).astype(np.uint8)),
        ('blurred', lambda image: cv2.GaussianBlur(image, (0, 0), 3.0)),
        ('blurred', lambda image: cv2.blur(image, (15, 1))),
    ],
)
def test_a_fault_is_counted_and_told_and_over_when_it_ends(
    drive: list[np.ndarray], cause: str, spoil: object
) -> None:
    health = _after(drive)
    for image in drive[:16]:
        health.update(spoil(image), LIMITS)  # type: ignore[operator]
    assert health.counts[cause] == 16
    assert cause.partition('_')[0] in health.problem()
    for image in drive[16:36]:
        health.update(image, LIMITS)
    assert health.counts[cause] == 16
    assert health.problem() == ''


@pytest.mark.parametrize('name', ['astronaut', 'chelsea', 'coffee', 'rocket'])
def test_photographs_of_one_camera_are_judged_by_what_is_usual(name: str) -> None:
    photograph = np.ascontiguousarray(getattr(skimage.data, name)()[..., ::-1])
    height, width = photograph.shape[:2]
    views = [photograph[i : height - 40 + i, i : width - 40 + i] for i in range(40)]
    health = _after(views)
    assert health.counts == {}
    assert not health.update(cv2.GaussianBlur(views[0], (0, 0), 2.0), LIMITS)
    assert health.counts == {'blurred': 1}


def test_equal_images_are_frozen_and_a_pixel_is_enough_to_differ() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    other = image.copy()
    other[47, 63, 0] ^= 1
    health = CameraHealth()
    assert [health.update(each, LIMITS) for each in (image, image.copy(), other, image)] == [
        False,
        True,
        False,
        False,
    ]
    assert health.counts['frozen'] == 1
    # Another size is another image.
    assert not health.update(np.ascontiguousarray(image[:24]), LIMITS)
    for _ in range(20):
        health.update(image, LIMITS)
    assert 'one image again and again' in health.problem()


def test_thresholds_and_the_switch() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    assert _after([image], replace(LIMITS, dark_below=200.0)).counts == {'dark': 1}
    assert _after([image], replace(LIMITS, blown_out_above=0.0)).counts == {'blown_out': 1}
    off = replace(LIMITS, enabled=False, dark_below=255.0)
    assert _after([image, image], off).counts == {}


def test_small_and_flat_images_are_judged_too() -> None:
    for shape in ((1, 1, 3), (2, 3, 3), (400, 2, 3)):
        assert not CameraHealth().update(np.full(shape, 128, np.uint8), LIMITS)
