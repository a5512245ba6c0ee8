"""From images and odometry to samples of metric depth, or the reason why there are none."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import compress

import cv2
import numpy as np
import numpy.typing as npt

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform
from depth_anything_ros.core.parameters import OdometryParameters
from depth_anything_ros.core.types import Camera, Floats, Mask, ReferenceSamples
from depth_anything_ros.metric.odometry.lengths import MOST_STRETCH, doubted, shortened, stretches
from depth_anything_ros.metric.odometry.motion import (
    MOST_PX,
    Motion,
    View,
    angle_of,
    parallax,
    refined_motion,
    upper_quartile,
)
from depth_anything_ros.metric.odometry.tracks import TRACKS, Tracks
from depth_anything_ros.metric.odometry.triangulation import (
    LEAST_USED,
    Triangulation,
    triangulated,
)
from depth_anything_ros.metric.scale import reason_text

__all__ = ['OdometryTracker']

# Images are tracked at most this large: more pixels cost time and give no better tracks.
_LONGER_PX = 640
_MOST_GAP_S = 1.0
# Earlier views are kept by distance, so that what was driven serves while standing.
_VIEWS = 24
_MOST_AGE_S = 30.0
_STEP_S, _STEP_M, _STEP_RAD = 0.09, 0.015, 0.026

# Depths are triangulated from so many of the views.
_USED = 4
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

# Where odometry slips: newest views that are used, and those kept after which it is believed.
_SINCE_SLIP, _BELIEVED_VIEWS = 8, 100


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
        self._slips, self._slipped_views = False, 0

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
            # The first stands for those before it.
            times = 1 if self._velocities else _INTERVALS
            self._velocities.extend([way / elapsed_s] * times)
        lost = self._tracks.follow(grey, moved.rotation)
        for view in self._views:
            view.rays[lost] = np.nan
        velocities = np.array(self._velocities or [np.zeros(3)] * _INTERVALS)
        unknown = np.full(TRACKS, np.nan)
        now = View(stamp_ns, velocities, odom_from_camera, self._tracks.rays, unknown)
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
        self._slipped_views += self._slips
        self._views.append(now)

    def _samples(self, now: View) -> ReferenceSamples:
        found = self._without_slip(now, self._motions(now))
        if found.refusal:
            raise _refusal(found.refusal)
        kept = found.kept
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

    def _without_slip(self, now: View, motions: Sequence[Motion]) -> Triangulation:
        """Return the depths by those motions whose lengths do not slip, and remember them.

        What is remembered has the lengths of before, so that slip is seen until it ends.
        """
        focal_px = self._camera.fx
        found = triangulated(now.rays, motions, focal_px)
        stretched = stretches(now.rays, motions, found)
        self._slips = bool((np.abs(stretched) > MOST_STRETCH).any())
        if self._slips and self._slipped_views > _BELIEVED_VIEWS:
            for view in self._views:
                view.inverse_depth[:] = np.nan
            self._slips, stretched = False, np.full(len(motions), np.nan)
        if self._slips:
            _remember(now, triangulated(now.rays, shortened(motions, stretched), focal_px))
        else:
            self._slipped_views = 0
            _remember(now, found, doubted(motions, stretched))
        # Half: a way partly within the slip is of neither length. Unknown ones are not slip's.
        even = np.abs(stretched) < 0.5 * MOST_STRETCH
        even |= ~np.isfinite(stretched) & (not self._slips)
        if even.sum() < LEAST_USED:
            if self._slips:
                raise _refusal('odometry_slips')
            return found
        if even.all():
            return found
        return triangulated(now.rays, list(compress(motions, even)), focal_px)

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
        if len(motions) < LEAST_USED:
            raise _refusal(reason)
        return motions

    def _chosen(self, now: View) -> tuple[list[View], str]:
        """Return earlier views with a baseline, and why there are not more.

        The first are spread over all. The last are the newest, in reserve: what is left of the
        tracks of an old view may be the cars that drive ahead.
        """
        refused = self._refused(now)
        usable = [view for view, reason in zip(self._views, refused, strict=True) if not reason]
        # Of several reasons, that of the view which came closest.
        reason = max(refused, key=_LEADING_UP.index, default='no_earlier_frame')
        if len(usable) < LEAST_USED:
            return [], reason or 'no_motion'
        if self._slips:
            # Those from before the slip lead to neither length.
            usable = usable[-_SINCE_SLIP:]
        index = np.unique(np.linspace(0, len(usable) - 1, _USED).astype(int))
        spread = [usable[i] for i in index]
        newest = [view for view in usable[-_USED:] if view not in spread]
        return [*spread, *newest[::-1]], reason

    def _refused(self, now: View) -> list[str]:
        """Return why depths cannot be triangulated from each view, '' where they can."""
        if not self._views:
            return []
        odom_from_then = np.array([view.odom_from_camera.rotation for view in self._views])
        then_from_now = odom_from_then.transpose(0, 2, 1) @ now.odom_from_camera.rotation
        moved = parallax(then_from_now, np.array([view.rays for view in self._views]), now.rays)
        still = upper_quartile(moved) < _LEAST_PARALLAX_PX / self._camera.fx
        few = np.count_nonzero(np.isfinite(moved), axis=1) < _LEAST_COMMON
        reasons = ['no_motion', 'too_few_tracks', 'too_little_parallax']
        return [str(each) for each in np.select([~self._sure(now), few, still], reasons, '')]

    def _sure(self, now: View) -> Mask:
        """Return whether the way from each view (n,) is long beside the doubt of it."""
        then = np.array([view.velocities for view in self._views])
        change = np.linalg.norm(then[:, None] - now.velocities[:, None], axis=-1).max(axis=(1, 2))
        speed = np.linalg.norm(then, axis=-1).max(axis=1)
        speed = np.maximum(speed, np.linalg.norm(now.velocities, axis=-1).max())
        # At an even velocity latency does not matter.
        late_m = self._noise.latency_s * np.maximum(change, _UNEVEN * speed)
        doubt_m = np.hypot(self._noise.position_sigma_m, late_m)
        places = np.array([view.odom_from_camera.translation for view in self._views])
        length_m = np.linalg.norm(now.odom_from_camera.translation - places, axis=1)
        return np.asarray(length_m >= np.maximum(_LEAST_BASELINE_M, _SURE_BASELINE * doubt_m))


def _apart(first: Transform, second: Transform) -> bool:
    """Return whether two poses are so far apart that their views differ."""
    moved = first.inverse() @ second
    far = float(np.linalg.norm(moved.translation)) > _STEP_M
    return far or angle_of(moved.rotation) > _STEP_RAD


def _remember(now: View, found: Triangulation, too_long: float = 0.0) -> None:
    """Keep the depths in `now`, found by lengths that are `too_long` (log), if they agree."""
    if not found.refusal:
        now.inverse_depth[found.kept] = np.exp(too_long) * found.inverse[found.kept]


def _refusal(reason: str) -> FrameError:
    return FrameError(reason, reason_text(reason))
