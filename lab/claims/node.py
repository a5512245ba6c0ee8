"""Latency of the node from an image to its outputs, through DDS."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from depth_anything_ros.cli.network_grid import add_grid, configurations
from depth_anything_ros.cli.options import add_size, positive
from depth_anything_ros.cli.terminal import progress
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import Jitter, Window
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.model.weights_file import RANDOM
from depth_anything_ros.reports.text import aligned, plain_json
from lab import command
from lab.camera_views import views
from lab.isolation import isolated_domain
from lab.live_node import NODE, Peer, hz, node_arguments, process
from lab.process_memory import cpu_seconds_of

__all__ = ['CameraLoad', 'NodeTimes', 'bench_node', 'main', 'table_text']

_RELATIVE = {f'{NODE}/relative/image': Image, f'{NODE}/relative/image_color': Image}
_METRIC = {
    f'{NODE}/depth/image': Image,
    f'{NODE}/depth/camera_info': CameraInfo,
    f'{NODE}/points': PointCloud2,
}
_SETTLE_S = 2.0
"""The first seconds do not count."""

_PERCENTS = {
    'latency': (50, 95, 99),
    'age': (50, 95, 99),
    'wait': (50,),
    'infer': (50,),
    'outside': (50, 95),
}
_MEANING = """\
ms. latency: from an image received to its last output published, by the node itself, last 300.
age: from the stamp of an image to its last output published, through DDS. wait: in the mailbox,
while the network has another image. outside: age without wait and infer. CPU: of the node's
process, 100 is one CPU."""


@dataclass(frozen=True)
class CameraLoad:
    """A camera with images of `size` (width, height).

    With `metric` a depth camera goes along, and someone wants metric depth and the cloud.
    """

    rate_hz: float
    seconds: float
    size: tuple[int, int] = (640, 480)
    metric: bool = False


@dataclass(frozen=True)
class NodeTimes:
    """A node with one camera, in milliseconds.

    `latency` is from receiving an image to the last output published, by the node's own steady
    clock over its last 300 frames. `age` is from the stamp of an image to the last of its outputs
    published, by their DDS timestamps: the way through DDS is in it. `wait` is the part of it in
    the mailbox, while the network has another image; `outside` is age without wait and infer.
    `complete` counts the images with an output on every topic asked for, `jitter` is that of RFC
    3550. `cpu_percent` is the CPU time of the node's process; 100 is one CPU.
    """

    variant: str
    backend: str
    precision: str
    input_size: int
    threads: int
    metric: bool
    sent: int
    complete: int
    output_hz: float
    jitter_ms: float
    cpu_percent: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    age_p50_ms: float
    age_p95_ms: float
    age_p99_ms: float
    wait_p50_ms: float
    infer_p50_ms: float
    outside_p50_ms: float
    outside_p95_ms: float


def bench_node(
    parameters: Parameters,
    camera: CameraLoad,
    on_progress: Callable[[float, float], None] = lambda done, total: None,
) -> NodeTimes:
    """Send the camera's images to a node with `parameters`, and note when it publishes.

    Raises SettingError where the network can give no metres, DepthAnythingError if the node does
    not start.
    """
    if camera.metric and parameters.weights == RANDOM:
        raise SettingError(
            f'random weights of {parameters.variant} give no metres to time: fetch the released '
            f'ones (depth_anything weights fetch --variant {parameters.variant}), or take '
            '--variant demo'
        )
    pictures = views(4, camera.size)
    stages: dict[int, dict[str, float]] = {}
    with (
        isolated_domain(),
        process('depth_anything_ros.node', node_arguments(parameters)) as child,
        Peer(_RELATIVE | (_METRIC if camera.metric else {}), reference=camera.metric) as peer,
    ):

        def keep(stats: DiagnosticArray) -> None:
            stages[ns_from_stamp(stats.header.stamp)] = _milliseconds(stats)

        peer.node.create_subscription(DiagnosticArray, f'{NODE}/frame_stats', keep, 10)
        peer.until_published([child], lambda: peer.send(pictures[0]))
        began_s, used_s = time.monotonic(), cpu_seconds_of(child.pid)
        sent_ns = peer.stream(pictures, camera.rate_hz, _SETTLE_S + camera.seconds, on_progress)
        used_s = cpu_seconds_of(child.pid) - used_s
        cpu_percent = 100.0 * used_s / (time.monotonic() - began_s)
        # What is under way gets through before the last figures are asked for.
        latency, model = peer.figures('latency'), peer.figures('model')
    counted = [stamp for stamp in sent_ns if stamp >= sent_ns[0] + _SETTLE_S * 1e9]
    return NodeTimes(
        model['variant'],
        model['backend'],
        model['precision'],
        int(model['input_size']),
        parameters.threads,
        camera.metric,
        len(counted),
        **_delivery(_last_published(peer.published, counted), stages),
        cpu_percent=cpu_percent,
        latency_p50_ms=float(latency['latency_p50_ms']),
        latency_p95_ms=float(latency['latency_p95_ms']),
        latency_p99_ms=float(latency['latency_p99_ms']),
    )


def table_text(rows: Sequence[NodeTimes]) -> str:
    """Return a line for each row; figures with one name stand together as p50/p95/p99."""
    names = ('variant', 'backend', 'precision', 'input_size', 'metric', 'sent', 'complete')
    groups = ('latency', 'age', 'wait', 'infer', 'outside')
    head = [*names, 'Hz', 'jitter', 'CPU %', *(f'{group} {_percents(group)}' for group in groups)]
    body = [
        [
            *(str(getattr(row, name)) for name in names),
            *(f'{row.output_hz:.1f}', f'{row.jitter_ms:.1f}', f'{row.cpu_percent:.0f}'),
            *(
                '/'.join(f'{getattr(row, f"{group}_p{p}_ms"):.1f}' for p in _PERCENTS[group])
                for group in groups
            ),
        ]
        for row in rows
    ]
    return '\n'.join([*aligned([head, *body]), '', _MEANING])


def _percents(group: str) -> str:
    return '/'.join(f'p{percent}' for percent in _PERCENTS[group])


def _milliseconds(stats: DiagnosticArray) -> dict[str, float]:
    return {
        pair.key: float(pair.value)
        for pair in stats.status[0].values
        if pair.key in ('wait_ms', 'infer_ms')
    }


def _last_published(
    published: Mapping[str, Mapping[int, int]], stamps: Sequence[int]
) -> dict[int, int]:
    """Return when the last output of an image was published, for those that have all outputs."""
    return {
        stamp: max(of_topic[stamp] for of_topic in published.values())
        for stamp in stamps
        if all(stamp in of_topic for of_topic in published.values())
    }


def _delivery(
    published_ns: Mapping[int, int], stages: Mapping[int, Mapping[str, float]]
) -> dict[str, Any]:
    """Sum up what came when, by stamp."""
    figures = {name: Window(len(published_ns)) for name in ('age', 'wait', 'infer', 'outside')}
    jitter = Jitter()
    for stamp_ns, at_ns in published_ns.items():
        age_ms = (at_ns - stamp_ns) * 1e-6
        jitter.add(at_ns * 1e-9, stamp_ns * 1e-9)
        figures['age'].add(age_ms)
        # Best effort: the times of a frame may be lost where its depth is not. One that equals
        # the frame before has none of the network.
        stage = stages.get(stamp_ns, {})
        if 'infer_ms' in stage:
            figures['wait'].add(stage['wait_ms'])
            figures['infer'].add(stage['infer_ms'])
            figures['outside'].add(age_ms - stage['wait_ms'] - stage['infer_ms'])
    return {
        'complete': len(published_ns),
        'output_hz': hz(list(published_ns.values())),
        'jitter_ms': jitter.ms,
    } | {
        f'{name}_p{percent}_ms': value
        for name, window in figures.items()
        for percent, value in zip(
            _PERCENTS[name], window.percentiles(*_PERCENTS[name]), strict=True
        )
    }


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.node', __doc__)
    parser.add_argument(
        '--rate', '--hz', type=positive, metavar='HZ', default=30.0, help='default: %(default)g'
    )
    parser.add_argument(
        '--seconds', type=positive, metavar='S', default=20.0, help='default: %(default)g'
    )
    add_size(parser)
    parser.add_argument(
        '--metric', action='store_true', help='with a reference, metric depth and a cloud'
    )
    command.add_json(parser)
    add_grid(parser, 'A list gives a row for each of its values.')
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    camera = CameraLoad(options.rate, options.seconds, options.size, options.metric)
    rows: list[NodeTimes] = []
    with progress('s') as show:
        for one in configurations(options):
            try:
                rows.append(bench_node(one.parameters(), camera, on_progress=show))
            except DepthAnythingError as error:
                name = f'{one.variant} {one.input_size} {one.backend}'
                print(f'left out: {name}: {error}', file=sys.stderr)
    if not rows:
        return 1
    print(plain_json(rows) if options.json else table_text(rows))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
