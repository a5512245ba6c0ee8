"""Warnings about a fit that is accepted all the same."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.metric.alignment.robust_fit import TUKEY, AffineFit, Prior
from depth_anything_ros.metric.alignment.sample_gate import GatedSamples

__all__ = ['lower_confidence_bound', 'warning_about']

# Two-sided 95 % of a Gaussian.
_CONFIDENCE = 1.96
_MAJORITY = 0.5
_MANY_REJECTED = 0.1
_CHECKED, _NEIGHBOURS = 128, 4
_FEW_REJECTED = 0.95
# Standard deviations of the shift, and of the network's error, that are unlikely.
_UNLIKELY_SHIFT = 2.5
_ROUGH = 2.0


def warning_about(samples: GatedSamples, fit: AffineFit, prior: Prior, visible: bool) -> str:
    """Return the first of the warnings of `Alignment.warning` that applies, or ''.

    `visible`: that of KindRules.
    """
    ratio = fit.inliers / samples.count
    if lower_confidence_bound(ratio, samples.count) < _MAJORITY:
        return 'few_inliers'
    if visible and _rejected_together(samples, fit):
        return 'rejected_region'
    # For a ground plane the ratio does not count the samples that were not on it.
    rejected = ratio < _FEW_REJECTED or not visible
    if rejected and abs(fit.shift) > _UNLIKELY_SHIFT * prior.shift.sigma(fit.shift):
        return 'unlikely_shift'
    if fit.cut > _ROUGH * TUKEY * prior.network_sigma:
        return 'rough_fit'
    return ''


def _rejected_together(samples: GatedSamples, fit: AffineFit) -> bool:
    """Return whether rejected samples lie side by side.

    Outliers of a sensor are scattered; a region of them is a window pane, or shows that the fit
    is wrong.
    """
    step = samples.count // _CHECKED + 1
    u, v, rejected = samples.u[::step], samples.v[::step], fit.weight[::step] == 0.0
    if not np.mean(rejected) >= _MANY_REJECTED:
        return False
    apart = np.square(u[rejected, None] - u) + np.square(v[rejected, None] - v)
    # The nearest of all is the sample itself.
    nearest = np.argpartition(apart, _NEIGHBOURS, axis=1)[:, : _NEIGHBOURS + 1]
    rejected_neighbours = np.count_nonzero(rejected[nearest], axis=1) - 1
    return float(np.mean(rejected_neighbours)) > _MAJORITY * _NEIGHBOURS


def lower_confidence_bound(ratio: float, count: int) -> float:
    """Return the lower bound of a share observed in `count`, with 97.5 % confidence."""
    return ratio - _CONFIDENCE * float(np.sqrt(ratio * (1.0 - ratio) / count))
