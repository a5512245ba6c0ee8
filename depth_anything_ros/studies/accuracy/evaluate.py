"""Run methods, each one or more passes through networks, over a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.studies.accuracy.dataset import Dataset
from depth_anything_ros.studies.accuracy.judge import judge, judge_metric
from depth_anything_ros.studies.depths import loaded
from depth_anything_ros.studies.inputs import Subject
from depth_anything_ros.studies.parts import Parts, digest

__all__ = ['Method', 'Passes', 'Result', 'evaluate']


@dataclass(frozen=True)
class Method:
    """A way to inverse depth: `depth` asks passes for what it needs. `metric`: 1/m, as it is."""

    title: str
    subjects: tuple[Subject, ...]
    depth: Callable[[Passes], FloatImage]
    metric: bool = False


@dataclass(frozen=True)
class Result:
    """Mean scores of a method over the images, as in judge.Scores, and milliseconds an image."""

    title: str
    random_weights: bool
    abs_rel: float
    rmse_m: float
    delta1: float
    edge: float | None
    ordinal: float | None
    ms: float


class Passes:
    """Passes through networks for one image at a time; what several methods need runs once."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._backends: dict[Subject, DepthBackend] = {}
        self._known: dict[tuple[Subject, int, bool], tuple[FloatImage, float]] = {}
        self._image: BgrImage = np.empty((0, 0, 3), np.uint8)
        self.ms = 0.0
        """Milliseconds of the passes asked for since `start_method`."""

    def start_image(self, bgr: BgrImage) -> None:
        """Forget the last image."""
        self._known.clear()
        self._image = bgr

    def start_method(self) -> None:
        """Count from 0 ms."""
        self.ms = 0.0

    def depth(self, subject: Subject, input_size: int = 0, flipped: bool = False) -> FloatImage:
        """Return inverse depth (H, W), at another size or of the mirrored image, mirrored back."""
        key = subject, input_size or subject.input_size, flipped
        if key not in self._known:
            self._known[key] = self._run(*key)
        depth, ms = self._known[key]
        self.ms += ms
        return depth

    def _run(self, subject: Subject, input_size: int, flipped: bool) -> tuple[FloatImage, float]:
        if subject not in self._backends:
            self._backends[subject] = self._stack.enter_context(loaded(subject))
            # The first call makes what later ones find ready.
            self._backends[subject].infer(self._image)
        backend, times = self._backends[subject], StageTimes()
        backend.input_size = input_size
        image = np.ascontiguousarray(self._image[:, ::-1]) if flipped else self._image
        depth = backend.infer(image, times)
        return (depth[:, ::-1] if flipped else depth), sum(times.ms.values())


def evaluate(
    dataset: Dataset,
    methods: Sequence[Method],
    parts: Parts,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Result]:
    """Return the result of each method over all pairs."""
    found: dict[str, list[dict[str, Any]]] = {method.title: [] for method in methods}
    with ExitStack() as stack:
        passes = Passes(stack)
        for done, (pair, bgr, truth_m) in enumerate(dataset.read(), 1):
            passes.start_image(bgr)
            for index, method in enumerate(methods):
                keys = tuple(one.key for one in method.subjects)
                key = digest(method.title, keys, dataset.scale, bgr, truth_m)
                work = _Work(method, passes, truth_m, dataset.scale.max_depth_m)
                found[method.title].append(parts.plain(f'{index}-{pair.name}', key, work.run))
            on_progress(done, len(dataset.pairs))
    return [_mean(method, found[method.title]) for method in methods]


@dataclass(frozen=True)
class _Work:
    method: Method
    passes: Passes
    truth_m: FloatImage
    max_depth_m: float

    def run(self) -> dict[str, Any]:
        self.passes.start_method()
        depth = self.method.depth(self.passes)
        score = judge_metric if self.method.metric else judge
        return asdict(score(depth, self.truth_m, self.max_depth_m)) | {'ms': self.passes.ms}


def _mean(method: Method, scores: Sequence[dict[str, Any]]) -> Result:
    known = {name: [one[name] for one in scores if one[name] is not None] for name in scores[0]}
    means = {name: float(np.mean(values)) if values else None for name, values in known.items()}
    random = any(one.weights.random for one in method.subjects)
    return Result(method.title, random, **means)  # type: ignore[arg-type]
