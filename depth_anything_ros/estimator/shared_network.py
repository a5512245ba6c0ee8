"""The one network that all cameras share: images that wait together run together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.core.errors import DeviceMemoryError, FrameError
from depth_anything_ros.core.parameters import OverloadParameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.estimator.input_size import InputSize, input_sizes

__all__ = ['SharedNetwork']


class SharedNetwork:
    """Runs images at the largest input size that time and memory allow, on one thread."""

    def __init__(self, backend: DepthBackend, log: Callable[[str], object]) -> None:
        """`log` gets a line whenever the input size changes."""
        self.backend = backend
        self._log = log
        full = backend.info.input_size
        # A network that is pinned to one size has no smaller one.
        free = backend.info.weights.card.pinned_size is None
        self._size = InputSize(input_sizes(full) if free else (full,))
        self._together = True
        self._infer_s = 0.0
        self.degraded = ''
        """Why the input is smaller than asked for; '' if it is not."""

    def infer(
        self, images: Sequence[BgrImage], times: Sequence[StageTimes]
    ) -> list[FloatImage | Exception]:
        """Return the network's output for each image, or the error it ended in.

        Images of several cameras run as one batch; an image that cannot be used does not take
        the others along. Each of `times` gets what all took, since each waited for all.
        """
        start_s = time.monotonic()
        found = self._batch(images, times) if self._together and len(images) > 1 else None
        if found is None:
            found = [self._infer(image, each) for image, each in zip(images, times, strict=True)]
        self._infer_s = time.monotonic() - start_s
        return found

    def processed(self, busy_s: float, input_hz: float, want: OverloadParameters) -> None:
        """Note that the images of the last `infer` took `busy_s` in all: a new size may follow.

        `input_hz` is the rate at which the fastest camera sends.
        """
        if want.policy == 'none':
            if self._size.restore():
                self._follow('overload.policy is none')
            return
        needed_hz = min(want.target_hz, input_hz)
        before = self._size.current
        if self._size.update(time.monotonic(), busy_s, self._infer_s, needed_hz):
            if self._size.current < before:
                self._follow(f'{1.0 / busy_s:.1f} Hz where {needed_hz:.1f} are wanted')
            else:
                self._follow(f'there is time again for {needed_hz:.1f} Hz')

    def _batch(
        self, images: Sequence[BgrImage], times: Sequence[StageTimes]
    ) -> list[FloatImage | Exception] | None:
        """Run all at once; None where that cannot be."""
        spent = StageTimes()
        try:
            found = self.backend.infer_batch(images, spent)
        except DeviceMemoryError:
            self._together = False
            self._log('memory does not hold the images of all cameras: they run one by one')
            return None
        except Exception:  # noqa: BLE001  one by one it will show whose it is
            return None
        for each in times:
            for stage, ms in spent.ms.items():
                each.add(stage, ms)
        return [*found]

    def _infer(self, image: BgrImage, times: StageTimes) -> FloatImage | Exception:
        try:
            while True:
                try:
                    return self.backend.infer(image, times)
                except DeviceMemoryError as error:
                    if not self._size.out_of_memory():
                        return FrameError('out_of_memory', str(error))
                    self._follow('out of memory')
        except Exception as error:  # noqa: BLE001  it is that of this image alone
            return error

    def _follow(self, why: str) -> None:
        size = self._size
        self.backend.input_size = size.current
        self.degraded = ''
        if size.current < size.full:
            cause = 'memory' if size.short_of_memory else 'overload'
            self.degraded = f'degraded: input size {size.current} of {size.full} ({cause})'
        self._log(f'input size {size.current} of {size.full} from now on: {why}')
