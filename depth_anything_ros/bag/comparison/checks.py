"""What stamps and headers of one topic tell: lost and added frames, latency, frames, encodings."""

from __future__ import annotations

from collections.abc import Iterator

from depth_anything_ros.bag.comparison.frames import Label, Match, TopicFrames
from depth_anything_ros.bag.comparison.limits import Limits
from depth_anything_ros.bag.comparison.results import NAMED, Failure, seconds

__all__ = ['check_labels', 'check_latency', 'check_presence', 'latencies_ms']

# Beyond this the stamps and the receiver have different clocks, as in the node's diagnostics.
_SAME_CLOCK_MS = 10_000.0


def check_presence(
    topic: str, a: TopicFrames, b: TopicFrames, places: Match, limits: Limits
) -> Iterator[Failure]:
    """Find frames that only one of the bags has."""
    if not len(places.a):
        first = f'{seconds(a.stamps_ns[0])} and {seconds(b.stamps_ns[0])}'
        text = f'has no stamp in common: the first of A and of B are {first}'
        yield Failure(topic, 'unmatched', text)
        return
    for what, frames, lacking, bag, limit in (
        ('missing', a, places.missing, 'A', limits.missing),
        ('extra', b, places.extra, 'B', limits.extra),
    ):
        if len(lacking) > limit:
            text = f'has {len(lacking)} of {len(frames.stamps_ns)} frames only in {bag}, first'
            yield Failure(topic, what, text, _named(frames, lacking[:NAMED].tolist()))


def check_labels(topic: str, a: TopicFrames, b: TopicFrames, places: Match) -> Iterator[Failure]:
    """Find changes of frame_id, encoding and calibration."""
    both = zip(places.a.tolist(), places.b.tolist(), strict=True)
    pairs = [(at, a.label(at), b.label(other)) for at, other in both]
    for field in Label._fields:
        values = [(at, getattr(was, field), getattr(now, field)) for at, was, now in pairs]
        changed = [each for each in values if each[1] != each[2]]
        if changed:
            _, was, now = changed[0]
            share = f'{len(changed)} of {len(pairs)} frames'
            text = f'has {field} {now!r} and not {was!r} in {share}, first'
            yield Failure(topic, field, text, _named(a, [at for at, _, _ in changed[:NAMED]]))


def latencies_ms(a: TopicFrames, b: TopicFrames) -> tuple[float, float] | None:
    """Return the medians from stamp to receipt, or None where stamps are of another clock."""
    late = a.latency_ms(), b.latency_ms()
    return late if max(map(abs, late)) <= _SAME_CLOCK_MS else None


def check_latency(topic: str, a: TopicFrames, b: TopicFrames, limits: Limits) -> Iterator[Failure]:
    """Find whether the messages of B come later after their stamps."""
    late = latencies_ms(a, b)
    if late is not None and late[1] - late[0] > limits.latency_ms:
        text = f'comes {late[1]:.1f} ms after its stamps, in A {late[0]:.1f} ms (medians)'
        text += f': more than {limits.latency_ms:g} ms later'
        yield Failure(topic, 'latency_ms', text)


def _named(frames: TopicFrames, places: list[int]) -> tuple[tuple[int, None], ...]:
    return tuple((frames.stamps_ns[place], None) for place in places)
