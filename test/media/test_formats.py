"""Outputs say what they hold: relative levels with their scale, metres, floats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from rig import picture
from written_film import write_film

from depth_anything_ros import cli
from depth_anything_ros.backends.base import DepthBackend, NetworkOutput
from depth_anything_ros.backends.loading import load_backend
from depth_anything_ros.cli.run import _FORMATS
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.model import DepthModel
from depth_anything_ros.media.formats import METRIC, SUFFIXES, encoded, film_picture, one_of
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.variants import Checkpoint

FAST = ['--weights', 'random', '--device', 'cpu', '--variant', 'demo', '--backend', 'torch']
BGR = picture(64, 48, seed=1)


def metric_backend() -> DepthBackend:
    """Return a network of metres that sees 0.5 to 75 m, and one pixel of sky."""
    parameters = parameters_from_flat({'variant': 'demo', 'device': 'cpu', 'backend': 'torch'})
    backend = load_backend(parameters)
    card = Card.of_checkpoint('demo', Checkpoint.METRIC_OUTDOOR)
    weights = replace(backend.info.weights, card=card)
    backend.info = replace(backend.info, weights=weights, output=NetworkOutput.METRES)
    seen = np.geomspace(2.0, 1 / 75, 48 * 64).astype(np.float32).reshape(48, 64)
    seen[-1, -1] = 0.0
    backend.infer = lambda bgr, times=None: seen.copy()  # type: ignore[method-assign]
    return backend


@pytest.fixture(scope='module')
def frame() -> Frame:
    """A frame of a network of metres."""
    return DepthModel(metric_backend())(BGR)


def content(path: Path, format_: str, frame: Frame | None, suffix: str = '.png') -> Path:
    path.write_bytes(encoded(format_, suffix, BGR, frame, 0))
    return path


def test_the_options_are_the_formats() -> None:
    assert tuple(SUFFIXES) == _FORMATS


def test_millimetres(tmp_path: Path, frame: Frame) -> None:
    image = Image.open(content(tmp_path / 'a.png', 'depth_mm', frame))
    levels = np.asarray(image)
    depth_m = frame.depth_m
    assert depth_m is not None and np.isnan(depth_m).any() and (depth_m > 65.6).any()
    known = depth_m < 65.5
    assert levels[known] == pytest.approx(1000 * depth_m[known], abs=0.51)
    assert (levels[~(depth_m < 65.6)] == 0).all()
    assert 'millimetres' in image.text['Description']  # type: ignore[attr-defined]
    assert cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_relative_levels_have_their_scale(tmp_path: Path, frame: Frame) -> None:
    image = Image.open(content(tmp_path / 'a.png', 'png16', frame))
    text = image.text  # type: ignore[attr-defined]
    levels = np.asarray(image).astype(float)
    inside = (levels > 0) & (levels < 65535)
    found = float(text['offset']) + float(text['scale']) * levels
    assert found[inside] == pytest.approx(frame.inverse_depth[inside], rel=1e-3)
    assert 'larger = nearer' in text['Description']


@pytest.mark.parametrize('format_', ['npy', 'depth_m'])
def test_floats(tmp_path: Path, frame: Frame, format_: str) -> None:
    values = np.load(content(tmp_path / 'a.npy', format_, frame))
    expected = frame.inverse_depth if format_ == 'npy' else frame.depth_m
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected)


def test_exr_is_read_by_others(tmp_path: Path, frame: Frame) -> None:
    path = content(tmp_path / 'a.exr', 'exr', frame, '.exr')
    with av.open(str(path)) as file:
        (image,) = (each.to_ndarray() for each in file.decode(video=0))
    found = image if image.ndim == 2 else image[..., 0]
    np.testing.assert_array_equal(found, frame.inverse_depth)
    # The same with the name of the channel, and what it says it is, changed.
    metric = encoded('depth_exr', '.exr', BGR, frame, 0)
    assert b'Z\0\2\0\0\0' in metric and b'metres' in metric
    rows = np.frombuffer(metric[-48 * (8 + 4 * 64) :], np.uint8).reshape(48, -1)[:, 8:]
    np.testing.assert_array_equal(rows.copy().view('<f4'), frame.depth_m)


@pytest.mark.parametrize('max_side', [0, 32])
@pytest.mark.parametrize('format_', SUFFIXES)
def test_a_frame_without_depth_says_so_in_every_format(
    tmp_path: Path, format_: str, max_side: int
) -> None:
    size = (24, 32) if max_side else (48, 64)
    ending = '.' + SUFFIXES[format_].rpartition('.')[2]
    blank = encoded(format_, ending, BGR, None, max_side)
    if ending == '.npy':
        (tmp_path / 'a.npy').write_bytes(blank)
        values = np.load(tmp_path / 'a.npy')
        assert values.shape == size and np.isnan(values).all()
    elif ending == '.exr':
        assert blank.endswith(np.full(size[1], np.nan, '<f4').tobytes())
    else:
        shown = film_picture(format_, BGR, None, max_side)
        assert shown.shape[0] == size[0]
        assert not shown[:, -size[1] :].any()


@pytest.mark.parametrize('ending', ['.png', '.jpg', '.npy', '.exr', '.tif', '.webp'])
def test_one_file_of_each_format(tmp_path: Path, ending: str) -> None:
    image = tmp_path / 'in.png'
    cv2.imwrite(str(image), BGR)
    for format_ in one_of(ending):
        if format_ in METRIC:
            continue
        out = tmp_path / f'{format_}{ending}'
        assert cli.main(['run', str(image), str(out), '--save', format_, *FAST]) == 0
        assert out.stat().st_size > 100


def test_the_ending_chooses_the_format(tmp_path: Path) -> None:
    image = tmp_path / 'in.png'
    cv2.imwrite(str(image), BGR)
    for name in ('out.npy', 'out.exr'):
        assert cli.main(['run', str(image), str(tmp_path / name), *FAST]) == 0
    assert np.load(tmp_path / 'out.npy').shape == (48, 64)
    assert (tmp_path / 'out.exr').read_bytes().startswith(b'v/1\1')


def test_levels_of_a_film_are_lossless(tmp_path: Path) -> None:
    film = write_film(tmp_path / 'film.mp4', [picture(64, 48, seed) for seed in range(3)])
    out = tmp_path / 'levels.mkv'
    assert cli.main(['run', str(film), str(out), '--save', 'png16', *FAST]) == 0
    folder = tmp_path / 'levels'
    assert cli.main(['run', str(film), str(folder), '--save', 'png16', *FAST]) == 0
    with av.open(str(out)) as file:
        comment = {name.lower(): text for name, text in file.metadata.items()}['comment']
        assert comment.startswith('relative inverse depth')
        for index, each in enumerate(file.decode(video=0)):
            path = folder / f'frame_{index:06d}_depth16.png'
            np.testing.assert_array_equal(
                each.to_ndarray(), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            )


def test_metres_of_a_metric_checkpoint_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / 'in.png'
    cv2.imwrite(str(image), BGR)
    monkeypatch.setattr('depth_anything_ros.cli.run.load', lambda parameters: metric_backend())
    words = ['run', str(image), str(tmp_path / 'out'), '--save', 'depth_mm', 'depth_m', '--json']
    assert cli.main([*words, '--save', 'ply']) == 1
    assert json.loads(capsys.readouterr().out)['refused'] == {'no_camera_info': ['in']}
    # Neighbours of this network differ by more than surfaces do.
    cloud = ['--save', 'ply', '--fov', '60', '--set', 'cloud.edge_filter=0']
    assert cli.main([*words, *cloud]) == 0
    assert b'element vertex' in (tmp_path / 'out' / 'in_points.ply').read_bytes()
    capsys.readouterr()
    assert cli.main(words) == 0
    assert json.loads(capsys.readouterr().out)['written'] == 1
    depth_m = np.load(tmp_path / 'out' / 'in_depth_m.npy')
    assert 0.4 < np.nanmin(depth_m) < 1
