from __future__ import annotations

import json

import numpy as np
import pytest

from lab.claims.odometry import CASES, Case, drive_frames, main, run
from lab.world.drives import Drive, Driven, Leg

SHORT = Drive('short', 'room', (Leg(1.2, 2.0),))
STILL = Leg(1.2, 0.0)


def test_a_short_drive_gives_a_row_with_metres() -> None:
    (row,) = run([Case('short', SHORT)], [3])
    assert (row.drives, row.frames, row.wrong) == (1, 12, 0.0)
    assert 0.3 < row.metres < 1.0
    assert 0.0 < row.abs_rel < 0.1
    assert 0.0 < row.with_lidar < row.worst * row.with_lidar == pytest.approx(row.abs_rel)
    assert '1 no_earlier_frame' in row.reasons


def test_a_pushed_robot_moves_without_odometry_and_stuck_wheels_odometry_without_the_robot() -> (
    None
):
    pushed = list(drive_frames(Case('pushed', SHORT, reported=(STILL,)), 3))
    stuck = list(drive_frames(Case('stuck', Drive('', 'room', (STILL,)), reported=SHORT.legs), 3))
    assert not np.array_equal(pushed[0].depth_m, pushed[-1].depth_m)
    assert np.ptp([each.odom_from_camera.translation for each in pushed], axis=0).max() < 0.01
    assert np.array_equal(stuck[0].depth_m, stuck[-1].depth_m)
    assert np.ptp([each.odom_from_camera.translation for each in stuck], axis=0).max() > 0.5


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
    monkeypatch.setattr('lab.claims.odometry.CASES', (Case('still', Drive('', 'room', (STILL,))),))
    assert main(['--drives', 'still', '--seeds', '1', '--json']) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row['metres'], row['abs_rel']) == (0.0, None)


def test_an_unknown_drive_is_answered_with_those_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--drives', 'moon']) != 0
    assert 'room sideways' in capsys.readouterr().err
