"""From images and odometry to samples of metric depth, or the reason why there are none."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.parameters import OdometryParameters
from depth_anything_ros.core.types import Camera, Floats, Mask, ReferenceSamples
from depth_anything_ros.metric.odometry.motion import (
    MOST_PX,
    Motion,
    View,
    angle_of,
    parallax,
    refined_motion,
)
from depth_anything_ros.metric.odometry.tracks import Tracks
from depth_anything_ros.metric.odometry.triangulation import Triangulation, triangulated
from depth_anything_ros.metric.scale import reason_text

__all__ = ['OdometryTracker']

# Images are tracked at most this large: more pixels cost time and give no better tracks.
_LONGER_PX = 640
_MOST_GAP_S = 1.0
# Earlier views are kept by distance, so that what was driven serves while standing.
_VIEWS = 24
_MOST_AGE_S = 30.0
_STEP_S, _STEP_M, _STEP_RAD = 0.09, 0.015, 0.026

# Depths are triangulated from so many of the views; two must agree.
_USED, _LEAST_USED = 4, 2
_LEAST_COMMON = 40
_LEAST_BASELINE_M = 0.04
# Standard deviations that a baseline is long: an error of it is one of all depths.
_SURE_BASELINE = 14.0
# Share of the speed that is taken to change within the latency; intervals that tell more.
_UNEVEN, _INTERVALS = 0.3, 3
# A quarter of the tracks move more than this, rotation taken out.
_LEAST_PARALLAX_PX = 6.0
_LEADING_UP = '', 'no_motion', 'too_few_tracks', 'too_little_parallax'
_INLIER_SHARE = 0.6
_MOST_DEVIATION = 4.0

# Depths that are kept, and the views' disagreement (log) from which none is.
_RELATIVE_SIGMA, _MOST_CHI2 = 0.3, 9.0
_LEAST_SAMPLES, _LEAST_OF_VIEW = 24, 12
_MOST_APART, _MOST_SPREAD = 0.08, 0.05
# Median share of inverse depth that the doubt of the poses may be.
_MOST_UNSURE = 0.08


class OdometryTracker:
    """Triangulates tracks of one camera over odometry. Not for several threads at once."""

    def __init__(self, camera: Camera, noise: OdometryParameters) -> None:
        self._full, self._noise = camera, noise
        share = min(1.0, _LONGER_PX / max(camera.width, camera.height))
        self._camera = camera.scaled(round(share * camera.width), round(share * camera.height))
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._views: deque[View] = deque(maxlen=_VIEWS)
        self._velocities: deque[Floats] = deque(maxlen=_INTERVALS)
        self._tracks = Tracks(self._camera)
        self._newest: View | None = None
        self._given_at: Transform | None = None

    def update(
        self, grey: npt.NDArray[np.uint8], stamp_ns: int, odom_from_camera: Transform
    ) -> ReferenceSamples:
        """Return samples in pixels of the image `grey` (H, W); FrameError while there are none.

        `odom_from_camera`: the pose of the camera's optical frame, at `stamp_ns`.
        """
        last = self._newest
        elapsed_s = 0.0 if last is None else (stamp_ns - last.stamp_ns) * 1e-9
        if not 0.0 < elapsed_s < _MOST_GAP_S:
            self.reset()
            last = None
        size = self._camera.width, self._camera.height
        if grey.shape[::-1] != size:
            grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        moved = IDENTITY
        if last is not None:
            moved = odom_from_camera.inverse() @ last.odom_from_camera
            way = odom_from_camera.translation - last.odom_from_camera.translation
            self._velocities.append(way / elapsed_s)
        lost = self._tracks.follow(grey, moved.rotation)
        for view in self._views:
            view.rays[lost] = np.nan
        velocities = np.array(self._velocities or [np.zeros(3)])
        now = View(stamp_ns, velocities, odom_from_camera, self._tracks.rays)
        self._newest = now
        while self._views and (stamp_ns - self._views[0].stamp_ns) * 1e-9 > _MOST_AGE_S:
            self._views.popleft()
        try:
            return self._samples(now)
        finally:
            self._keep(now)

    def _keep(self, now: View) -> None:
        """Keep the view for later ones if the camera has moved since the last one kept."""
        if self._views:
            last = self._views[-1]
            soon = (now.stamp_ns - last.stamp_ns) * 1e-9 < _STEP_S
            if soon or not _apart(last.odom_from_camera, now.odom_from_camera):
                return
        self._views.append(now)

    def _samples(self, now: View) -> ReferenceSamples:
        motions = self._motions(now)
        found = triangulated(now.rays, motions, self._camera.fx)
        with np.errstate(all='ignore'):
            kept = (found.sigma < _RELATIVE_SIGMA * found.inverse) & (found.chi2 < _MOST_CHI2)
        if kept.sum() < _LEAST_SAMPLES:
            raise _refusal('too_little_parallax')
        _check(found, kept)
        depth = 1.0 / found.inverse[kept]
        u, v = self._tracks.pixels[kept].T
        across, down = (
            self._full.width / self._camera.width,
            self._full.height / self._camera.height,
        )
        new = self._given_at is None or _apart(self._given_at, now.odom_from_camera)
        if new:
            self._given_at = now.odom_from_camera
        return ReferenceSamples(
            (u + np.float32(0.5)) * np.float32(across) - np.float32(0.5),
            (v + np.float32(0.5)) * np.float32(down) - np.float32(0.5),
            depth.astype(np.float32),
            (found.sigma[kept] * np.square(depth)).astype(np.float32),
            repeated=not new,
        )

    def _motions(self, now: View) -> list[Motion]:
        """Return the refined motions from the chosen views that agree with odometry."""
        chosen, reason = self._chosen(now)
        motions = []
        for view in chosen:
            motion = refined_motion(view, now, self._noise, self._camera.fx)
            if motion.px > MOST_PX or motion.inlier_share < _INLIER_SHARE:
                reason = 'tracks_disagree'
            elif motion.deviation > _MOST_DEVIATION:
                reason = 'odometry_disagrees'
            else:
                motions.append(motion)
            if len(motions) == _USED:
                break
        if len(motions) < _LEAST_USED:
            raise _refusal(reason)
        return motions

    def _chosen(self, now: View) -> tuple[list[View], str]:
        """Return earlier views with a baseline, and why there are not more.

        The first are spread over all. The last are the newest, in reserve: what is left of the
        tracks of an old view may be the cars that drive ahead.
        """
        refused = [self._refused(view, now) for view in self._views]
        usable = [view for view, reason in zip(self._views, refused, strict=True) if not reason]
        # Of several reasons, that of the view which came closest.
        reason = max(refused, key=_LEADING_UP.index, default='no_earlier_frame')
        if len(usable) < _LEAST_USED:
            return [], reason or 'no_motion'
        index = np.unique(np.linspace(0, len(usable) - 1, _USED).astype(int))
        spread = [usable[i] for i in index]
        newest = [view for view in usable[-_USED:] if view not in spread]
        return [*spread, *newest[::-1]], reason

    def _refused(self, view: View, now: View) -> str:
        """Return why depths cannot be triangulated from this view, '' if they can."""
        motion = view.then_from(now)
        length = float(np.linalg.norm(motion.translation))
        late_m = self._noise.latency_s * _change(view.velocities, now.velocities)
        doubt_m = float(np.hypot(self._noise.position_sigma_m, late_m))
        if length < max(_LEAST_BASELINE_M, _SURE_BASELINE * doubt_m):
            return 'no_motion'
        both = view.both(now)
        if both.sum() < _LEAST_COMMON:
            return 'too_few_tracks'
        _, most = parallax(motion.rotation, view.rays[both], now.rays[both])
        if most < _LEAST_PARALLAX_PX / self._camera.fx:
            return 'too_little_parallax'
        return ''


def _apart(first: Transform, second: Transform) -> bool:
    """Return whether two poses are so far apart that their views differ."""
    moved = first.inverse() @ second
    far = float(np.linalg.norm(moved.translation)) > _STEP_M
    return far or angle_of(moved.rotation) > _STEP_RAD


def _change(then: Floats, now: Floats) -> float:
    """Return how much the velocity may have changed: at an even one latency does not matter."""
    change = np.linalg.norm(now[:, None] - then, axis=-1).max()
    speed = np.linalg.norm(np.concatenate([then, now]), axis=-1).max()
    return float(max(change, _UNEVEN * speed))


def _check(found: Triangulation, kept: Mask) -> None:
    """Raise FrameError where the views contradict each other or the poses are unsure."""
    with np.errstate(all='ignore'):
        ratios = [np.log(each[kept] / found.inverse[kept]) for each in found.each]
    ratios = [ratio[np.isfinite(ratio)] for ratio in ratios]
    ratios = [ratio for ratio in ratios if ratio.size >= _LEAST_OF_VIEW]
    if len(ratios) < _LEAST_USED:
        raise _refusal('too_little_parallax')
    levels = [float(np.median(ratio)) for ratio in ratios]
    apart = max(float(np.median(np.abs(ratio))) for ratio in ratios)
    if apart > _MOST_APART or max(levels) - min(levels) > _MOST_SPREAD:
        raise _refusal('views_disagree')
    if float(np.median(found.by_pose[kept] / found.inverse[kept])) > _MOST_UNSURE:
        raise _refusal('pose_unsure')


def _refusal(reason: str) -> FrameError:
    return FrameError(reason, reason_text(reason))
