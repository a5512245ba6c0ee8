"""Films of depth, written in parts that outlive the run, and joined at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy.typing as npt
from av.error import FFmpegError

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.media.checkpoints import Arrays, Checkpoints
from depth_anything_ros.media.film_encoding import FORMATS, TICKS, Encoder
from depth_anything_ros.media.film_joining import count_pictures, join

__all__ = ['SUFFIXES', 'FilmWriter']

SUFFIXES = frozenset(FORMATS)
"""Endings of the films that are written."""

Value = TypeVar('Value')


class FilmWriter:
    """An .mp4 or .mkv, under its name once it is whole: until then it is OUT.parts.

    Pictures are of one kind: uint8 (H, W, 3) BGR, or lossless levels, uint16 (H, W).
    """

    def __init__(
        self,
        out: Path,
        rate_hz: float,
        pixel_aspect: Fraction = Fraction(1),
        sound_of: str | None = None,
        checkpoints: Checkpoints | None = None,
        comment: str = '',
    ) -> None:
        """`rate_hz` is nominal: each picture has a time. `sound_of` is the film to copy from.

        `comment` says what the film holds.
        """
        self.out, self._comment = out, comment
        # From the root: FFmpeg takes what stands before a colon for a protocol.
        self._partial = out.absolute().with_name(out.name + '.writing')
        self._rate_hz, self._pixel_aspect, self._sound_of = rate_hz, pixel_aspect, sound_of
        self._checkpoints = checkpoints or Checkpoints(out)
        self.resumes = self._checkpoints.count > 0
        """Whether an earlier run is there to go on with."""
        self._suffix = out.suffix.lower()
        self._tick, self._ticks = TICKS[self._suffix], -1
        self._encoder: Encoder | None = None
        self._begun = self._discarded = False
        self._size = (0, 0)
        self._starts: list[int] = []
        self._in_part = self._pictures = 0
        self.remarks: list[str] = []
        """What the film is not, in whole lines."""

    def begin(self, run: Mapping[str, object]) -> tuple[list[dict[str, Any]], Arrays]:
        """Begin, or go on behind what an earlier `run` left: see `Checkpoints.begin`."""
        self._begun = True
        states, arrays = self._attempt(lambda: self._checkpoints.begin(run))
        if states:
            of_film = states[-1]['film']
            self._size = of_film['size'][0], of_film['size'][1]
            self._ticks, self._starts = of_film['ticks'], of_film['starts']
            self._pictures = of_film['pictures']
            self.remarks += of_film['remarks']
        return states, arrays

    def append(self, picture: npt.NDArray[Any], stamp_ns: int) -> None:
        """Append one picture, shown from `stamp_ns` on; SettingError where it cannot be.

        What comes after such an error is discarded, too.
        """
        if self._discarded:
            return
        if not self._begun:
            self.begin({})
        if self._size == (0, 0):
            self._size = picture.shape[1], picture.shape[0]
        width, height = self._size
        if picture.shape[:2] != (height, width):
            self._remark(f'pictures of another size are resized to {width} x {height}')
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        self._attempt(lambda: self._encode(picture, stamp_ns))
        self._pictures += 1
        self._in_part += 1

    def save(self, state: Mapping[str, Any], arrays: Arrays) -> None:
        """Close the part; together with `state` it is what another run goes on from."""
        if self._discarded:
            return
        self._attempt(self._close_part)
        film = {
            'size': self._size,
            'ticks': self._ticks,
            'starts': self._starts,
            'pictures': self._pictures,
            'remarks': self.remarks,
        }
        self._attempt(lambda: self._checkpoints.save({**state, 'film': film}, arrays))

    def close(self, *, finished: bool = True) -> None:
        """Join the parts, count the pictures, and give the film its name; nothing without any.

        What is not `finished` keeps its parts.
        """
        if self._discarded:
            return
        if self._pictures:
            self._attempt(self._close_part)
            self._attempt(self._join)
        self._checkpoints.end(finished=finished, marked=self._pictures > 0)

    def discard(self) -> None:
        """Remove what is not whole."""
        self._discarded = True
        encoder, self._encoder = self._encoder, None
        # What they would say has been said.
        with suppress(OSError, FFmpegError):
            if encoder is not None:
                encoder.close()
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)
        with suppress(OSError):
            self._checkpoints.end(finished=False)

    def _encode(self, picture: npt.NDArray[Any], stamp_ns: int) -> None:
        self._ticks = max(round(Fraction(stamp_ns, 10**9) / self._tick), self._ticks + 1)
        if self._encoder is None:
            shape = self._pixel_aspect
            self._encoder = Encoder(
                self._part(), self.out, picture, self._rate_hz, shape, self._remark
            )
            self._starts = [*self._starts[: self._checkpoints.count], self._ticks]
        self._encoder.write(picture, self._ticks - self._starts[-1])

    def _part(self) -> Path:
        return self._checkpoints.next_part(self._suffix)

    def _close_part(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.finish()
            self._check(self._part(), self._in_part)
            self._in_part = 0

    def _join(self) -> None:
        paths = [*self._checkpoints.parts(self._suffix), self._part()][: len(self._starts)]
        starts = [start * self._tick for start in self._starts]
        parts = list(zip(paths, starts, strict=True))
        where = self._partial, self._suffix, self._rate_hz
        for remark in join(parts, *where, self._sound_of, self._comment):
            self._remark(remark)
        self._check(self._partial, self._pictures)
        self._partial.replace(self.out)

    def _check(self, path: Path, pictures: int) -> None:
        """Raise SettingError unless so many pictures can be read back."""
        found = count_pictures(path)
        if found != pictures:
            raise SettingError(
                f'{self.out} cannot be written: {found} of its {pictures} pictures can be read '
                f'back; is the disk full?{self._kept()}'
            )

    def _attempt(self, step: Callable[[], Value]) -> Value:
        """Return what `step` returns; SettingError with nothing left behind where it fails."""
        try:
            return step()
        except (OSError, FFmpegError) as error:
            self.discard()
            why = error.strerror or str(error)
            raise SettingError(
                f'{self.out} cannot be written: {why}. Free some space, or name another place'
                f'{self._kept()}'
            ) from error
        except BaseException:
            self.discard()
            raise

    def _kept(self) -> str:
        if not self._checkpoints.count:
            return ''
        return f'; what was done is in {self.out.name}.parts: add --resume to go on'

    def _remark(self, text: str) -> None:
        text = f'{self.out}: {text}'
        if text not in self.remarks:
            self.remarks.append(text)
