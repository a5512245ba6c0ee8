"""How inverse depth is distributed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from in_study import study

from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.studies.distribution import distribution


def test_sky_reaches_the_upper_border() -> None:
    depth = np.full((100, 100), 5.0, np.float32)
    depth[:30] = 0.0  # sky
    depth[60:70, 40:60] = 0.0  # a hole below
    found = distribution(depth)
    assert found['sky'] == pytest.approx(0.3)
    assert found['zeros'] == found['at the least'] == pytest.approx(0.32)
    assert found['at the greatest'] == pytest.approx(0.68)
    assert (found['median'], found['max']) == (5.0, 5.0)
    depth[:30] = 3.0
    assert distribution(depth)['sky'] == 0.0


def test_a_smooth_surface_is_told_from_a_rough_one() -> None:
    ramp = np.tile(np.linspace(1, 2, 300, dtype=np.float32), (100, 1))
    rough = ramp + np.random.default_rng(1).normal(0, 0.1, ramp.shape).astype(np.float32)
    assert distribution(ramp)['smooth'] == 1.0
    assert distribution(rough)['smooth'] < 0.1


def test_the_page_has_histogram_slices_and_surface(tmp_path: Path) -> None:
    source, out = tmp_path / 'room.png', tmp_path / 'out'
    cv2.imwrite(str(source), photograph())
    assert study('distribution', source, out, '--variant', 'demo') == 0
    page = (out / 'index.html').read_text()
    assert page.count('Plotly.newPlot(') >= 4
    assert '"type":"surface"' in page and 'no metres' in page
