"""Variants against each other: orders, edges, thin things, the sheet, and the time of a film."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from in_process import bench_in_process
from in_study import study

from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.core.colormaps import COLORMAPS
from depth_anything_ros.core.errors import SettingError, WeightsError
from depth_anything_ros.studies.inputs import images_of
from depth_anything_ros.studies.variants.compare import agreement, disputes, edge_sharpness
from depth_anything_ros.studies.variants.sheet import contact_sheet, draw_disputes
from depth_anything_ros.studies.variants.study import film_hours, sections

RAMP = np.tile(np.linspace(0, 1, 160, dtype=np.float32), (120, 1))


def test_a_network_agrees_with_itself_up_to_scale_and_shift() -> None:
    found = agreement(3 * RAMP + 7, RAMP)
    assert found['ssi error'] == pytest.approx(0.0, abs=1e-3) and found['disputed'] == 0.0
    assert found['rank correlation'] == pytest.approx(1.0)
    against = agreement(-RAMP, RAMP)
    assert against['disputed'] == 1.0 and against['ssi error'] == 1.0


def test_thin_things_that_are_lost_are_counted() -> None:
    fence = RAMP * 0.2
    fence[:, 20:150:25] += 0.8
    fence[:, 21:150:25] += 0.8
    kept, lost = agreement(fence, fence), agreement(cv2.blur(fence, (25, 25)), fence)
    assert kept['thin kept'] == 1.0 and lost['thin kept'] < 0.2
    assert np.isnan(agreement(RAMP, RAMP)['thin kept'])


def test_sharp_edges_step_further_within_a_pixel() -> None:
    step = (RAMP > 0.5).astype(np.float32)
    assert edge_sharpness(step) > 2 * edge_sharpness(cv2.GaussianBlur(step, (0, 0), 4.0))


def test_disputes_name_points_that_the_networks_order_differently() -> None:
    other = RAMP.copy()
    other[:, 100:] = 0.1  # what is nearest in one is far in the other
    found = disputes({'a': RAMP, 'b': other})
    assert 1 <= len(found) <= 4
    for one in found:
        assert {one.nearer['a'], one.nearer['b']} == {'A', 'B'}
        (xa, _), (xb, _) = one.a, one.b
        assert one.nearer['a'] == ('A' if xa > xb else 'B')
        assert max(xa, xb) >= 95  # a blur of five pixels
    assert disputes({'a': RAMP, 'b': 2 * RAMP}) == []
    picture = np.zeros((120, 160, 3), np.uint8)
    drawn = draw_disputes(picture, found)
    assert drawn.any() and not picture.any()


def test_the_sheet_has_near_in_dark_red_and_keeps_the_aspect() -> None:
    images = [np.zeros((120, 160, 3), np.uint8)]
    sheet = contact_sheet(images, {'vits': [RAMP], 'vitl': [RAMP]})
    right, left = sheet[278 + 10, -12], sheet[278 + 10, 245]
    assert right.tolist() == COLORMAPS['jet'][255].tolist()
    assert left.tolist() == COLORMAPS['jet'][0].tolist()
    assert sheet.shape[:2] == (3 * (270 + 8) + 110, 240 + 368)
    assert sheet[-100:].min() < 100  # the words about Giant


def test_a_film_of_two_hours() -> None:
    # The second article's own speed of Large with two threads: 59 s for 100 frames.
    assert film_hours(590.0) == pytest.approx(28.3, abs=0.1)


def test_many_images_take_several_sheets() -> None:
    images = {f'{index}': np.full((12, 16, 3), index, np.uint8) for index in range(7)}
    first, *_ = sections(images, {'a': [RAMP[:12, :16]] * 7})
    assert [one.name for one in first.blocks] == ['contact_sheet', 'contact_sheet_2']
    wide, narrow = (one.image.shape[1] for one in first.blocks)
    assert wide > narrow


def test_the_page_compares_and_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench_in_process(monkeypatch)
    source, out = tmp_path / 'room.png', tmp_path / 'out'
    cv2.imwrite(str(source), cv2.resize(photograph(), (160, 120)))
    words = ['--variant', 'demo', '--threads', '1', '--seconds', '0.1']
    assert study('variants', source, out, *words) == 0
    content = json.loads((out / 'report.json').read_text())
    blocks = {one['title']: one['blocks'] for one in content['sections']}
    head, row = blocks['Speed, memory and size'][1]['rows']
    found = dict(zip(head, row, strict=True))
    assert found['network'] == 'demo, threads: 1' and found['ratio'] == 1.0
    assert found['hours for a film'] == pytest.approx(48.0 * found['s for 100 frames'] / 100)
    assert found['size on disk MB'] == pytest.approx(4.16, abs=0.01)
    assert found['million parameters'] == pytest.approx(2.07, abs=0.01)
    kept = {path: path.stat().st_mtime_ns for path in (out / 'parts').iterdir()}
    assert study('variants', source, out, *words, '--resume') == 0
    assert kept == {path: path.stat().st_mtime_ns for path in (out / 'parts').iterdir()}


def test_what_cannot_be_used_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / 'room.png'
    cv2.imwrite(str(source), photograph())
    (tmp_path / 'file').touch()
    words = ['--variant', 'demo', '--no-speed']
    with pytest.raises(SettingError, match=r'--out .* cannot be written'):
        study('variants', source, tmp_path / 'file', *words)
    with pytest.raises(SettingError, match='nowhere does not exist'):
        study('variants', tmp_path / 'nowhere', tmp_path / 'out', *words)
    with pytest.raises(SettingError, match='input_size 9 is out of range'):
        study('variants', source, tmp_path / 'out', *words, '--input-size', '9')
    with pytest.raises(WeightsError, match='vitg was announced and never released'):
        study('variants', source, tmp_path / 'out', '--variant', 'vitg')
    with pytest.raises(SystemExit):
        study('variants', source, tmp_path / 'out', '--variant', 'vitx')
    said = "variant 'vitx' is not known: choose one of vits, vitb, vitl, demo"
    assert said in capsys.readouterr().err


def test_names_of_images_are_distinct(tmp_path: Path) -> None:
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'same.png'), photograph())
    (tmp_path / 'a' / 'broken.png').write_bytes(b'no picture')
    found, left_out = images_of([str(tmp_path / 'a'), str(tmp_path / 'b' / 'same.png')])
    assert list(found) == ['same', 'same_2']
    assert len(left_out) == 1 and 'broken.png' in left_out[0]
    with pytest.raises(SettingError, match=r'broken\.png'):
        images_of([str(tmp_path / 'a' / 'broken.png')])
