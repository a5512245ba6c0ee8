"""Whether odometry's lengths are still those of before.

A point that is followed has one depth in an earlier view: the one that was found there, from views
before it, and the one that follows from the way since. They differ by as much as odometry's length
of that way differs from those before, in all points alike: so slip shows where it begins and ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from depth_anything_ros.core.geometry.transforms import Transform
from depth_anything_ros.core.types import Floats
from depth_anything_ros.metric.odometry.motion import Motion
from depth_anything_ros.metric.odometry.triangulation import Triangulation

__all__ = ['MOST_STRETCH', 'doubted', 'shortened', 'stretches']

MOST_STRETCH = 0.12
"""Log of odometry's length over the one believed, from which odometry slips."""

_LEAST_TRACKS = 12
# Lengths that do not slip are believed with this time constant.
_BELIEVED_S = 2.0


def stretches(rays: Floats, motions: Sequence[Motion], found: Triangulation) -> Floats:
    """Return the log (n,) of odometry's length since each view, over the one believed.

    `found`: the depths of `rays` (TRACKS, 3) by the motions. NaN where too few depths were known
    in the view.
    """
    return np.array(
        [_stretch(rays, motion, each) for motion, each in zip(motions, found.each, strict=True)]
    )


def _stretch(rays: Floats, motion: Motion, inverse: Floats) -> float:
    way = motion.then_from_now
    with np.errstate(all='ignore'):
        then_m = rays @ way.rotation[2] / inverse + way.translation[2]
        ratio = np.log(then_m * motion.inverse_depth)
    ratio = ratio[motion.inlier & np.isfinite(ratio)]
    return float(np.median(ratio)) if ratio.size >= _LEAST_TRACKS else float('nan')


def doubted(motions: Sequence[Motion], stretched: Floats) -> float:
    """Return the mean part of `stretched` (n,) that is not believed yet, 0 where none is known."""
    elapsed_s = np.array([motion.elapsed_s for motion in motions])
    doubt = stretched * np.maximum(1.0 - elapsed_s / _BELIEVED_S, 0.0)
    known = doubt[np.isfinite(doubt)]
    return float(known.mean()) if known.size else 0.0


def shortened(motions: Sequence[Motion], stretched: Floats) -> list[Motion]:
    """Return the motions whose length is known to be `stretched` (n,), with the one believed."""
    found = []
    for motion, stretch in zip(motions, stretched, strict=True):
        if np.isfinite(stretch):
            way = motion.then_from_now
            shift = np.exp(-stretch) * way.translation
            found.append(replace(motion, then_from_now=Transform(way.rotation, shift)))
    return found
