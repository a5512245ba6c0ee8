"""Rows, each timed in turn with its baseline (A B A B) in a process of its own."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from depth_anything_ros.backends.base import INT8
from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.studies.bench.configuration import Configuration, Engine, card_of_network
from depth_anything_ros.studies.bench.largest_batch import largest_batch
from depth_anything_ros.studies.bench.network_process import NetworkProcess, cache_in
from depth_anything_ros.studies.bench.network_worker import NetworkWorker
from depth_anything_ros.studies.bench.peer_worker import PeerWorker
from depth_anything_ros.studies.bench.peers import offline_in, peer_of, require_library
from depth_anything_ros.studies.bench.row import Row, Sample, Timing, agreement
from depth_anything_ros.studies.bench.work import gflop_of_row, million_parameters

__all__ = [
    'REFERENCE',
    'Bench',
    'BenchPlan',
    'Timed',
    'any_ran',
    'measure',
    'picture',
    'with_cost',
]

_TURN_MS = 250.0
"""A turn of a fast network lasts about this long; one of a slow network is one call."""

_LEAST_ROUNDS = 5
"""A median of fewer ratios says little; only `BenchPlan.seconds` leaves fewer."""

REFERENCE = Engine('torch', 'fp32')


@dataclass(frozen=True)
class BenchPlan:
    """How to time: `frames` calls for each row, but no more than `seconds` of them.

    `size` is the width and height of the image. The largest batch is looked for within
    `batch_memory_mb`, unless that is 0.
    """

    size: tuple[int, int] = (640, 480)
    frames: int = 20
    seconds: float = 60.0
    baseline: Engine | None = None
    has_peak: bool = True
    has_agreement: bool = True
    batch_memory_mb: float = 0.0


def measure(
    configurations: Sequence[Configuration],
    plan: BenchPlan,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """Return a row for each configuration, and one for the baseline before those that it serves.

    What cannot be created here, or fails, has a row that says why; what is the baseline itself
    has none of its own. Configurations that differ in more than engine and batch have different
    baselines: have them apart from each other.
    """
    rows: list[Row] = []
    with Bench(plan) as bench:
        for _, group in itertools.groupby(configurations, lambda one: one.by(REFERENCE)):
            first = len(rows)
            for row in bench.group(list(group)):
                rows.insert(first if row.is_baseline else len(rows), row)
                on_progress(min(len(rows), len(configurations)), len(configurations))
        return with_cost([bench.held_against_peak(row) for row in rows])


def with_cost(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the time of an image over that of the fastest of them."""
    fastest = max((row.timing.fps for row in rows if row.timing), default=0.0)
    return [replace(row, cost=fastest / row.timing.fps if row.timing else None) for row in rows]


def any_ran(rows: Sequence[Row]) -> bool:
    """Return whether anything that was asked for ran; the baseline counts where it is all."""
    asked = [row for row in rows if not row.is_baseline] or rows
    return any(row.timing for row in asked)


def picture(size: tuple[int, int]) -> BgrImage:
    """Return the embedded photograph as uint8 (H, W, 3) of `size` (width, height)."""
    return np.asarray(cv2.resize(photograph(), size, interpolation=cv2.INTER_AREA), np.uint8)


class Bench:
    """Times configurations as `plan` says, and keeps what several rows need.

    Use it as a context manager. A later `plan` must be for images of the same size.
    """

    def __init__(self, plan: BenchPlan) -> None:
        self.plan = plan
        self._image = picture(plan.size)
        self._references: dict[Configuration, FloatImage | None] = {}
        self._peaks: dict[tuple[str, str, int], float] = {}
        self._prepared: set[Configuration] = set()
        # Exports of random networks, and of those calibrated here, are not for the node.
        self._scratch = TemporaryDirectory(prefix='depth_anything_bench-')

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def group(self, configurations: Sequence[Configuration]) -> Iterator[Row]:
        """Time configurations that have one baseline; its row comes last, or it is not there."""
        with ExitStack() as stack:
            baseline = None
            if self.plan.baseline is not None and peer_of(configurations[0]) is None:
                asked = configurations[0].by(self.plan.baseline)
                try:
                    process = stack.enter_context(self.ready(asked))
                    baseline = Timed(process, asked, self._image)
                except DepthAnythingError as error:
                    yield replace(Row.asked(asked), is_baseline=True, note=str(error))
            for configuration in configurations:
                row = self.row(configuration, baseline)
                if not row.is_baseline:
                    yield row
            if baseline is not None:
                yield self._baseline_row(baseline)

    def row(self, configuration: Configuration, baseline: Timed | None = None) -> Row:
        """Time one configuration in turn with the baseline, unless it is the baseline itself."""
        try:
            with self.ready(configuration) as process:
                timed = Timed(process, configuration, self._image)
                if baseline and timed.is_like(baseline):
                    return replace(Row.asked(configuration), is_baseline=True)
                return self._row(timed, self._in_turn(timed, baseline))
        except DepthAnythingError as error:
            return replace(Row.asked(configuration), note=str(error))

    def inverse_depths(
        self, configuration: Configuration, images: Sequence[BgrImage]
    ) -> list[FloatImage]:
        """Return inverse depth of each image; BackendError where that cannot be created here."""
        with self.ready(configuration) as process:
            process.call(NetworkWorker.load, configuration, images[0])
            return process.call(NetworkWorker.inverse_depths, images)

    def ready(self, configuration: Configuration) -> NetworkProcess:
        """Start a process for a network, once all that it needs is on disk."""
        if peer := peer_of(configuration):
            require_library(peer)
            environment = offline_in(self._scratch.name)
            return NetworkProcess(configuration.threads, environment, PeerWorker)
        is_calibrated = configuration.precision == INT8 and configuration.calibration
        is_mine = configuration.is_random or is_calibrated
        cache = cache_in(self._scratch.name) if is_mine else {}
        needed = replace(configuration, batch=1, threads=0, input_size=0)
        if needed not in self._prepared:
            # By another process: what exporting takes is no memory of the row.
            with NetworkProcess(environment=cache) as process:
                process.call(NetworkWorker.prepare, configuration)
            self._prepared.add(needed)
        return NetworkProcess(configuration.threads, cache)

    def held_against_peak(self, row: Row) -> Row:
        """Return the row with the best peak that was measured for it so far."""
        peak = self._peaks.get((row.device, row.precision, row.threads))
        if peak is None or row.gflops is None:
            return row
        return replace(row, peak_gflops=peak, peak_percent=100.0 * row.gflops / peak)

    def _baseline_row(self, baseline: Timed) -> Row:
        try:
            if not baseline.samples:
                self._in_turn(baseline, None)
            row = self._row(baseline, None)
        except DepthAnythingError as error:
            row = replace(Row.asked(baseline.configuration), note=str(error))
        return replace(row, is_baseline=True)

    def _in_turn(self, timed: Timed, baseline: Timed | None) -> float | None:
        """Take turns with the baseline; return the median ratio of the times per image."""
        ratios = []
        most = math.ceil(self.plan.frames / _LEAST_ROUNDS)
        ends_s = time.monotonic() + self.plan.seconds
        while len(timed.samples) < self.plan.frames:
            other_ms = baseline.turn(most) if baseline else None
            own_ms = timed.turn(most)
            if other_ms is not None:
                ratios.append(other_ms / own_ms)
            if time.monotonic() > ends_s:
                break
        return statistics.median(ratios) if ratios else None

    def _row(self, timed: Timed, ratio: float | None) -> Row:
        timing = Timing.of(timed.samples, timed.batch, timed.loaded.first_ms)
        resident_mb, gpu_mb = timed.process.call(NetworkWorker.memory_mb)
        row = replace(
            Row.asked(timed.configuration, timed.loaded),
            timing=timing,
            ratio=ratio,
            start_s=timed.start_s,
            resident_mb=resident_mb,
            gpu_mb=gpu_mb,
            random_weights=timed.configuration.is_random,
        )
        if peer_of(row) is None:
            row = self._compared(row, timing, timed)
        if self.plan.batch_memory_mb:
            # Last, as it may end the process.
            most = self.plan.batch_memory_mb, self.plan.seconds
            images, limit = largest_batch(timed.process, row.batch, *most)
            row = replace(row, largest_batch=images, batch_limit=limit)
        return row

    def _compared(self, row: Row, timing: Timing, timed: Timed) -> Row:
        """Return the row with the work of the network, and its agreement with float32."""
        card = card_of_network(row.variant, row.weights)
        if not card.is_onnx:
            row = replace(row, million_parameters=million_parameters(card.variant))
        if self.plan.has_peak:
            parts = gflop_of_row(row.variant, row.weights, self.plan.size, row.input_size)
            if parts:
                gflop = row.batch * sum(parts.values())
                row = replace(row, gflops=gflop / timing.infer_ms * 1e3)
            self.peak_gflops(row.device, row.precision, row.threads)
        return self._with_agreement(row, timed) if self.plan.has_agreement else row

    def _with_agreement(self, row: Row, timed: Timed) -> Row:
        reference = self._reference(timed.configuration)
        if reference is None:
            return row
        (inverse_depth,) = timed.process.call(NetworkWorker.inverse_depths, [self._image])
        return replace(row, agreement=agreement(inverse_depth, reference))

    def _reference(self, configuration: Configuration) -> FloatImage | None:
        """Return the inverse depth of float32 in torch; None where that does not run here.

        Of an ONNX file it is that of ONNX Runtime.
        """
        card = card_of_network(configuration.variant, configuration.weights)
        wanted = configuration.by(Engine('onnxruntime', 'fp32') if card.is_onnx else REFERENCE)
        if wanted not in self._references:
            try:
                (self._references[wanted],) = self.inverse_depths(wanted, [self._image])
            except DepthAnythingError:
                self._references[wanted] = None
        return self._references[wanted]

    def peak_gflops(self, device: str, precision: str, threads: int) -> float | None:
        """Return the best rate of large matrix products, in 10^9 operations per second, or None.

        It is measured at every call, since others may keep the machine busy at any of them.
        """
        key = device, precision, threads
        try:
            with NetworkProcess(threads) as process:
                rate = process.call(NetworkWorker.peak_gflops, device, precision)
        except DepthAnythingError:
            rate = None
        if rate is not None:
            self._peaks[key] = max(rate, self._peaks.get(key, 0.0))
        return self._peaks.get(key)


class Timed:
    """A loaded network, with its samples so far."""

    def __init__(
        self, process: NetworkProcess, configuration: Configuration, image: BgrImage
    ) -> None:
        self.process = process
        self.configuration = configuration
        self.batch = configuration.batch
        self.loaded = process.call(NetworkWorker.load, configuration, image)
        self.start_s = process.since_start_s()
        self.samples: list[Sample] = []
        # The first call made what later ones find ready.
        self._usual_ms = process.call(NetworkWorker.turn, 1)[0].ms

    def is_like(self, other: Timed) -> bool:
        """Return whether the two run the same, as 'auto' may have been decided."""
        ours, theirs = (
            (one.loaded.backend, one.loaded.precision, one.loaded.device, one.batch)
            for one in (self, other)
        )
        return ours == theirs

    def turn(self, most: int) -> float:
        """Run a turn of up to so many calls; return the median milliseconds of an image.

        Before several calls comes one that does not count: it finds the caches full of what
        others left.
        """
        calls = max(1, min(most, round(_TURN_MS / self._usual_ms)))
        uncounted = 1 if calls > 1 else 0
        samples = self.process.call(NetworkWorker.turn, calls + uncounted)[uncounted:]
        self.samples += samples
        return statistics.median(sample.ms for sample in samples) / self.batch
