"""Several cameras on one network: each one's rate and latency while another is unplugged."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from sensor_msgs.msg import Image

from depth_anything_ros.cli.options import add_size, positive
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.parameters import Parameters
from lab import command
from lab.camera_views import CameraMessages, views
from lab.isolation import isolated_domain
from lab.live_node import NODE, Peer, latencies_ms, node_arguments, process
from lab.process_memory import memory_of

__all__ = ['CameraRun', 'bench_cameras', 'main']

_PERIOD_S = 0.2
_QUIET_S = 0.5
_TURN_S = 0.002
_PLUGGED, _UNPLUGGED, _BACK = 'all plugged in', 'one unplugged', 'plugged in again'


@dataclass(frozen=True)
class CameraRun:
    """How one camera fared in one phase; latency is from the stamp of an image to publication.

    `resident_mb` is what the process of the node holds at the end of the phase, `says` what
    /diagnostics reports of the camera's throughput then.
    """

    cameras: int
    phase: str
    camera: str
    sent: int
    processed: int
    p50_ms: float
    p99_ms: float
    resident_mb: float
    says: str


def bench_cameras(
    parameters: Parameters,
    cameras: int = 3,
    rate_hz: float = 10.0,
    seconds: float = 30.0,
    size: tuple[int, int] = (640, 480),
    on_progress: Callable[[float, float], None] = lambda done, total: None,
) -> list[CameraRun]:
    """Send images of `size` (width, height) from one camera, then from `cameras` of them.

    Each phase takes `seconds`; the first of several cameras is unplugged and comes back. Raises
    DepthAnythingError if the node does not start.
    """
    names = [f'camera{index}' for index in range(cameras)]
    pictures = dict(zip(names, views(cameras, size), strict=True))
    phases = [([names[0]], [_PLUGGED]), (names, [_PLUGGED, _UNPLUGGED, _BACK])]
    total_s = seconds * sum(len(each) for _, each in phases)
    rows: list[CameraRun] = []
    settings = dataclasses.replace(parameters.diagnostics, period_s=_PERIOD_S)
    arguments = node_arguments(dataclasses.replace(parameters, diagnostics=settings))
    for named, wanted in phases:
        with ExitStack() as stack:
            stack.enter_context(isolated_domain())
            cameras_are = ['-p', f'cameras:=[{", ".join(named)}]']
            child = stack.enter_context(
                process('depth_anything_ros.node', [*arguments, *cameras_are])
            )
            peers = {
                name: stack.enter_context(Peer({_output(name): Image}, camera=name))
                for name in named
            }
            for name, peer in peers.items():
                peer.until_published([child], partial(peer.send, pictures[name]))
            for phase in wanted:
                if phase == _UNPLUGGED:
                    peers[named[0]].unplug()
                if phase == _BACK:
                    peers[named[0]].plug_in()
                plugged = dict(list(peers.items())[phase == _UNPLUGGED :])
                done_s = seconds * len({(each.cameras, each.phase) for each in rows})
                on_progress(done_s, total_s)
                sent = _send(plugged, pictures, rate_hz, seconds)
                held_mb = memory_of(child.pid, 0).resident_kb / 1024
                for name, peer in peers.items():
                    sent_ns, published = sent.get(name, []), peer.published[_output(name)]
                    window = latencies_ms({ns: published[ns] for ns in sent_ns if ns in published})
                    p50, p99 = window.percentiles(50, 99)
                    counts = len(sent_ns), len(window)
                    says = peer.diagnostics_of('throughput').message
                    rows.append(
                        CameraRun(len(named), phase, name, *counts, p50, p99, held_mb, says)
                    )
    return rows


def _output(camera: str) -> str:
    return f'{NODE}/{camera}/relative/image'


def _send(
    peers: Mapping[str, Peer],
    pictures: Mapping[str, CameraMessages],
    rate_hz: float,
    seconds: float,
) -> dict[str, list[int]]:
    """Send from every camera at `rate_hz`; the stamps of each."""
    sent: dict[str, list[int]] = {name: [] for name in peers}
    start_s = time.monotonic()
    for index in range(round(seconds * rate_hz)):
        _spin(peers.values(), start_s + index / rate_hz)
        for name, peer in peers.items():
            sent[name].append(peer.send(pictures[name]))
    _spin(peers.values(), time.monotonic() + _QUIET_S)
    return sent


def _spin(peers: Iterable[Peer], time_s: float) -> None:
    """Spin all until the steady clock shows `time_s`, and once at least."""
    while True:
        for peer in peers:
            peer.spin_until(time.monotonic() + _TURN_S)
        if time.monotonic() >= time_s:
            return


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.cameras', __doc__)
    parser.add_argument(
        '--rate', '--hz', type=positive, metavar='HZ', default=10.0, help='default: %(default)g'
    )
    parser.add_argument(
        '--seconds',
        type=positive,
        metavar='S',
        default=30.0,
        help='a phase (default: %(default)g)',
    )
    add_size(parser)
    command.add_json(parser)
    command.add_network(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    with progress('s') as show:
        rows = bench_cameras(
            command.network_of(options),
            rate_hz=options.rate,
            seconds=options.seconds,
            size=options.size,
            on_progress=show,
        )
    return print_rows(rows, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
