"""Colormaps judged by computation."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from in_study import study

from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.core.colormaps import COLORMAPS
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.studies.colormaps import MapFigures, judge, recommended, seen


@pytest.fixture(scope='module')
def figures() -> dict[str, MapFigures]:
    return {name: judge(table) for name, table in COLORMAPS.items()}


def test_figures_are_those_that_the_maps_were_made_for(figures: dict[str, MapFigures]) -> None:
    monotonic = {name for name, one in figures.items() if not one.turns}
    assert monotonic == {'viridis', 'plasma', 'magma', 'inferno', 'gray'}
    # Made uniform in this very space; the others were not.
    uniform = {name for name, one in figures.items() if one.step_cov < 0.1}
    assert uniform == {'viridis', 'plasma', 'magma', 'inferno'}
    assert all(one.turns == 1 for name, one in figures.items() if name not in monotonic)
    assert figures['gray'].lightness_range == pytest.approx(100.0, abs=0.5)


def test_what_is_left_in_grey_and_without_a_kind_of_cone(figures: dict[str, MapFigures]) -> None:
    for one in figures.values():
        assert one.told_apart['grey'] <= one.told_apart['normal']
    # Grey is the same for every eye.
    assert len(set(figures['gray'].told_apart.values())) == 1
    jet = COLORMAPS['jet']
    assert np.array_equal(seen(jet, 'normal'), jet)
    grey = seen(jet, 'grey')
    assert (grey == grey[:, :1]).all()
    # Red and green, of one lightness, become alike without the cones for green.
    pair = np.array([[0, 140, 0], [0, 0, 220]], np.uint8).repeat(128, axis=0)
    apart = [
        np.ptp(seen(pair, name).astype(int), axis=0).max() for name in ('normal', 'deuteranopia')
    ]
    assert apart[1] < 0.6 * apart[0]


def test_the_recommendation_follows_from_the_figures(figures: dict[str, MapFigures]) -> None:
    def made(turns: int, normal: int, weak: int, grey: int) -> MapFigures:
        told = {'normal': normal, 'deuteranopia': weak, 'grey': grey}
        return MapFigures(turns, 90.0, 0.1, told)

    some = {'turns': made(1, 99, 99, 99), 'a': made(0, 60, 40, 40), 'b': made(0, 50, 45, 38)}
    best, why = recommended(some | {'c': made(0, 70, 70, 10)})
    assert best == 'b' and 'none, in: turns' in why
    best, why = recommended(figures)
    assert best == 'inferno' and 'none, in: spectral_r, turbo, jet.' in why


def test_the_page(tmp_path: Path) -> None:
    source, out = tmp_path / 'room.png', tmp_path / 'out'
    cv2.imwrite(str(source), photograph())
    assert study('colormaps', source, out, '--variant', 'demo') == 0
    page = (out / 'index.html').read_text()
    assert 'Recommended: inferno' in page and (out / 'colormaps' / 'room.png').exists()
    with pytest.raises(SettingError, match='one --variant'):
        study('colormaps', source, out, '--variant', 'demo,vits')
