from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lab.claims import error_model
from lab.claims.error_model import main, measured, simulated_rows

SHAPE = (240, 320)


def wavy_wall(error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the output for a slanted wall with this log error, and its depth."""
    inverse = np.tile(np.linspace(0.2, 1.0, SHAPE[1]), (SHAPE[0], 1))
    return (inverse * np.exp(error) - 0.1).astype(np.float32), (1.0 / inverse).astype(np.float32)


def test_it_measures_the_error_that_was_put_in() -> None:
    error = 0.01 * np.random.default_rng(1).standard_normal(SHAPE)
    abs_rel, sd, mad_sigma, kurtosis, shift, zeros, *correlations = measured(*wavy_wall(error))
    assert abs_rel == pytest.approx(0.01 * np.sqrt(2.0 / np.pi), rel=0.03)
    assert (sd, mad_sigma) == pytest.approx((0.01, 0.01), rel=0.03)
    assert kurtosis == pytest.approx(3.0, abs=0.1)
    assert shift == pytest.approx(0.1 / 0.2, abs=0.03)
    assert zeros == 0.0
    assert np.nanmax(np.abs(correlations)) < 0.15


def test_correlations_tell_position_from_depth() -> None:
    rows = np.arange(SHAPE[0]) // 60 % 2
    by_position = 0.1 * (rows - 0.5)[:, None] * np.ones(SHAPE)
    near, *_, far = measured(*wavy_wall(by_position))[6:11]
    assert near > 0.7 > far
    by_output = 0.1 * np.sin(np.linspace(0.0, 40.0, SHAPE[1])) * np.ones(SHAPE)
    alike, *_ = measured(*wavy_wall(by_output))[11:]
    unlike = measured(*wavy_wall(by_output))[12]
    assert alike > 0.4 > unlike


def test_simulated_errors_are_like_those_of_the_real_network() -> None:
    rows = {row.name: row for row in simulated_rows(4)}
    # Published AbsRel: NYU 0.045 to 0.053, one real room 0.022; KITTI 0.074 to 0.078.
    assert 0.03 < rows['room P50'].abs_rel < 0.045
    assert 0.07 < rows['road P50'].abs_rel < 0.09
    for family in ('room', 'road'):
        middle = rows[f'{family} P50']
        # Two real maps of a street and one of a room: 8 to 15.
        assert 5.0 < middle.kurtosis < 18.0
        assert middle.mad_sigma < 0.85 * middle.sd
        assert middle.by_distance[0] > 0.8
        assert middle.by_distance[-1] < 0.2
        assert middle.by_step[0] > 0.8
        assert middle.by_step[-1] < 0.35


def test_the_command_compares_with_real_maps_and_names_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_model, '_SIZE', (160, 120))
    inverse_depth, depth_m = wavy_wall(np.zeros(SHAPE))
    depth = np.round(256.0 * depth_m).astype(np.uint16)
    np.savez(tmp_path / 'wall.npz', inverse_depth=inverse_depth, depth_m=depth)
    np.savez(tmp_path / 'photo.npz', depth_m=depth)
    (tmp_path / 'notes.txt').touch()
    assert main([str(tmp_path), '--scenes', '1', '--json']) == 0
    out, err = capsys.readouterr()
    *simulated, wall = json.loads(out)
    assert {row['name'] for row in simulated} >= {'room P10', 'road P90'}
    assert wall['name'] == 'wall'
    assert wall['abs_rel'] < 0.005
    assert [line.split(':')[0] for line in err.splitlines()] == ['notes.txt', 'photo.npz']
    assert main([str(tmp_path / 'none')]) == 2
    assert 'not a folder' in capsys.readouterr().err
