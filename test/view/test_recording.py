"""Recordings of files and bags, read back by rerun's own API."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from written_film import write_film

from depth_anything_ros.backends.loading import load_backend
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.replay import BagReplay, CameraTopics
from depth_anything_ros.cli import main
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import parameters_from_flat
from lab.sample import write_sample_bag
from lab.world.world import World

pytest.importorskip('rerun', reason='pip install rerun-sdk')

from recordings import Recorded, array_of, read

from depth_anything_ros.view.recording import Recorder
from depth_anything_ros.view.viewer import recording

_NETWORK = ('--variant', 'demo', '--backend', 'torch', '--device', 'cpu')
_RELATIVE = ('image', 'depth/inverse', 'depth/color', 'latency/total_ms', 'status')
_METRIC = ('depth/metric', 'depth/sigma', 'points', 'samples', 'scale/scale', 'scale/shift')
_GREEN, _RED = 0x3CC83CFF, 0xE63C3CFF


def _view(source: Path, *options: str) -> tuple[int, Recorded]:
    file = source.parent / 'a.rrd'
    status = main(['view', str(source), '--save', str(file), *options, *_NETWORK])
    assert not list(source.parent.glob('*.writing'))
    return status, read(file)


def _frames(found: Recorded, path: str) -> list[int]:
    """The frames that have an entity, without those that clear it."""
    entity = found.get(f'/camera/{path}', {'Clear:is_recursive': {}, 'frame': {}})
    return sorted(entity['frame'].keys() - entity['Clear:is_recursive'].keys())


def _write_drive(folder: Path, count: int, far: int) -> World:
    """Write images with depth images as references, from number `far` on of nothing."""
    world = World('room', 0, 3.0, (160, 120), ())
    for name in ('in', 'reference'):
        (folder / name).mkdir()
    for number in range(count):
        bgr, depth_m = world.picture(0.2 * number)
        depth_m = depth_m.copy()
        # Outliers: a twelfth of the image, three times too far.
        depth_m[40:80, 60:100] *= 3.0
        cv2.imwrite(str(folder / 'in' / f'{number}.png'), bgr)
        np.save(
            folder / 'reference' / f'{number}.npy', depth_m if number < far else depth_m * np.nan
        )
    return world


def test_two_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_drive(tmp_path, 2, 0)
    (tmp_path / 'in' / 'broken.png').write_bytes(b'no picture')
    status, found = _view(tmp_path / 'in')
    told = capsys.readouterr()
    assert (status, told.out) == (1, '2 frames\n')
    assert 'left out: broken: ' in told.err
    for path in _RELATIVE:
        assert _frames(found, path) == [0, 1], path
    assert not any(_frames(found, path) for path in _METRIC)
    # Pictures have no time, and relative depth is never in metres.
    assert 'stamp' not in found['/camera/image']
    assert not any('DepthImage' in name for name in found['/camera/depth/inverse'])
    assert array_of(found['/camera/depth/inverse'], 'Image', 1).shape == (120, 160)


def test_outliers_are_red_and_metres_that_end_are_cleared(tmp_path: Path) -> None:
    world = _write_drive(tmp_path, 5, 3)
    options = '--sequence', '10', '--set', 'alignment.hold_s=0.05', '--reference'
    status, found = _view(tmp_path / 'in', *options, str(tmp_path / 'reference'), '--fov', '80')
    assert status == 1
    for path in _RELATIVE:
        assert _frames(found, path) == [0, 1, 2, 3, 4], path
    for path in _METRIC:
        assert _frames(found, path) == [0, 1, 2], path
        assert list(found[f'/camera/{path}']['Clear:is_recursive']) == [3], path
    assert 'too few samples' in found['/camera/status']['TextDocument:text'][3].as_py()[0]
    metric = found['/camera/depth/metric']
    error = np.abs(array_of(metric, 'DepthImage', 1) / world.picture(0.2)[1] - 1.0)
    assert np.nanmedian(error) < 0.1
    assert metric['DepthImage:meter'][1].as_py() == [1.0]
    samples = found['/camera/samples']
    x, y, z = np.array(samples['Points3D:positions'][1].as_py()).T
    red = np.array(samples['Points3D:colors'][1].as_py()) == _RED
    focal = 80.0 / np.tan(np.radians(40.0))
    u, v = x / z * focal + 79.5, y / z * focal + 59.5
    inside = (u > 59) & (u < 100) & (v > 39) & (v < 80)
    assert red[inside].sum() > 3
    # Some of the network's own errors make up for it.
    assert red[inside].mean() > 0.75
    assert red[~inside].mean() < 0.2


def test_a_reference_without_intrinsics_has_no_place_in_space(tmp_path: Path) -> None:
    _write_drive(tmp_path, 2, 2)
    status, found = _view(tmp_path / 'in', '--reference', str(tmp_path / 'reference'))
    assert status == 0
    assert _frames(found, 'depth/metric') == [0, 1]
    assert _frames(found, 'points') == []
    assert 'Pinhole:image_from_camera' not in found['/camera/image']


def test_a_film(tmp_path: Path) -> None:
    # A room with much floor in sight: in others the rounding of a processor decides.
    world = World('room', 1, 3.0, (160, 120), ())
    film = write_film(tmp_path / 'film.mp4', [world.picture(0.1 * i)[0] for i in range(4)])
    status, found = _view(film, '--camera-height', '0.4', '--fov', '80')
    assert status == 0
    for path in {*_RELATIVE, *_METRIC, 'drops/dropped_superseded'} - {'samples'}:
        assert _frames(found, path) == [0, 1, 2, 3], path
    stamps = found['/camera/points']['stamp']
    assert [stamps[frame].value for frame in range(4)] == [
        0,
        100_000_000,
        200_000_000,
        300_000_000,
    ]


def test_a_bag_as_the_replay_makes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_sample_bag(tmp_path / 'bag', seconds=1.0, rate=5.0, size=(160, 120)).path
    status, found = _view(bag, '--reference', '/lidar/points')
    assert status == 0
    assert ' 5       5 ' in capsys.readouterr().out
    parameters = parameters_from_flat({'variant': 'demo', 'backend': 'torch', 'device': 'cpu'})
    with BagReader(bag) as reader:
        topics = CameraTopics('/camera/image_raw', reference='/lidar/points')
        backend = load_backend(parameters)
        frames = [image.frame for image in BagReplay(reader, topics, backend, parameters)]
    measured = [number for number, frame in enumerate(frames) if frame.depth_m is not None]
    assert len(frames) == 5 and len(measured) > 2
    for path in (*_RELATIVE, 'drops/dropped_invalid'):
        assert _frames(found, path) == [0, 1, 2, 3, 4], path
    for path in (*_METRIC, 'scan'):
        assert _frames(found, path) == measured, path
    metric = found['/camera/depth/metric']
    for number in measured:
        depth_m = array_of(metric, 'DepthImage', number)
        np.testing.assert_array_equal(depth_m, frames[number].depth_m.astype(np.float16))
        assert metric['stamp'][number].value == frames[number].stamp_ns
        colors = found['/camera/samples']['Points3D:colors'][number].as_py()
        assert colors.count(_GREEN) == frames[number].scale.fit.inliers
        assert set(colors) <= {_GREEN, _RED}
        # Where the image is, depth is behind it: the pinhole leads back to the points.
        (matrix,) = metric['Pinhole:image_from_camera'][number].as_py()
        camera = frames[number].camera()
        assert matrix == pytest.approx(
            [camera.fx, 0, 0, 0, camera.fy, 0, camera.cx + 0.5, camera.cy + 0.5, 1]
        )


def test_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    bag = str(tmp_path / 'bag')
    Path(bag).mkdir()
    Path(bag, 'a.mcap').touch()
    for options, told in (
        (['x.mp4'], 'there is no display: give --web, or --save FILE.rrd'),
        ([], 'name one thing to look at: SOURCE, or --node NAME'),
        (['x.mp4', '--node', '/a'], 'name one thing to look at: SOURCE, or --node NAME'),
        (['x.mp4', '--web', '70000'], '--web 70000: give a port from 1 to 65534'),
        (['x.mp4', '--save', '/none/a.rrd'], '--save /none/a.rrd cannot be written: No such file'),
        (['x.mp4', '--save', 'x.mp4'], '--save x.mp4 is a recording: let it end in .rrd'),
        ([bag, '--save', f'{bag}/a.rrd'], f'--save {bag}/a.rrd lies in what is read: name an'),
    ):
        assert main(['view', *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f'depth_anything: {told}')
    monkeypatch.setitem(sys.modules, 'rerun', None)
    for name in [each for each in sys.modules if each.startswith('depth_anything_ros.view.')]:
        monkeypatch.delitem(sys.modules, name)
    assert main(['view', 'x.mp4', '--web']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    told = 'this needs rerun, which is not installed: pip install rerun-sdk'
    assert line == f'depth_anything: {told}'


def test_what_is_cut_short_is_said_and_what_failed_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_drive(tmp_path, 8, 0)
    add = Recorder.add

    def interrupted(recorder: Recorder, *given: Any) -> None:
        # A second one would not wait.
        if not recorder.numbers:
            os.kill(os.getpid(), signal.SIGINT)
        add(recorder, *given)

    def failed(*given: Any) -> None:
        raise SettingError('broken')

    monkeypatch.setattr(Recorder, 'add', interrupted)
    status, _ = _view(tmp_path / 'in')
    assert (status, capsys.readouterr().err.splitlines()[-1]) == (1, 'left out: stopped by SIGINT')
    (tmp_path / 'a.rrd').unlink()
    monkeypatch.setattr(Recorder, 'add', failed)
    save = tmp_path / 'a.rrd'
    assert main(['view', str(tmp_path / 'in'), '--save', str(save), *_NETWORK]) == 2
    assert not list(tmp_path.glob('*.rrd*'))


def test_the_page_is_served_until_sigint(tmp_path: Path) -> None:
    _write_drive(tmp_path, 1, 0)
    with socket.socket() as end:
        end.bind(('127.0.0.1', 0))
        port = end.getsockname()[1]
    command = ['view', str(tmp_path / 'in'), '--web', str(port), *_NETWORK]
    told, answers = io.StringIO(), []

    def look() -> None:
        try:
            while '1 frame' not in told.getvalue() and main_thread.is_alive():
                time.sleep(0.05)
            with urllib.request.urlopen(told.getvalue().split()[1], timeout=10) as page:
                answers.append((page.status, b'rerun' in page.read().lower()))
            with pytest.raises(SettingError, match='is taken, give another'), _page(port):
                pass
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    main_thread = threading.main_thread()
    browser = threading.Thread(target=look)
    with contextlib.redirect_stdout(told):
        browser.start()
        assert main(command) == 0
    browser.join()
    assert told.getvalue().startswith(f'open http://127.0.0.1:{port}/?url=rerun')
    assert answers == [(200, True)]
    with pytest.raises(OSError, match='refused'):
        urllib.request.urlopen(f'http://127.0.0.1:{port}', timeout=10)


def _page(port: int) -> AbstractContextManager[Recorder]:
    return recording(None, port, print, str, ['/camera'], '')
