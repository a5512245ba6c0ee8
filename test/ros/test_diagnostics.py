"""What ~/status says of a camera, and how often the log does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.metric.scale import Scale
from depth_anything_ros.ros import reporter
from depth_anything_ros.ros.diagnostics import (
    OK,
    WARN,
    Snapshot,
    Verdict,
    camera_verdicts,
    status_verdict,
)
from depth_anything_ros.ros.telemetry import Telemetry, clock_problem

NOW = Snapshot('active', '', '', Parameters(), None, '', {})
BLURRED = 'images are blurred'


class Camera(SimpleNamespace):
    """A camera whose images were blurred; `silent` ones come no more."""

    def __init__(self, *, silent: bool = False, info: str = '') -> None:
        super().__init__(
            telemetry=Telemetry(),
            health=SimpleNamespace(problem=lambda: BLURRED, counts={}),
            messages=SimpleNamespace(kind=ReferenceKind.LASER_SCAN),
            parameters=Parameters(),
            reference=SimpleNamespace(problem=lambda needed: ''),
            outputs=SimpleNamespace(wanted=lambda: True, metric_wanted=lambda: True),
            is_silent=lambda: silent,
            image_topic=lambda: '/image',
            camera_info_problem=lambda: info,
        )

    def publishes(self, **missing: FrameError) -> Camera:
        """Publish a frame in metres."""
        fit = SimpleNamespace(scale=1.0, shift=0.0, warning='')
        self.telemetry.scaled(Scale(fit, 'reference', '', ''), missing)  # type: ignore[arg-type]
        self.telemetry.published(0.0, 1.0, 0.0, {})
        return self


def said(camera: Any, problem: str = '') -> str:
    return status_verdict(NOW, camera, problem).message


def test_the_same_trouble_has_one_code_before_and_after_images_are_late() -> None:
    why = 'no publisher on /image'
    early, late = (status_verdict(NOW, Camera(silent=each), why) for each in (False, True))
    assert early.code == late.code == why
    assert late.message == f'no image on /image: {why}'
    # Topics that come and go meanwhile are no other trouble.
    listed = Camera(silent=True)
    assert status_verdict(NOW, listed, f'{why}; what could be it: /front').code == why


def test_what_earlier_images_looked_like_is_told_only_while_images_come() -> None:
    assert said(Camera()) == BLURRED
    assert BLURRED not in said(Camera(silent=True))
    refusing = Camera()
    for _ in range(2):
        refusing.telemetry.invalid('covered_lens', 'dark')
    assert said(refusing) == 'every image is refused: dark'


def test_what_is_missing_is_named_before_why() -> None:
    error = FrameError('no_transform', 'no transform leads to base_footprint')
    camera = Camera().publishes(scan=error)
    alignment = camera_verdicts(NOW, camera, '')['alignment']
    assert alignment.message == f'metric depth by laser_scan: no scan: {error}'


def test_one_trouble_of_camera_info_is_told_once() -> None:
    uncalibrated = 'K is all zero'
    both = Camera(info=uncalibrated).publishes(scan=FrameError('bad_camera_info', uncalibrated))
    assert said(both).count(uncalibrated) == 1
    assert f'camera_info: {uncalibrated}' in said(Camera(info=uncalibrated).publishes())


def test_stamps_of_zero_are_no_matter_of_clocks() -> None:
    assert clock_problem(1.8e9, 0) == 'image stamps are 0: fix the driver, metric depth needs them'
    assert 'use_sim_time' in clock_problem(1.8e9, 1)


def test_what_comes_and_goes_with_every_frame_does_not_fill_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock_s, lines = [0.0], list[str]()
    monkeypatch.setattr(reporter, 'time', SimpleNamespace(monotonic=lambda: clock_s[0]))
    log = SimpleNamespace(info=lines.append, warning=lines.append)
    node = SimpleNamespace(
        get_logger=lambda: log,
        get_fully_qualified_name=lambda: '/depth_anything',
        create_timer=lambda *_, **__: None,
    )
    monkeypatch.setattr(reporter, 'create_publisher', lambda *_: None)
    reports = reporter.Reporter(node, lambda: NOW)  # type: ignore[arg-type]
    good, bad = Verdict(OK, 'good'), Verdict(WARN, 'bad', code='bad')
    # A minute at 30 Hz, then it stays good.
    for frame in range(1800):
        clock_s[0] = frame / 30
        reports._log(bad if frame % 2 else good)
    assert len(lines) <= 2 * reporter._MOST_LINES
    for second in range(60, 92):
        clock_s[0] = second
        reports._log(good)
    assert lines[-1] == 'good'
