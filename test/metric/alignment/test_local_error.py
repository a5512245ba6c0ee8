from __future__ import annotations

import numpy as np
import pytest

from depth_anything_ros.core.types import FloatImage, ReferenceKind, ReferenceSamples
from depth_anything_ros.metric.alignment import AlignmentConfig
from depth_anything_ros.metric.alignment.local_error import observed_error
from depth_anything_ros.metric.alignment.robust_fit import AffineFit, Prior, ShiftPrior, refit
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples, gate, inverse_depth_stats

SHAPE = (240, 320)
SCAN = AlignmentConfig(ReferenceKind.LASER_SCAN)


def scan_row(wrong: FloatImage) -> tuple[GatedSamples, AffineFit]:
    """A row of samples in the middle; the network's log error is `wrong` (320,) along it."""
    depth = np.broadcast_to(np.linspace(2.0, 6.0, SHAPE[1], dtype=np.float32), SHAPE)
    inverse_depth = np.exp(wrong).astype(np.float32) / depth
    u = np.arange(4, SHAPE[1], 8, dtype=np.float32)
    row = ReferenceSamples(u, np.full(u.size, 120.0, np.float32), depth[120, u.astype(int)])
    stats = inverse_depth_stats(inverse_depth)
    assert stats is not None
    samples = gate(inverse_depth, row, stats, SCAN)
    fit = refit(samples, np.array([1.0, 0.0]), Prior(ShiftPrior(0.01, 0.01), 0.06))
    return samples, fit.at_state(np.array([1.0, 0.0]), samples)


def test_the_error_at_a_sample_is_known_and_far_from_all_it_is_the_networks() -> None:
    bump = 0.1 * np.exp(-np.square((np.arange(SHAPE[1]) - 240.0) / 40.0))
    samples, fit = scan_row(bump.astype(np.float32))
    told = observed_error(samples, fit, trust=1.0)
    middle = told.variance.shape[0] // 2
    assert told.variance[middle, 6] > 2.0 * told.variance[middle, 1]
    assert told.open_share[middle].max() < 0.3
    assert told.open_share[0].min() > 0.9
    assert told.variance[0] == pytest.approx(np.full(8, fit.sigma**2), rel=0.15)


def test_trust_is_how_much_of_that_counts() -> None:
    samples, fit = scan_row(np.zeros(SHAPE[1], np.float32))
    little, much = (observed_error(samples, fit, trust).variance for trust in (0.1, 0.65))
    assert (much <= little + 1e-9).all()
    assert much[3].mean() < 0.7 * little[3].mean()
    assert much[0] == pytest.approx(little[0], rel=0.1)
