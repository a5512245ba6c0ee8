"""Compare a backend's output for one photograph with that of plain float32.

Drivers, libraries and processors differ more than tests can cover: each robot checks its own,
before its first frame, and falls back to the next safer candidate where the outputs differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.backends.base import INT8, BackendSettings, DepthBackend
from depth_anything_ros.backends.registry import BACKENDS
from depth_anything_ros.core.depth_errors import correlation
from depth_anything_ros.core.errors import DepthAnythingError, FrameError
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.cache import content_of
from depth_anything_ros.model.checksum import sha256_of
from depth_anything_ros.model.user_cache import keep, user_cache

__all__ = [
    'PHOTOGRAPH',
    'Candidate',
    'cached_float32_output',
    'disagreement',
    'first_accepted',
    'float32_output',
    'photograph',
    'plain_float32',
]

PHOTOGRAPH = Path(__file__).with_name('self_check.jpg')
"""World('room').picture(2.0) of lab/world, 640x480: a robot's view, rendered, so free to use."""

ROUNDED = (0.003, 0.02)
"""Largest median and 99th percentile of the relative difference. Half precision that works stays
well below (0.1 % and 0.4 % with bfloat16, which rounds to 0.2 %), and these limits are far below
the residuals of a good alignment. One limit for every precision but int8: what counts is the
output, not how it was computed."""

QUANTIZED = (0.015, 0.1)
"""For int8, which is a slightly different network. Depth Anything V2 itself has a median error of
5 %: an independent 1.5 % raises that by less than a twentieth."""

LEAST_CORRELATION = 0.99
"""Detects noise where outputs vary little around a large value; random weights in bfloat16, the
extreme case, reach 0.9989."""


@dataclass(frozen=True)
class Candidate:
    """A backend in one precision, not loaded yet, and its name for notices."""

    title: str
    create: Callable[[], DepthBackend]


def photograph() -> BgrImage:
    """Return the image that outputs are compared on, uint8 (480, 640, 3)."""
    return np.asarray(cv2.imread(str(PHOTOGRAPH), cv2.IMREAD_COLOR), np.uint8)


def plain_float32(settings: BackendSettings, runtime: str = 'torch') -> DepthBackend:
    """Return plain float32: the reference, and the last candidate.

    By torch that is without optimisations; an ONNX file takes another `runtime`, on the CPU.
    """
    if runtime != 'torch':
        return BACKENDS[runtime].create(replace(settings, device='cpu', precision='fp32'))
    from depth_anything_ros.backends.torch import TorchBackend

    return TorchBackend(settings, plain=True)


def float32_output(settings: BackendSettings, runtime: str = 'torch') -> FloatImage:
    """Return the output (480, 640) of plain float32 on the CPU for `photograph`.

    Takes a load and a frame. It depends on the weights and the input size only.
    """
    backend = plain_float32(replace(settings, device='cpu'), runtime)
    try:
        return backend.infer(photograph())
    finally:
        backend.close()


def cached_float32_output(settings: BackendSettings, runtime: str = 'torch') -> FloatImage:
    """Return `float32_output`, from the user's cache after the first time."""
    root = user_cache()
    if root is None:
        return float32_output(settings, runtime)
    by = () if runtime == 'torch' else (runtime,)
    whole = (content_of(settings.weights), settings.input_size, sha256_of(PHOTOGRAPH), *by)
    digest = hashlib.sha256(repr(whole).encode()).hexdigest()[:16]
    name = f'{settings.weights.name}-{settings.input_size}-{digest}.npy'
    path = root / 'references' / name
    # A header may promise terabytes, or break the parser that NumPy reads it with.
    with suppress(Exception):
        kept = np.load(path, mmap_mode='r', allow_pickle=False)
        if kept.dtype == np.float32 and kept.shape == photograph().shape[:2]:
            return np.array(kept)
    found = float32_output(settings, runtime)
    content = BytesIO()
    np.save(content, found)
    keep(path, content.getvalue())
    return found


def disagreement(backend: DepthBackend, reference: FloatImage) -> str:
    """Return how the output of `backend` for `photograph` differs too much; '' where it agrees.

    reference: float32 (480, 640). Differences are |found - reference| / max(reference, mean of
    reference), which stays bounded in the sky, where inverse depth is 0; the correlation is
    Pearson's. Nothing is aligned first: the same weights must give the same values, since later
    stages keep a scale from frame to frame.
    """
    found, given = (x.astype(np.float64) for x in (backend.infer(photograph()), reference))
    if found.shape != given.shape or not (np.isfinite(found) & np.isfinite(given)).all():
        return 'gives an output that is not finite, or not of the size of the image'
    scale = np.maximum(given, max(float(given.mean()), 1e-30))
    differences = np.percentile(np.abs(found - given) / scale, (50.0, 99.0))
    limits = QUANTIZED if backend.info.precision == INT8 else ROUNDED
    for part, difference, limit in zip(('half', '1 %'), differences, limits, strict=True):
        if difference > limit:
            return (
                f'disagrees with float32 by {100 * difference:.2g} % or more in {part} of the'
                f' pixels (limit {100 * limit:g} %)'
            )
    correlated = correlation(given, found)
    if correlated < LEAST_CORRELATION:
        return f'correlates with float32 by {correlated:.3f} (limit {LEAST_CORRELATION:g})'
    return ''


def first_accepted(
    candidates: Sequence[Candidate], reference: Callable[[], FloatImage]
) -> tuple[DepthBackend, tuple[str, ...]]:
    """Return the first backend that agrees with `reference()`, and a notice for each before it.

    The last candidate is the reference itself and runs unchecked. A DepthAnythingError is
    raised, not skipped: it tells the user what to fix, and no other candidate is what was
    requested.
    """
    refusals: list[str] = []
    for candidate in candidates[:-1]:
        backend, problem = _load_checked(candidate, reference)
        if backend is not None:
            title = f'{backend.info.name} {backend.info.precision}'
            return backend, (*_notices(refusals, title), *([problem] if problem else []))
        refusals.append(problem)
    return candidates[-1].create(), _notices(refusals, candidates[-1].title)


def _load_checked(
    candidate: Candidate, reference: Callable[[], FloatImage]
) -> tuple[DepthBackend | None, str]:
    """Return the loaded backend if it agrees, else None, and what is wrong.

    Without the package of the reference the backend is accepted, with a text that says so.
    """
    with ExitStack() as on_refusal:
        title = candidate.title
        try:
            backend = candidate.create()
            on_refusal.callback(backend.close)
            title = f'{backend.info.name} {backend.info.precision}'
            problem = disagreement(backend, reference())
        except ModuleNotFoundError as error:
            if error.name not in BACKENDS:
                raise
            on_refusal.pop_all()
            return backend, f'{title} was not compared with float32, which takes {error.name}'
        except FrameError as error:
            return None, f'{title} cannot process the image ({error})'
        except DepthAnythingError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a driver or a library may raise
            first = (str(error).splitlines() or [''])[0]
            return None, f'{title} fails ({type(error).__name__}: {first})'
        if problem:
            return None, f'{title} {problem}'
        on_refusal.pop_all()
        return backend, ''


def _notices(refusals: Sequence[str], title: str) -> tuple[str, ...]:
    return tuple(f'{refusal}: {title} runs instead' for refusal in refusals)
