"""A tree of static and timed transforms, looked up between two frames at a stamp."""

from __future__ import annotations

import bisect
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from threading import Lock

from depth_anything_ros.core.errors import FrameError, shown
from depth_anything_ros.core.geometry.transforms import IDENTITY, Transform, interpolated
from depth_anything_ros.core.timing import time_went_back

__all__ = ['MAX_EXTRAPOLATION_NS', 'TransformBuffer', 'Transforms']

_KEEP_NS = 10_000_000_000
MAX_EXTRAPOLATION_NS = 50_000_000


class Transforms(ABC):
    """Whatever knows the transform between two frames."""

    @abstractmethod
    def lookup(
        self, target: str, source: str, stamp_ns: int, *, extrapolate: bool = True
    ) -> Transform:
        """Return target_from_source at `stamp_ns`.

        Without `extrapolate` the nearest transform does not hold for 50 ms beyond the last one.
        FrameError: 'no_transform' where no chain joins the two, 'transform_too_old' or
        'transform_too_new' where one of its transforms is not known at that stamp.
        """

    def lookup_through(
        self, target: str, target_ns: int, source: str, source_ns: int, fixed_frame: str
    ) -> Transform:
        """Return target at `target_ns` from source at `source_ns`, through a frame at rest.

        With an odometry frame as `fixed_frame` this makes up for the motion between the two
        stamps. '' takes both as rigidly mounted and looks up at `source_ns`. Errors as in
        `lookup`.
        """
        if not fixed_frame:
            return self.lookup(target, source, source_ns)
        target_from_fixed = self.lookup(target, fixed_frame, target_ns)
        return target_from_fixed @ self.lookup(fixed_frame, source, source_ns)


@dataclass
class _Track:
    """The transforms of one frame to its parent, by rising stamp; a static track holds one."""

    parent: str
    static: bool
    stamps: list[int] = field(default_factory=list)
    values: list[Transform] = field(default_factory=list)

    def put(self, stamp_ns: int, value: Transform) -> None:
        at = bisect.bisect_left(self.stamps, stamp_ns)
        if self.static:
            self.stamps, self.values = [stamp_ns], [value]
        elif at < len(self.stamps) and self.stamps[at] == stamp_ns:
            self.values[at] = value
        else:
            self.stamps.insert(at, stamp_ns)
            self.values.insert(at, value)
        expired = bisect.bisect_left(self.stamps, self.stamps[-1] - _KEEP_NS)
        del self.stamps[:expired], self.values[:expired]

    def at(self, child: str, stamp_ns: int, limit_ns: int) -> Transform:
        """Return parent_from_child; FrameError more than `limit_ns` beyond the first or last."""
        if self.static:
            return self.values[0]
        after = bisect.bisect_left(self.stamps, stamp_ns)
        if after == len(self.stamps):
            late_ns = stamp_ns - self.stamps[-1]
            if late_ns > limit_ns:
                raise FrameError(
                    'transform_too_old',
                    f'the newest transform from {shown(child)} to {shown(self.parent)} is '
                    f'{late_ns * 1e-9:.3f} s older than the stamp asked for: is its publisher '
                    'running, and on the same clock?',
                )
            return self.values[-1]
        if after == 0:
            early_ns = self.stamps[0] - stamp_ns
            if early_ns > limit_ns:
                raise FrameError(
                    'transform_too_new',
                    f'the oldest transform from {shown(child)} to {shown(self.parent)} is '
                    f'{early_ns * 1e-9:.3f} s newer than the stamp asked for: the message waited '
                    'too long, or the clocks disagree',
                )
            return self.values[0]
        before = after - 1
        span = self.stamps[after] - self.stamps[before]
        fraction = (stamp_ns - self.stamps[before]) / span
        return interpolated(self.values[before], self.values[after], fraction)


class TransformBuffer(Transforms):
    """Transforms of a tree of frames; threads may share one.

    Each frame has one parent. Between two stamps, transforms are interpolated; beyond the first
    and last, the nearest one holds for 50 ms. Timed transforms more than 10 s before the newest
    of the same frame are dropped, and all of them where time went back (see `time_went_back`).
    """

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}
        self._lock = Lock()

    def put(
        self,
        parent: str,
        child: str,
        parent_from_child: Transform,
        stamp_ns: int = 0,
        *,
        static: bool = False,
    ) -> None:
        """Store a transform; a static one holds at every stamp.

        A new parent takes the place of the old one. FrameError('bad_transform') where the
        frames would form a loop or have no name.
        """
        parent, child = _name(parent), _name(child)
        with self._lock:
            if not parent or not child or parent == child or child in self._chain(parent):
                raise FrameError(
                    'bad_transform',
                    f'a transform from {shown(child)} to {shown(parent)} would close a loop or '
                    'lacks a name: every frame has one parent, and the frames form a tree',
                )
            track = self._tracks.get(child)
            if track is None or (track.parent, track.static) != (parent, static):
                track = self._tracks[child] = _Track(parent, static)
            elif not static and time_went_back(track.stamps[-1], stamp_ns):
                self._forget_timed()
                track = self._tracks[child] = _Track(parent, static)
            track.put(stamp_ns, parent_from_child)

    def clear(self) -> None:
        """Forget the timed transforms; static ones are sent once only, so they stay."""
        with self._lock:
            self._forget_timed()

    def lookup(
        self, target: str, source: str, stamp_ns: int, *, extrapolate: bool = True
    ) -> Transform:
        """Return target_from_source at `stamp_ns`; see Transforms."""
        limit_ns = MAX_EXTRAPOLATION_NS if extrapolate else 0
        target, source = _name(target), _name(source)
        if target == source:
            return IDENTITY
        with self._lock:
            from_target, from_source = self._chain(target), self._chain(source)
            shared = next((frame for frame in from_target if frame in from_source), None)
            if shared is None:
                raise FrameError('no_transform', self._unconnected(target, source))
            up = self._climb(from_target, shared, stamp_ns, limit_ns)
            return up.inverse() @ self._climb(from_source, shared, stamp_ns, limit_ns)

    def _chain(self, frame: str) -> list[str]:
        """Return `frame` and every frame above it."""
        chain = [frame]
        while (track := self._tracks.get(chain[-1])) is not None:
            chain.append(track.parent)
        return chain

    def _climb(self, chain: list[str], top: str, stamp_ns: int, limit_ns: int) -> Transform:
        """Return top_from_frame of the first frame in `chain`."""
        result = IDENTITY
        for frame in chain[: chain.index(top)]:
            result = self._tracks[frame].at(frame, stamp_ns, limit_ns) @ result
        return result

    def _forget_timed(self) -> None:
        self._tracks = {name: track for name, track in self._tracks.items() if track.static}

    def _unconnected(self, target: str, source: str) -> str:
        known = set(self._tracks).union(track.parent for track in self._tracks.values())
        missing = [shown(frame) for frame in (target, source) if frame not in known]
        if missing:
            return (
                f'no transform names the frame {" or ".join(missing)}: publish it on /tf_static '
                "or /tf, or fix the message's frame_id"
            )
        roots = f'{shown(self._chain(target)[-1])} and {shown(self._chain(source)[-1])}'
        return (
            f'{shown(target)} and {shown(source)} are in two trees, under {roots}: publish the '
            'transform between those'
        )


def _name(frame: str) -> str:
    """Drop the leading slash of ROS 1 names, as tf2 does."""
    return frame.lstrip('/')
