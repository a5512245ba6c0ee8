"""The demo, and what it does with its folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.depth_errors import metric_figures
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.messages.depth_images import depth_from_image
from lab import demo
from lab.topic_names import TRUTH

ROOT = Path(__file__).resolve().parents[2]


def _drive(out: Path) -> dict[Path, int]:
    """Drive for an image and give what is there then, with when it was written."""
    demo.drive(out, 0.1, 10.0, lambda done, total: None)
    return _files(out)


def _files(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob('*') if path.is_file()}


def test_a_second_demo_takes_the_place_of_the_first(tmp_path: Path) -> None:
    first = _drive(tmp_path)
    second = _drive(tmp_path)
    assert first.keys() == second.keys()
    assert all(second[path] > first[path] for path in first)


def test_a_file_of_somebody_else_is_named_and_nothing_is_removed(tmp_path: Path) -> None:
    _drive(tmp_path)
    recorded = tmp_path / 'depth_room'
    recorded.mkdir()
    (recorded / 'metadata.yaml').touch()
    (recorded / 'mine').touch()
    before = _files(tmp_path)
    with pytest.raises(SettingError, match=f'{recorded / "mine"} is not of an earlier demo'):
        _drive(tmp_path)
    assert _files(tmp_path) == before


def test_the_demo_ends_in_a_picture_of_what_the_node_answered(tmp_path: Path) -> None:
    arguments = ['--seconds', '0.2', '--rate', '10', '--device', 'cpu', '--out', str(tmp_path)]
    done = subprocess.run(
        [sys.executable, '-m', 'lab.demo', *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    assert 'images sent          4' in done.stdout
    sheet = cv2.imread(str(tmp_path / 'demo.png'))
    assert sheet.shape[0] > 1000
    assert sheet.shape[1] > 300
    page = tmp_path / 'proof' / 'index.html'
    assert f'{page}: open it in a browser' in done.stdout
    assert 'sample_road' in page.read_text()
    errors = {scene: _errors(tmp_path, scene) for scene in ('room', 'road')}
    assert errors['room']
    # The second drive is not in the scale of the first, although time goes back by .2 s only.
    assert max([*errors['room'], *errors['road']]) < 0.2


def _errors(out: Path, scene: str) -> list[float]:
    """Return the mean relative error of each metric depth image that the node published."""
    found = _depths(out / f'depth_{scene}', '/depth_anything/depth/image')
    true = _depths(out / f'sample_{scene}', TRUTH)
    return [metric_figures(true[time_ns], found[time_ns])['abs_rel'] for time_ns in found]


def _depths(bag: Path, topic: str) -> dict[int, FloatImage]:
    with BagReader(bag) as reader:
        messages = reader.messages([topic])
        return {message.receive_ns: depth_from_image(message.read()) for message in messages}
