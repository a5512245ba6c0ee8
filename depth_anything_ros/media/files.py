"""Depth of images, folders, videos and a webcam, without ROS."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.stream import DepthStream

Write = Callable[[str, int, BgrImage, Frame], None]
"""Takes name, stamp in nanoseconds, image and depth."""

__all__ = ['FORMATS', 'Source', 'Summary', 'open_source', 'run']

FORMATS = ('color', 'side_by_side', 'png16', 'npy')
"""What may be written: the picture, image and picture, [0, 1] as 16-bit PNG, raw float32."""

_IMAGES = {'.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp'}
_VIDEOS = {'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm'}


@dataclass(frozen=True)
class Source:
    """Where images come from: `frames` gives (name, stamp in nanoseconds, how to read it).

    `moving` tells a video or webcam from separate stills, `live` a webcam from a video, whose
    frames come as fast as they are taken; `length` is 0 where unknown. `reads` names the files and
    the folder that they are, which no output replaces.
    """

    frames: Iterator[tuple[str, int, Callable[[], BgrImage]]]
    length: int
    moving: bool
    live: bool = False
    rate_hz: float = 0.0
    reads: tuple[Path, ...] = ()


@dataclass
class Summary:
    """What a run did; `failed` names each image that gave no depth, and why."""

    written: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def open_source(text: str) -> Source:
    """Open an image, a folder of images, a video, or a webcam ('webcam' or 'webcam:1').

    Raises SettingError where there is nothing of the kind.
    """
    webcam = re.fullmatch(r'webcam(?::(\d+))?', text)
    if webcam:
        return _video(int(webcam.group(1) or 0), text, live=True)
    path = Path(text).expanduser()
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in _IMAGES)
        if not files:
            kinds = ' '.join(sorted(_IMAGES))
            raise SettingError(f'{path} holds no image: put {kinds} there, or name a file')
        return _stills(files, path)
    if not path.exists():
        raise SettingError(f"{path} does not exist: give an image, a folder, a video, or 'webcam'")
    if path.suffix.lower() in _IMAGES:
        return _stills([path], path)
    live = str(path).startswith('/dev/video')
    if live or path.suffix.lower() in _VIDEOS:
        return _video(str(path), text, live)
    kinds = ' '.join(sorted(_IMAGES | _VIDEOS))
    raise SettingError(f'{path} is neither image nor video by its name: use one of {kinds}')


def run(
    source: Source,
    stream: DepthStream,
    out: Path,
    formats: tuple[str, ...],
    on_frame: Callable[[str], object] = lambda name: None,
) -> Summary:
    """Write the depth of every image of `source` to `out`, a file or a folder.

    A file is an .mp4 of a moving source, or a picture of one still; a folder gets one file per
    frame and format. An image that cannot be used is noted and the others go on; Ctrl-C keeps
    what was written. Raises SettingError where `out` cannot be written.
    """
    summary = Summary()
    with ExitStack() as closing:
        write = _writer(source, out, formats, closing)
        try:
            for name, stamp_ns, read in source.frames:
                try:
                    bgr = read()
                    frame = stream.process(bgr, stamp_ns)
                    write(name, stamp_ns, bgr, frame)
                    summary.written += 1
                except FrameError as error:
                    summary.failed[name] = str(error)
                on_frame(name)
        except KeyboardInterrupt:
            summary.interrupted = True
    return summary


def _stills(files: list[Path], given: Path) -> Source:
    names = [path.stem for path in files]

    def frames() -> Iterator[tuple[str, int, Callable[[], BgrImage]]]:
        for index, path in enumerate(files):
            # Two files that differ in the ending only must not write to one.
            unique = names.count(path.stem) == 1
            name = path.stem if unique else path.name.replace('.', '_')
            yield name, index, lambda path=path: _read_image(path)  # type: ignore[misc]

    return Source(frames(), len(files), moving=False, reads=(given, *files))


def _read_image(path: Path) -> BgrImage:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FrameError('unreadable', f'{path} cannot be decoded: is it a whole image file?')
    return image  # type: ignore[return-value]


def _video(device: str | int, text: str, live: bool) -> Source:
    capture = cv2.VideoCapture(device)
    if not capture.isOpened():
        raise SettingError(f'{text} cannot be opened: is the camera there, the video whole?')
    rate_hz = capture.get(cv2.CAP_PROP_FPS) or 30.0
    length = 0 if live else int(max(0, capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def frames() -> Iterator[tuple[str, int, Callable[[], BgrImage]]]:
        index = 0
        try:
            while True:
                there, image = capture.read()
                if not there:
                    return
                # A webcam gives what the network leaves it time for, not its nominal rate.
                stamp_ns = time.monotonic_ns() if live else round(index / rate_hz * 1e9)
                yield f'frame_{index:06d}', stamp_ns, lambda image=image: image  # type: ignore[misc]
                index += 1
        finally:
            capture.release()

    reads = () if live else (Path(str(device)),)
    return Source(frames(), length, moving=True, live=live, rate_hz=rate_hz, reads=reads)


def _writer(source: Source, out: Path, formats: tuple[str, ...], stack: ExitStack) -> Write:
    suffix = out.suffix.lower()
    single = suffix in _IMAGES and source.length == 1 and not source.moving
    filmed = suffix == '.mp4' and source.moving
    if suffix and not out.is_dir() and not (single or filmed):
        if source.moving:
            content = 'a film: name a folder, or a file ending in .mp4'
        elif source.length == 1:
            content = 'a picture: name a folder, or a file ending in .png'
        else:
            content = f'{source.length} pictures: name a folder'
        raise SettingError(f'{out} cannot hold {content}')
    pictures = tuple(f for f in formats if f in ('color', 'side_by_side'))
    if (single or filmed) and (len(formats) != 1 or not pictures):
        raise SettingError(
            f"{out} is one file: save one of 'color' or 'side_by_side' there, or name a folder"
        )
    try:
        # By file, not by name: links lead to the input, too.
        if out.exists() and any(path.exists() and out.samefile(path) for path in source.reads):
            raise SettingError(f'{out} is what is read: name an output beside it')
        (out.parent if single or filmed else out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f'{out} cannot be written ({error.strerror}): name another') from error
    if filmed:
        film = _Film(out, source.rate_hz, formats[0])
        stack.callback(film.close)
        return film.write

    def write(name: str, stamp_ns: int, bgr: BgrImage, frame: Frame) -> None:
        for format_ in formats:
            path = out if single else out / f'{name}_{_SUFFIXES[format_]}'
            _write_file(path, format_, bgr, frame)

    return write


_SUFFIXES = {
    'color': 'depth.png',
    'side_by_side': 'side_by_side.png',
    'png16': 'depth16.png',
    'npy': 'inverse_depth.npy',
}


def _write_file(path: Path, format_: str, bgr: BgrImage, frame: Frame) -> None:
    if format_ in ('color', 'npy'):
        frame.save(path)
        return
    if not cv2.imwrite(str(path), _picture(format_, bgr, frame)):
        raise SettingError(f'{path} cannot be written: is the disk full, the folder yours?')


class _Film:
    """An .mp4 in which each picture stays until the stamp of the next.

    A webcam's frames come when the network has time for them, and a refused frame of a video
    leaves a gap: repeated pictures keep the film as long as what was filmed.
    """

    def __init__(self, out: Path, rate_hz: float, format_: str) -> None:
        self._out, self._rate_hz, self._format = out, rate_hz, format_
        self._writer: cv2.VideoWriter | None = None
        self._first_ns = 0
        self._written = 0

    def write(self, name: str, stamp_ns: int, bgr: BgrImage, frame: Frame) -> None:
        """Append one picture; SettingError where the file cannot be written."""
        picture = _picture(self._format, bgr, frame)
        if self._writer is None:
            size = picture.shape[1], picture.shape[0]
            code = cv2.VideoWriter.fourcc(*'mp4v')
            self._writer = cv2.VideoWriter(str(self._out), code, self._rate_hz, size)
            self._first_ns = stamp_ns
            if not self._writer.isOpened():
                raise SettingError(f'{self._out} cannot be written: is the folder yours?')
        due = round((stamp_ns - self._first_ns) * 1e-9 * self._rate_hz) + 1
        for _ in range(max(1, due - self._written)):
            self._writer.write(picture)
            self._written += 1

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()


def _picture(format_: str, bgr: BgrImage, frame: Frame) -> npt.NDArray[Any]:
    if format_ == 'png16':
        return np.round(frame.normalized * 65535).astype(np.uint16)
    color = frame.color()
    if format_ == 'color':
        return color
    size = color.shape[1], color.shape[0]
    return np.hstack([cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), color])
