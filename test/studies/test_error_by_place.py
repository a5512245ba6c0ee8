from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.studies.error_by_place import Tally, gain_by_itself, gain_by_others


def scene(*errors: float) -> Tally:
    """Ten pixels with each error, in places of their own."""
    place = np.repeat(np.arange(len(errors)), 10)
    return Tally.of(place, np.repeat(np.array(errors), 10))


def test_the_worst_fifth_is_left_out() -> None:
    # Mean 2 of five places; without the one of 6 it is 1.
    assert gain_by_itself([scene(1.0, 1.0, 6.0, 1.0, 1.0)]) == pytest.approx(0.5)


def test_part_of_a_place_may_be_left_out() -> None:
    # A fifth of the pixels is two fifths of the worse half: mean 2 becomes (10 + 18) / 16.
    assert gain_by_itself([scene(1.0, 3.0)]) == pytest.approx(1.0 - 28.0 / 16.0 / 2.0)


def test_others_help_where_they_err_alike_and_harm_where_they_do_not() -> None:
    alike = scene(1.0, 1.0, 6.0, 1.0, 1.0)
    assert gain_by_others([alike, alike, alike]) == pytest.approx(0.5)
    assert gain_by_others([alike, scene(6.0, 1.0, 1.0, 1.0, 1.0)]) == pytest.approx(-0.125)


def test_nothing_is_known_of_too_few_scenes() -> None:
    assert np.isnan(gain_by_itself([]))
    assert np.isnan(gain_by_others([scene(1.0, 2.0)]))
