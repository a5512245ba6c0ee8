"""Ways to inverse depth over a dataset: networks alone, together, and with more than one look."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache, partial
from typing import Any, NamedTuple

import cv2
import numpy as np

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.variants import PATCH_PX
from depth_anything_ros.studies.accuracy.dataset import Dataset
from depth_anything_ros.studies.accuracy.judge import judge
from depth_anything_ros.studies.accuracy.looks import colored, small
from depth_anything_ros.studies.inputs import OnProgress, Subject, loaded, mean_figures, normalized
from depth_anything_ros.studies.parts import Parts, digest

__all__ = [
    'METRIC',
    'Methods',
    'Passes',
    'alone',
    'average',
    'ensembles',
    'evaluate',
    'more_looks',
]

METRIC = ', in metres as it is'
"""Ends the title of a method whose inverse depth is judged without alignment."""

_MOST_SHOWN = 6
_SCALES = 0.75, 1.0, 1.25
_BILATERAL = 9, 0.1, 5.0
"""Diameter in pixels; standard deviations in shares of the spread of depth, and in pixels."""


class Passes:
    """Passes through networks for one image at a time; what several methods need runs once."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._backends: dict[Subject, DepthBackend] = {}
        self._known: dict[tuple[Subject, int, bool], tuple[FloatImage, float]] = {}
        self._image: BgrImage = np.empty((0, 0, 3), np.uint8)
        self._times = StageTimes()

    def start_image(self, bgr: BgrImage) -> None:
        """Forget the last image."""
        self._known.clear()
        self._image = bgr

    def timed(self, method: Method) -> tuple[FloatImage, float]:
        """Return what a method returns, and its milliseconds.

        A pass counts in full, whoever ran it, and loading a network does not.
        """
        self._times = StageTimes()
        with self._times.stage('own'):
            depth = method(self)
        return depth, self._times.ms['own'] + self._times.ms.get('passes', 0.0)

    def depth(self, subject: Subject, input_size: int = 0, flipped: bool = False) -> FloatImage:
        """Return inverse depth (H, W), at another size or of the mirrored image, mirrored back."""
        key = subject, input_size or subject.input_size, flipped
        with self._times.stage('running'):
            if key not in self._known:
                self._known[key] = self._run(*key)
        depth, ms = self._known[key]
        self._times.add('passes', ms)
        return depth

    def _run(self, subject: Subject, input_size: int, flipped: bool) -> tuple[FloatImage, float]:
        if subject not in self._backends:
            self._backends[subject] = self._stack.enter_context(loaded(subject))
            # The first call makes what later ones find ready.
            self._backends[subject].infer(self._image)
        backend, times = self._backends[subject], StageTimes()
        backend.input_size = input_size
        turn = slice(None, None, -1 if flipped else 1)
        depth = backend.infer(np.ascontiguousarray(self._image[:, turn]), times)[:, turn]
        return depth, sum(times.ms.values())


Method = Callable[[Passes], FloatImage]
"""Asks passes for all that it needs, and returns inverse depth (H, W)."""

Methods = dict[str, Method]
"""By title."""


class Evaluation(NamedTuple):
    """Mean figures of `judge` and `ms` of an image by method, of the pairs in `judged`.

    `left_out` says why others are not among them. `tiles`: pictures to look at, of the first
    pairs, by what they show.
    """

    figures: dict[str, dict[str, float]]
    judged: list[str]
    left_out: list[str]
    tiles: dict[str, dict[str, BgrImage]]


def evaluate(
    dataset: Dataset,
    methods: Methods,
    subjects: Sequence[Subject],
    parts: Parts,
    on_progress: OnProgress = lambda done, total: None,
) -> Evaluation:
    """Judge each method on all pairs; SettingError where none of them can be used."""
    found: dict[str, list[dict[str, Any]]] = {title: [] for title in methods}
    judged, left_out = [], list(dataset.alone)
    tiles: dict[str, dict[str, BgrImage]] = {}
    with ExitStack() as stack:
        passes = Passes(stack)
        for done, name in enumerate(dataset.pairs, 1):
            try:
                bgr, truth_m = dataset.read(name)
            except DepthAnythingError as err:
                left_out.append(str(err))
                continue
            judged.append(name)
            if len(judged) <= _MOST_SHOWN:
                tiles[name] = {'image': small(bgr), 'true depth': colored(small(1.0 / truth_m))}
            passes.start_image(bgr)
            for index, (title, method) in enumerate(methods.items()):
                # For the figures and the look, and not where both are there.
                made = cache(partial(passes.timed, method))

                def score(title: str = title, made: Any = made, truth_m: Any = truth_m) -> Any:
                    depth, ms = made()
                    is_metric = title.endswith(METRIC)
                    return {**judge(depth, truth_m, dataset.max_depth_m, is_metric), 'ms': ms}

                keys = [one.key for one in subjects]
                key = digest(title, keys, dataset.max_depth_m, bgr, truth_m)
                found[title].append(parts.plain(f'{index}-{name}', key, score))
                if name in tiles:
                    look = partial(lambda made: small(made()[0]), made)
                    tiles[name][title] = colored(parts.image(f'{index}-{name}', key, look))
            on_progress(done, len(dataset.pairs))
    if not judged:
        raise SettingError(left_out[-1])
    means = {title: mean_figures(each) for title, each in found.items()}
    return Evaluation(means, judged, left_out, tiles)


def alone(subjects: Sequence[Subject]) -> Methods:
    """Return each network by itself, aligned; a metric one also as it is."""
    methods: Methods = {}
    for one in subjects:
        run = partial(Passes.depth, subject=one)
        if one.weights.card.metric:
            methods[one.title + METRIC] = run
        methods[one.title] = run
    return methods


def ensembles(subjects: Sequence[Subject]) -> Methods:
    """Return each network, and the mean of every two or more of them."""
    methods = alone(subjects)
    for count in range(2, len(subjects) + 1):
        for some in itertools.combinations(subjects, count):
            title = ' + '.join(one.title for one in some)
            methods[title] = lambda passes, some=some: average([passes.depth(one) for one in some])  # type: ignore[misc]
    return methods


def more_looks(subject: Subject, sizes: Sequence[int]) -> Methods:
    """Return one network plain, mirrored, filtered, at several scales, and at each input size.

    A network that is made for one size is not run at others.
    """
    plain, name = subject.input_size, subject.title
    one = partial(Passes.depth, subject=subject)
    methods: Methods = {
        f'{name} at {plain}': one,
        f'{name} and mirrored': lambda passes: average([one(passes, flipped=True), one(passes)]),
        f'{name}, bilateral filter': lambda passes: np.asarray(
            cv2.bilateralFilter(normalized(one(passes)), *_BILATERAL), np.float32
        ),
    }
    if subject.variant.input_size is None:
        scaled = [max(1, round(plain * each / PATCH_PX)) * PATCH_PX for each in _SCALES]
        methods[f'{name}, mean of {", ".join(map(str, scaled))}'] = lambda passes: average(
            [one(passes, input_size=size) for size in scaled]
        )
        methods |= {f'{name} at {size}': partial(one, input_size=size) for size in sizes}
    return methods


def average(depths: Sequence[FloatImage]) -> FloatImage:
    """Return the mean of inverse depths (H, W), each first aligned to the last."""
    wanted = depths[-1].astype(np.float64)
    total = np.zeros_like(wanted)
    for depth in depths:
        given = depth.astype(np.float64) - depth.mean(dtype=np.float64)
        # Upside down is no agreement: then only the mean is known.
        slope = max(0.0, np.mean(given * (wanted - wanted.mean())) / max(given.var(), 1e-24))
        total += slope * given + wanted.mean()
    return np.asarray(total / len(depths), np.float32)
