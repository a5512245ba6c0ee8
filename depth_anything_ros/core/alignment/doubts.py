"""What speaks against a fit that passed its tests: published, but with a warning."""

from __future__ import annotations

import numpy as np

from depth_anything_ros.core.alignment.local_error import around
from depth_anything_ros.core.alignment.robust_fit import TUKEY, AffineFit, Prior
from depth_anything_ros.core.alignment.sample_gate import BLOCKS_ALONG, GatedSamples

__all__ = ['surely', 'warning_about']

_CONFIDENCE = 1.96
_MAJORITY = 0.5
_LARGE_AREA = 0.1
_FEW_REJECTED = 0.9
# Deviations of the shift, and of the network's error, that are hard to believe.
_UNLIKELY_SHIFT = 3.5
_ROUGH = 2.0


def warning_about(samples: GatedSamples, fit: AffineFit, prior: Prior, visible: bool) -> str:
    """Give the first doubt of `Alignment.warning` that holds, or ''.

    `visible`: that of KindRules.
    """
    ratio = fit.inliers / samples.count
    if surely(ratio, samples.count) < _MAJORITY:
        return 'few_inliers'
    if visible and _rejected_area(samples, fit) >= _LARGE_AREA:
        return 'rejected_region'
    if ratio < _FEW_REJECTED and abs(fit.shift) > _UNLIKELY_SHIFT * prior.shift_sigma:
        return 'unlikely_shift'
    if fit.cut > _ROUGH * TUKEY * prior.network_sigma:
        return 'rough_fit'
    return ''


def _rejected_area(samples: GatedSamples, fit: AffineFit) -> float:
    """Give the share of blocks in and around which most samples are surely rejected.

    Outliers of a sensor are scattered; a region of them is a window pane, or shows that the fit
    is wrong.
    """
    size = BLOCKS_ALONG * BLOCKS_ALONG
    held = np.bincount(samples.block, minlength=size)
    count = around(held)
    rejected = around(np.bincount(samples.block, fit.weight == 0.0, size))
    # Wilson's lower bound of the share.
    square = _CONFIDENCE**2
    spread = rejected * (count - rejected) / np.maximum(count, 1.0) + 0.25 * square
    lower = (rejected + 0.5 * square - _CONFIDENCE * np.sqrt(spread)) / (count + square)
    return float(np.mean(lower.ravel()[held > 0] > _MAJORITY))


def surely(ratio: float, count: int) -> float:
    """Give the lower bound of a share seen among `count`, with 97.5 % confidence."""
    return ratio - _CONFIDENCE * float(np.sqrt(ratio * (1.0 - ratio) / count))
