"""Measurements of one configuration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.studies.bench.configuration import Configuration

__all__ = ['AffineAgreement', 'Loaded', 'Row', 'Sample', 'Timing', 'agreement']

_STAGES = ('preprocess', 'infer', 'postprocess')


@dataclass(frozen=True)
class Sample:
    """Milliseconds of one call, as a whole and by stage."""

    ms: float
    stages: dict[str, float]


@dataclass(frozen=True)
class Loaded:
    """What was loaded, after every 'auto' was decided, and how long it took."""

    backend: str
    device: str
    precision: str
    input_size: int
    load_s: float
    first_ms: float
    million_parameters: float | None = None


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a call, which is one image or a whole batch; stages are medians.

    `cov_percent` is the coefficient of variation of these calls, None of a single one,
    `cov_with_first_percent` that with the first call after loading, which finds nothing ready,
    among them.
    """

    calls: int
    min_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cov_percent: float | None
    cov_with_first_percent: float
    fps: float
    preprocess_ms: float
    infer_ms: float
    postprocess_ms: float

    @classmethod
    def of(cls, samples: Sequence[Sample], batch: int, first_ms: float = math.nan) -> Timing:
        """Sum up the samples of calls with `batch` images each."""
        ms = [sample.ms for sample in samples]
        lowest, p50, p95, p99 = np.percentile(ms, (0, 50, 95, 99)).tolist()
        stages = (
            float(np.median([sample.stages.get(name, 0.0) for sample in samples]))
            for name in _STAGES
        )
        cov = _cov_percent(ms) if len(ms) > 1 else None
        how = cov, _cov_percent([*ms, first_ms]), batch * 1e3 / p50
        return cls(len(ms), lowest, p50, p95, p99, *how, *stages)


@dataclass(frozen=True)
class AffineAgreement:
    """How far an inverse depth is from that of float32 in torch, after the best scale and shift.

    Differences are in percent of the reference's spread, from its 2nd to its 98th percentile:
    what the normalised image of the node spreads over [0, 1].
    """

    diff_p50_percent: float
    diff_p99_percent: float
    pearson: float


@dataclass(frozen=True)
class Row:
    """One configuration. What is not known is None, and `note` says why there are no times.

    `ratio` is the median, over rounds, of the baseline's time per image by this one's: above 1
    is faster. `gflops` holds the network's operations against `infer_ms`, `peak_percent` that
    against `peak_gflops`. `start_s` is from the start of the process to its first result. `cost`
    is the time of an image over that of the fastest row. `largest_batch` ran within the memory
    asked for, and `batch_limit` says what kept it from twice as many.
    """

    variant: str
    backend: str
    precision: str
    input_size: int
    batch: int
    threads: int
    device: str
    weights: str
    random_weights: bool = False
    is_baseline: bool = False
    note: str = ''
    timing: Timing | None = None
    ratio: float | None = None
    load_s: float | None = None
    first_ms: float | None = None
    start_s: float | None = None
    resident_mb: float | None = None
    gpu_mb: float | None = None
    gflops: float | None = None
    peak_gflops: float | None = None
    peak_percent: float | None = None
    agreement: AffineAgreement | None = None
    million_parameters: float | None = None
    cost: float | None = None
    largest_batch: int | None = None
    batch_limit: str = ''

    @classmethod
    def asked(cls, configuration: Configuration, loaded: Loaded | None = None) -> Row:
        """Begin a row: as it was asked for, or as it was loaded."""
        known = asdict(configuration) | (asdict(loaded) if loaded else {})
        del known['calibration']
        return cls(**known)


def _cov_percent(ms: Sequence[float]) -> float:
    return 100.0 * float(np.std(ms) / np.mean(ms))


def agreement(inverse_depth: FloatImage, reference: FloatImage) -> AffineAgreement | None:
    """Compare two inverse depths (H, W); None where the reference is flat."""
    given, wanted = (values.ravel().astype(np.float64) for values in (inverse_depth, reference))
    low, high = np.percentile(wanted, (2, 98))
    if not (high > low and np.isfinite(given).all() and np.ptp(given) > 0):
        return None
    scale, shift = np.polyfit(given, wanted, 1)
    if scale < 0.0:
        # Upside down is no agreement.
        scale, shift = 0.0, wanted.mean()
    apart = 100.0 * np.abs(scale * given + shift - wanted) / (high - low)
    p50, p99 = np.percentile(apart, (50, 99))
    return AffineAgreement(float(p50), float(p99), float(np.corrcoef(given, wanted)[0, 1]))
