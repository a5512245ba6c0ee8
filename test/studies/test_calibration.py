"""Images that int8 is calibrated on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.studies.calibration import calibration_images
from lab.sample import write_sample_bag


def _folder(path: Path, count: int) -> Path:
    path.mkdir()
    for index in range(count):
        cv2.imwrite(str(path / f'{index:03d}.png'), np.full((20, 30, 3), index, np.uint8))
    return path


def test_a_folder_gives_images_from_its_first_to_its_last(tmp_path: Path) -> None:
    found = calibration_images(str(_folder(tmp_path / 'few', 3)))
    assert [int(image[0, 0, 0]) for image in found] == [0, 1, 2]
    found = calibration_images(str(_folder(tmp_path / 'many', 200)))
    values = [int(image[0, 0, 0]) for image in found]
    assert len(values) == 64 and values[0] == 0 and values[-1] == 199
    assert set(np.diff(values)) == {3, 4}


def test_a_video_gives_its_frames(tmp_path: Path) -> None:
    path = tmp_path / 'drive.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10.0, (64, 48))
    for level in (20, 220):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    dark, bright = calibration_images(str(path))
    assert dark.mean() < 60 and bright.mean() > 180


def test_a_bag_gives_its_colour_images(tmp_path: Path) -> None:
    pytest.importorskip('rosbags')
    bag = tmp_path / 'room'
    write_sample_bag(bag, seconds=0.5, size=(160, 120))
    for path in (bag, *bag.glob('*.mcap')):
        found = calibration_images(str(path))
        assert found and all(image.shape == (120, 160, 3) for image in found)
        # Colour, not the depth camera's.
        assert any(np.ptp(image, axis=2).max() > 20 for image in found)


def test_what_cannot_be_decoded_is_left_out_until_nothing_is_left(tmp_path: Path) -> None:
    folder = _folder(tmp_path / 'half', 2)
    (folder / '000.png').write_bytes(b'no picture')
    (left,) = calibration_images(str(folder))
    assert left[0, 0, 0] == 1
    (folder / '001.png').write_bytes(b'no picture')
    with pytest.raises(DepthAnythingError, match=r'none of the images in .* can be decoded'):
        calibration_images(str(folder))


def test_what_holds_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match='holds no image'):
        calibration_images(str(tmp_path))
    with pytest.raises(SettingError, match='does not exist'):
        calibration_images(str(tmp_path / 'none'))
