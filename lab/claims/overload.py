"""More images than the network can process: this node beside a naive subscriber."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sensor_msgs.msg import Image

from depth_anything_ros.cli.options import add_size, positive
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.parameters import parameters_from_flat
from lab import command
from lab.camera_views import views
from lab.claims.slow_nodes import NAIVE_DEPTH, NAIVE_OUTPUT
from lab.isolation import isolated_domain
from lab.live_node import NODE, Peer, hz, latencies_ms, node_arguments, process

__all__ = ['Overload', 'bench_overload', 'main']

_OUTPUT = f'{NODE}/relative/image'
_MODULE = 'lab.claims.slow_nodes'
_SETTLE_S = 2.0
"""The first seconds do not count: a queue fills in less."""

_PARAMETERS = {
    # No network is loaded, so nothing has to be on disk for it.
    'variant': 'demo',
    'weights': 'random',
    'backend': 'torch',
    'diagnostics.period_s': 0.2,
}


@dataclass(frozen=True)
class Overload:
    """How one subscriber fared; latency is from the stamp of an image to its publication.

    `superseded`, `too_old` and `invalid` are the drops that it counted by cause, `lost` the
    images that it counted as lost in transport, `unaccounted` the rest. `holds`: it ran at the
    network's rate, with a p99 under 1.3 times p50 and under two network times.
    """

    subscriber: str
    network_ms: float
    input_hz: float
    output_hz: float
    p50_ms: float
    p99_ms: float
    ratio: float
    sent: int
    processed: int
    superseded: int
    too_old: int
    invalid: int
    lost: int
    unaccounted: int
    holds: bool


def bench_overload(
    seconds: float = 30.0,
    rate_hz: float = 30.0,
    network_s: float = 0.1,
    size: tuple[int, int] = (640, 480),
    on_progress: Callable[[float, float], None] = lambda done, total: None,
) -> list[Overload]:
    """Send images of `size` (width, height) to both for `seconds`, 1 or more.

    Raises DepthAnythingError if one of the two does not start.
    """
    pictures = views(4, size)
    arguments = node_arguments(parameters_from_flat(_PARAMETERS))
    delay = str(network_s)
    with (
        isolated_domain(),
        process(_MODULE, ['ours', delay, *arguments]) as ours,
        process(_MODULE, ['naive', delay]) as naive,
        Peer({_OUTPUT: Image, NAIVE_OUTPUT: Image}) as peer,
    ):
        peer.until_published([ours, naive], lambda: peer.send(pictures[0]))
        drain_s = (NAIVE_DEPTH + 2) * network_s
        peer.spin_until(time.monotonic() + drain_s)
        before = peer.counts()
        sent_ns = peer.stream(pictures, rate_hz, _SETTLE_S + seconds, on_progress)
        peer.spin_until(time.monotonic() + drain_s)
        counts = {name: count - before.get(name, 0) for name, count in peer.counts().items()}
    queue = f'naive, queue {NAIVE_DEPTH}'
    return [
        _row('depth_anything', network_s, sent_ns, peer.published[_OUTPUT], counts),
        _row(queue, network_s, sent_ns, peer.published[NAIVE_OUTPUT], {}),
    ]


def _row(
    subscriber: str,
    network_s: float,
    sent_ns: list[int],
    published: Mapping[int, int],
    counts: Mapping[str, int],
) -> Overload:
    first_ns, last_ns = sent_ns[0] + _SETTLE_S * 1e9, sent_ns[-1]
    # What comes after the last image is a queue that runs dry.
    counted = {
        stamp: out for stamp, out in published.items() if stamp >= first_ns and out <= last_ns
    }
    p50, p99 = latencies_ms(counted).percentiles(50, 99)
    output_hz = hz(list(counted.values()))
    processed = sum(stamp in published for stamp in sent_ns)
    superseded, too_old, invalid = (
        counts.get(f'dropped_{cause}', 0) for cause in ('superseded', 'too_old', 'invalid')
    )
    lost = counts.get('lost_in_transport', 0)
    network_ms = network_s * 1e3
    return Overload(
        subscriber=subscriber,
        network_ms=network_ms,
        input_hz=hz(sent_ns),
        output_hz=output_hz,
        p50_ms=p50,
        p99_ms=p99,
        ratio=p99 / p50,
        sent=len(sent_ns),
        processed=processed,
        superseded=superseded,
        too_old=too_old,
        invalid=invalid,
        lost=lost,
        unaccounted=len(sent_ns) - processed - superseded - too_old - invalid - lost,
        # A tenth for what comes before and after the network.
        holds=output_hz > 0.9 / network_s and p99 < min(1.3 * p50, 2 * network_ms),
    )


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.overload', __doc__)
    parser.add_argument(
        '--seconds', type=positive, metavar='S', default=30.0, help='default: %(default)g'
    )
    add_size(parser)
    command.add_json(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    with progress('s') as show:
        rows = bench_overload(options.seconds, size=options.size, on_progress=show)
    return print_rows(rows, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
