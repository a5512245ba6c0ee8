"""Whether a fast way to run the network gives what plain float32 gives, on one picture.

Drivers, libraries and processors differ more than tests can: each robot looks for itself, before
its first frame, and falls back to the next safer way where the answers differ.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.backends import AUTO, INT8, create_chosen
from depth_anything_ros.backends.base import BackendSettings, DepthBackend
from depth_anything_ros.core.depth_errors import correlation
from depth_anything_ros.core.errors import DepthAnythingError, FrameError
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.cache import content_of
from depth_anything_ros.model.checksum import sha256_of
from depth_anything_ros.model.user_cache import keep, user_cache

__all__ = [
    'PHOTOGRAPH',
    'Agreement',
    'Candidate',
    'candidates',
    'check',
    'checked',
    'kept_reference',
    'photograph',
    'reference_inverse_depth',
]

PHOTOGRAPH = Path(__file__).with_name('self_check.jpg')
"""World('room').picture(2.0) of `synthetic`, 640x480: a robot's view, free of anybody's rights."""


@dataclass(frozen=True)
class Limits:
    """Relative differences allowed, in half of the pixels and in 99 of 100."""

    median: float
    p99: float


ROUNDED = Limits(0.003, 0.02)
"""Half precision that works stays well below (0.1 % and 0.4 % with bfloat16, which rounds to
0.2 %), and so much is far less than what a good alignment leaves. One limit for all that rounds:
what counts is the answer, not how it was found."""

QUANTIZED = Limits(0.015, 0.1)
"""Of int8, which is another network, though near. Beside the 5 % that Depth Anything V2 errs in
half of the pixels, 1.5 % of another cause add less than 5 % to it."""

LEAST_CORRELATION = 0.99
"""Catches noise where answers vary little around a large value; random weights in bfloat16, the
extreme of that, reach 0.9989."""


@dataclass(frozen=True)
class Agreement:
    """How near two answers are; NaN throughout where that cannot be told.

    `median` and `p99` are of |found - reference| / max(reference, mean of reference): a relative
    difference that does not explode in the sky, where inverse depth is 0. Nothing is aligned
    first: the same weights must give the same numbers, and what lies behind takes them so.
    `correlation` is Pearson's.
    """

    median: float
    p99: float
    correlation: float
    limits: Limits = ROUNDED

    @property
    def accepted(self) -> bool:
        """Whether the difference does no harm."""
        return (
            self.median <= self.limits.median
            and self.p99 <= self.limits.p99
            and self.correlation >= LEAST_CORRELATION
        )

    def __str__(self) -> str:
        if math.isnan(self.median):
            return 'gives an answer that is not finite, or not of the size of the picture'
        if self.median > self.limits.median:
            return f'disagrees with float32 by {_of("half", self.median, self.limits.median)}'
        if self.p99 > self.limits.p99:
            return f'disagrees with float32 by {_of("1 %", self.p99, self.limits.p99)}'
        if self.correlation < LEAST_CORRELATION:
            return (
                f'correlates with float32 by {self.correlation:.3f} (limit {LEAST_CORRELATION:g})'
            )
        return f'agrees with float32: within {100 * self.p99:.2g} % in 99 % of the pixels'


@dataclass(frozen=True)
class Candidate:
    """A way to run the network: what was asked for, and what makes it."""

    title: str
    create: Callable[[], DepthBackend]


def photograph() -> BgrImage:
    """Return the picture that answers are compared on, uint8 (480, 640, 3)."""
    return np.asarray(cv2.imread(str(PHOTOGRAPH), cv2.IMREAD_COLOR), np.uint8)


def reference_inverse_depth(settings: BackendSettings) -> FloatImage:
    """Return the answer to `photograph` of plain float32 on the CPU; takes a load and a frame.

    It depends on the weights and the input size only, and may be kept by these.
    """
    backend = _plain_torch(replace(settings, device='cpu'))
    try:
        return backend.infer(photograph())
    finally:
        backend.close()


def kept_reference(settings: BackendSettings) -> FloatImage:
    """Return `reference_inverse_depth` from the user's cache, after the first time."""
    root = user_cache()
    if root is None:
        return reference_inverse_depth(settings)
    whole = (content_of(settings.weights), settings.input_size, sha256_of(PHOTOGRAPH))
    digest = hashlib.sha256(repr(whole).encode()).hexdigest()[:16]
    path = root / 'references' / f'{settings.variant.name}-{settings.input_size}-{digest}.npy'
    with suppress(OSError, ValueError, EOFError):
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    found = reference_inverse_depth(settings)
    content = BytesIO()
    np.save(content, found)
    keep(path, content.getvalue())
    return found


def check(backend: DepthBackend, reference: FloatImage) -> Agreement:
    """Compare the answer of `backend` to `photograph` with `reference`."""
    found, given = (x.astype(np.float64) for x in (backend.infer(photograph()), reference))
    if found.shape != given.shape or not (np.isfinite(found) & np.isfinite(given)).all():
        return Agreement(math.nan, math.nan, math.nan)
    scale = np.maximum(given, max(float(given.mean()), 1e-30))
    median, p99 = np.percentile(np.abs(found - given) / scale, (50.0, 99.0))
    limits = QUANTIZED if backend.info.precision == INT8 else ROUNDED
    return Agreement(float(median), float(p99), correlation(given, found), limits)


def candidates(name: str, settings: BackendSettings) -> list[Candidate]:
    """List the ways to run what is asked for, the safest last: plain float32 of torch."""
    half = (AUTO,) if settings.precision == INT8 else ()
    precisions = dict.fromkeys((settings.precision, *half, 'fp32'))
    found = [
        Candidate(
            f'{name} {precision}',
            partial(create_chosen, name, replace(settings, precision=precision)),
        )
        for precision in precisions
    ]
    return [*found, Candidate('plain torch fp32', partial(_plain_torch, settings))]


def checked(
    ways: Sequence[Candidate], reference: Callable[[], FloatImage]
) -> tuple[DepthBackend, tuple[str, ...]]:
    """Return the first backend that agrees with `reference()`, and a notice for each before it.

    The last one is what the others are held against, and runs unchecked. What says how to fix
    it, a DepthAnythingError, is raised: no other way is what was asked for.
    """
    refusals: list[str] = []
    for way in ways[:-1]:
        backend, why = _attempt(way, reference)
        if backend is not None:
            title = f'{backend.info.name} {backend.info.precision}'
            return backend, (*_notices(refusals, title), *([why] if why else []))
        refusals.append(why)
    return ways[-1].create(), _notices(refusals, ways[-1].title)


def _attempt(
    way: Candidate, reference: Callable[[], FloatImage]
) -> tuple[DepthBackend | None, str]:
    """Return a backend that agrees, or None and what is wrong with it.

    Where there is nothing to compare it with, it is taken, and that said.
    """
    with ExitStack() as unwanted:
        title = way.title
        try:
            backend = way.create()
            unwanted.callback(backend.close)
            title = f'{backend.info.name} {backend.info.precision}'
            agreement = check(backend, reference())
        except ModuleNotFoundError as error:
            if error.name != 'torch':
                raise
            unwanted.pop_all()
            return backend, f'{title} was not compared with float32, which takes torch'
        except FrameError as error:
            return None, f'{title} cannot answer the picture ({error})'
        except DepthAnythingError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a driver or a library may raise
            first = (str(error).splitlines() or [''])[0]
            return None, f'{title} fails ({type(error).__name__}: {first})'
        if not agreement.accepted:
            return None, f'{title} {agreement}'
        unwanted.pop_all()
        return backend, ''


def _of(pixels: str, difference: float, limit: float) -> str:
    return f'{100 * difference:.2g} % or more in {pixels} of the pixels (limit {100 * limit:g} %)'


def _notices(refusals: Sequence[str], title: str) -> tuple[str, ...]:
    return tuple(f'{refusal}: {title} runs instead' for refusal in refusals)


def _plain_torch(settings: BackendSettings) -> DepthBackend:
    from depth_anything_ros.backends.torch import TorchBackend

    return TorchBackend(settings, plain=True)
