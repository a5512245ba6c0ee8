from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np
import pytest

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.metric.odometry import OdometryTracker
from lab.claims.odometry import CASES, Case, camera_poses, main, run
from lab.world.camera import view_of
from lab.world.drives import Drive, Driven, Leg

SHORT = Drive('room', (Leg(1.2, 2.0),))
STILL = Leg(1.2, 0.0)


def test_a_short_drive_gives_a_row_with_metres() -> None:
    (row,) = run([Case('short', SHORT)], [3])
    assert (row.drives, row.frames, row.wrong) == (1, 12, 0.0)
    assert 0.3 < row.metres < 1.0
    assert 0.0 < row.abs_rel < 0.1
    assert 0.0 < row.with_lidar < row.worst * row.with_lidar == pytest.approx(row.abs_rel)
    assert '1 no_earlier_frame' in row.reasons


def path_of(poses: list[Transform]) -> float:
    """Return the longest side of the box (x, y, z) that holds the poses."""
    return float(np.ptp([each.translation for each in poses], axis=0).max())


def test_odometry_does_not_see_a_push_and_counts_what_stuck_wheels_turn() -> None:
    pushed, _ = camera_poses(Case('pushed', SHORT, reported=(STILL,)), 3)
    stuck, _ = camera_poses(Case('stuck', Drive('room', (STILL,)), reported=SHORT.legs), 3)
    assert path_of(pushed) < 0.01
    assert path_of(stuck) > 0.5


def test_cases_on_one_drive_share_its_pictures_and_differ_by_odometry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views, poses = [], []

    def counted(*given: Any) -> object:
        views.append(given)
        return view_of(*given)

    def followed(_: OdometryTracker, grey: object, stamp_ns: int, pose: Transform) -> NoReturn:
        poses.append(pose)
        raise FrameError('no_motion', '')

    monkeypatch.setattr('lab.claims.odometry.view_of', counted)
    monkeypatch.setattr(OdometryTracker, 'update', followed)
    brief = Drive('room', (Leg(0.2, 2.0),))
    cases = [Case('even', brief), Case('slip', brief, slip=(0.0, 1.0, 2.0))]
    assert [row.name for row in run(cases, [3])] == ['even', 'slip']
    assert len(views) == 2
    assert path_of(poses[2:]) == pytest.approx(2.0 * path_of(poses[:2]), rel=0.01)


def test_legs_follow_each_other_and_the_last_has_no_end() -> None:
    class Line:
        def pose(self, time_s: float) -> tuple[float, float, float]:
            return time_s, 0.0, 0.0

    driven = Driven(Line(), (Leg(1.0, 2.0), Leg(1.0, 0.0, 0.5), Leg(1.0)), facing=0.25)
    assert driven.pose(-1.0) == (-2.0, 0.0, 0.25)
    assert driven.pose(1.5) == (2.0, 0.0, 0.5)
    assert driven.pose(4.0) == (4.0, 0.0, 0.75)


def test_twelve_drives_are_due_metres_and_four_are_not() -> None:
    assert sum(case.metres and case.late_s < 0.1 for case in CASES) >= 12
    assert {case.name for case in CASES if not case.metres} == {
        'turning on the spot', 'standing', 'stuck wheels', 'pushed'
    }  # fmt: skip


def test_the_command_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        'lab.claims.odometry.CASES', (Case('still', Drive('room', (Leg(0.2, 0.0),))),)
    )
    assert main(['--drives', 'still', '--seeds', '1', '--json']) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row['metres'], row['abs_rel']) == (0.0, None)


def test_an_unknown_drive_is_answered_with_those_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--drives', 'moon']) != 0
    assert 'room sideways' in capsys.readouterr().err
