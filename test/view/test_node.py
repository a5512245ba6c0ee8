"""A running node in a recording: everything it publishes, by the stamps of its images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rig import Rig

from depth_anything_ros.cli import main
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.messages.images import fill_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.ros.listening import listening
from lab.camera_views import camera_info
from lab.world.world import World

pytest.importorskip('rerun', reason='pip install rerun-sdk')

from recordings import array_of, read

from depth_anything_ros.view import node as view_node
from depth_anything_ros.view.viewer import recording

_FRAMES = 5
_EVERY = (
    'image',
    'depth/inverse',
    'depth/color',
    'depth/metric',
    'depth/sigma',
    'points',
    'samples',
)


class _Camera:
    """Sends the images of a drive with their depth, and keeps what it sent."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.world = World('room', 0, 8.0, (160, 120), ())
        self.depth_m: dict[int, np.ndarray] = {}
        self._rig, self._name = rig, name

    def send(self) -> None:
        bgr, depth_m = self.world.picture(0.1 * len(self.depth_m))
        image, info = self._rig.image(bgr), camera_info(self.world.camera)
        depth = type(image)(header=image.header)
        fill_image(depth, depth_m, '32FC1')
        info.header = image.header
        self.depth_m[ns_from_stamp(image.header.stamp)] = depth_m
        for message, topic in (
            (info, 'camera_info'),
            (info, 'reference/camera_info'),
            (depth, 'reference'),
            (image, 'image'),
        ):
            self._rig.publish(message, f'{self._name}/{topic}')


def test_a_node_that_gives_nothing_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = view_node.NodeView.show

    def show(view: view_node.NodeView, recorder: Any, stopped: Any) -> None:
        inner(view, recorder, lambda: view.status)

    monkeypatch.setattr(view_node.NodeView, 'show', show)
    with Rig({'autostart': False}):
        assert main(['view', '--node', '/depth_anything', '--save', str(tmp_path / 'n.rrd')]) == 1
    assert 'it says: unconfigured: no depth before configure and' in capsys.readouterr().out


def test_a_node_with_two_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {
        'weights': '',
        'cameras': ['front', 'rear'],
        'front.reference.type': 'depth_image',
        'front.reference.extrinsics': '0 0 0 0 0 0',
    }
    file = tmp_path / 'node.rrd'
    with Rig(parameters) as rig, listening('viewer') as (node, spin):
        rig.until_state('active')
        camera = _Camera(rig, 'front')
        view = view_node.NodeView(node, spin, 'depth_anything')
        assert view.roots == ['/front', '/rear']
        with recording(file, None, print, str, view.roots, 'datetime64') as recorder:
            counts, add = Counter[str](), recorder.add

            def counted(root: str, stamp_ns: int, found: Any, said: str | None = None) -> None:
                counts.update(list(found))
                add(root, stamp_ns, found, said)

            def stopped() -> str:
                camera.send()
                enough = view.images >= _FRAMES <= min(counts[path] for path in _EVERY)
                return 'enough' if enough or len(camera.depth_m) > 300 else ''

            monkeypatch.setattr(recorder, 'add', counted)
            view.show(recorder, stopped)
        monkeypatch.setattr(view_node, '_DISCOVERY_S', 0.0)
        with pytest.raises(
            SettingError, match=r'no node /other gives depth.*/depth_anything/front'
        ):
            view_node.NodeView(node, spin, '/other')
    found = read(file)
    assert not view.left_out
    numbers = found['/front/status']['stamp']
    # The last frame may have ended early.
    assert sorted(numbers)[:-1] == list(range(len(numbers) - 1))
    assert len(numbers) >= len(recorder.numbers['/front']) - 1
    assert len(found['/front/image']['EncodedImage:blob']) == view.images >= _FRAMES
    whole = set.intersection(*(set(found[f'/front/{path}']['stamp']) for path in _EVERY))
    assert len(whole) >= _FRAMES - 1
    for number in whole:
        stamp_ns = numbers[number].value
        metric = found['/front/depth/metric']
        depth_m = array_of(metric, 'DepthImage', number)
        truth_m = camera.depth_m[stamp_ns]
        assert np.nanmedian(np.abs(depth_m - truth_m) / truth_m) < 0.1
        assert metric['Pinhole:resolution'][number].as_py() == [[160.0, 120.0]]
        colors = found['/front/samples']['Points3D:colors'][number].as_py()
        assert set(colors) <= {0x3CC83CFF, 0xE63C3CFF}
        assert found['/front/latency/total_ms']['Scalars:scalars'][number].as_py()[0] > 0
    assert '/rear/image' not in found
