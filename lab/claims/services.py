"""Service latency of the node while its network uses the whole machine."""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image

from depth_anything_ros.cli.options import add_size, require_some
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import Window
from lab import command
from lab.camera_views import CameraMessages, views
from lab.isolation import isolated_domain
from lab.live_node import NODE, Peer, node_arguments, process

__all__ = ['ServiceTimes', 'bench_services', 'main']

_OUTPUT = f'{NODE}/relative/image'
_BUDGET_MS = 50.0
_LIMIT_S = 10.0
_GAP_S = 0.03
"""Between two calls; no multiple of the time between two images, so that no phase is missed."""

_SERVICES = (
    ('get_parameters', GetParameters, GetParameters.Request(names=['input_size', 'variant'])),
    ('get_state', GetState, GetState.Request()),
)


@dataclass(frozen=True)
class ServiceTimes:
    """Milliseconds from a call to its response, while the network takes `infer_ms` per image."""

    service: str
    calls: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    budget_ms: float
    infer_ms: float
    output_hz: float


def bench_services(
    parameters: Parameters,
    calls: int = 200,
    rate_hz: float = 30.0,
    size: tuple[int, int] = (640, 480),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ServiceTimes]:
    """Call each service `calls` times in turn while images of `size` come at `rate_hz`.

    Raises DepthAnythingError if the node does not start, or leaves a call unanswered.
    """
    pictures = views(4, size)
    with (
        isolated_domain(),
        process('depth_anything_ros.node', node_arguments(parameters)) as child,
        Peer({_OUTPUT: Image}) as peer,
    ):
        clients: dict[str, Any] = {
            name: peer.node.create_client(kind, f'{NODE}/{name}') for name, kind, _ in _SERVICES
        }
        peer.until_published([child], lambda: peer.send(pictures[0]))
        for name, _, request in _SERVICES:
            # The first call also makes each end find the other.
            _call(peer, clients[name], request)
        windows = {name: Window(calls) for name, _, _ in _SERVICES}
        with _SendingCamera(peer, pictures, rate_hz):
            peer.spin_until(time.monotonic() + 1.0)
            for index in range(calls):
                for name, _, request in _SERVICES:
                    windows[name].add(_call(peer, clients[name], request))
                    peer.spin_until(time.monotonic() + _GAP_S)
                on_progress(index + 1, calls)
            infer_ms = float(peer.figures('latency')['infer_ms'])
            output_hz = float(peer.figures('throughput')['output_hz'])
    return [
        ServiceTimes(
            name,
            calls,
            *_figures(window),
            budget_ms=_BUDGET_MS,
            infer_ms=infer_ms,
            output_hz=output_hz,
        )
        for name, window in windows.items()
    ]


def _figures(window: Window) -> tuple[float, float, float, float]:
    p50, p95, p99, highest = window.percentiles(50, 95, 99, 100)
    return p50, p95, p99, highest


class _SendingCamera:
    """Sends pictures from a thread of its own, so that a slow one delays no call."""

    def __init__(self, peer: Peer, pictures: list[CameraMessages], rate_hz: float) -> None:
        self._peer = peer
        self._pictures = itertools.cycle(pictures)
        self._period_s = 1.0 / rate_hz
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            self._peer.send(next(self._pictures))


def _call(peer: Peer, client: Any, request: Any) -> float:
    """Return the milliseconds until the response."""
    if not peer.until(client.service_is_ready, _LIMIT_S):
        raise DepthAnythingError(f'{client.srv_name} is not there')
    start_s = time.perf_counter()
    future = client.call_async(request)
    if not peer.until(future.done, _LIMIT_S):
        raise DepthAnythingError(f'{client.srv_name} did not respond within {_LIMIT_S:.0f} s')
    return (time.perf_counter() - start_s) * 1e3


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.services', __doc__)
    parser.add_argument('--calls', type=int, metavar='N', default=200, help='default: %(default)s')
    add_size(parser)
    command.add_json(parser)
    command.add_network(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'calls')
    with progress('call') as show:
        rows = bench_services(
            command.network_of(options), options.calls, size=options.size, on_progress=show
        )
    return print_rows(rows, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
