"""What reading and writing bags adds to the pipeline, in time and in memory."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.loading import load_backend
from depth_anything_ros.bag.discovery import bgr_of, color_topics
from depth_anything_ros.bag.plan import ProcessOptions
from depth_anything_ros.bag.process import plan_bag, process_bag
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.writing import BagWriter, storage_of
from depth_anything_ros.cli.options import require_some
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.messages.stamps import ns_from_stamp
from lab import command
from lab.process_memory import memory_of
from lab.sample import write_sample_bag

__all__ = ['BagCost', 'bench_bag', 'main']

_COPIES = ('all', 'none')

# More would weigh on the memory that is measured; the pipeline takes as long for any of them.
_PICTURES = 60

_Picture = tuple[BgrImage, int]
"""An image, and its stamp in nanoseconds."""


@dataclass(frozen=True)
class BagCost:
    """One image: through the pipeline alone, and from bag to bag with `--copy` as `copy` says.

    `pipeline_ms` and `process_ms` are medians over rounds, `ratio` that of their quotients: the
    two run in turn. Resident memory is taken in the first round, after a tenth of the images
    and after the last.
    """

    copy: str
    variant: str
    input_size: int
    images: int
    pipeline_ms: float
    process_ms: float
    ratio: float
    early_mb: float
    late_mb: float


@dataclass
class _Passes:
    """Milliseconds for an image of each pass, and megabytes after each image of the first."""

    ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)


def bench_bag(
    parameters: Parameters,
    bag: Path | None = None,
    images: int | None = None,
    rounds: int = 9,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[BagCost]:
    """Process the first camera of `bag`, or of a new sample, in turn with the pipeline alone.

    The bag is repeated, or cut, where its `images` are to be so many. Raises what processing it
    raises.
    """
    with tempfile.TemporaryDirectory(prefix='bench_bag_') as folder:
        work = Path(folder)
        bag = bag or write_sample_bag(work / 'sample', 'road').path
        with BagReader(bag) as reader:
            topic = color_topics(reader)[0]
            pictures = _pictures(reader, topic)
            if images is None:
                images = reader.topics[topic].count
            else:
                bag = _of_length(reader, topic, work / 'bag', images)
        backend = load_backend(parameters)
        alone = _Passes()
        processed = {copy: _Passes() for copy in _COPIES}
        for done in range(rounds):
            alone.ms.append(_alone(backend, parameters, islice(cycle(pictures), images)) / images)
            for copy, passes in processed.items():
                options = ProcessOptions(images=(topic,), copy=(copy,))
                _process(bag, work / 'out', backend, parameters, options, passes)
            on_progress(done + 1, rounds)
        info = backend.info
        backend.close()
    return [
        BagCost(
            copy,
            info.variant,
            info.input_size,
            images,
            float(np.median(alone.ms)),
            float(np.median(passes.ms)),
            float(np.median(np.divide(passes.ms, alone.ms))),
            passes.memory_mb[len(passes.memory_mb) // 10],
            passes.memory_mb[-1],
        )
        for copy, passes in processed.items()
    ]


def _pictures(reader: BagReader, topic: str) -> list[_Picture]:
    """Decode the first images of a topic."""
    kind = reader.topics[topic].kind
    messages = (message.read() for message in islice(reader.messages([topic]), _PICTURES))
    return [(bgr_of(kind, each), ns_from_stamp(each.header.stamp)) for each in messages]


def _of_length(reader: BagReader, topic: str, out: Path, images: int) -> Path:
    """Write the bag again and again, received later each time, until there are enough images."""
    writer = BagWriter(out, storage_of(reader.path), compress=True)
    for each in reader.topics.values():
        writer.add_copy(each, reader.store)
    times_ns = [message.receive_ns for message in reader.messages()]
    lap_ns = max(times_ns) - min(times_ns) + 1
    written = lap = 0
    while written < images:
        for message in reader.messages():
            receive_ns = message.receive_ns + lap * lap_ns
            writer.write(message.topic, message.kind, receive_ns, message.raw)
            written += message.topic == topic
            if written == images:
                break
        lap += 1
    return writer.finish()


def _alone(backend: DepthBackend, parameters: Parameters, pictures: Iterable[_Picture]) -> float:
    """Return the milliseconds for all of them."""
    stream = DepthStream(backend, parameters)
    start_s = time.perf_counter()
    for bgr, stamp_ns in pictures:
        stream.process(bgr, stamp_ns).normalized  # noqa: B018  what is written is computed
    return (time.perf_counter() - start_s) * 1e3


def _process(
    bag: Path,
    out: Path,
    backend: DepthBackend,
    parameters: Parameters,
    options: ProcessOptions,
    passes: _Passes,
) -> None:
    """Process the bag once more, from opening it to the name of the finished one."""
    first = not passes.ms

    def measure(images: int) -> None:
        if first and images:
            passes.memory_mb.append(memory_of(os.getpid(), 0).resident_kb / 1024)

    start_s = time.perf_counter()
    plan = plan_bag(bag, out, parameters, options)
    assert plan is not None
    done = process_bag(plan, backend, parameters, measure)
    passes.ms.append((time.perf_counter() - start_s) * 1e3 / max(1, done.images))
    shutil.rmtree(out)


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.bag', __doc__)
    parser.add_argument(
        'bag', nargs='?', metavar='BAG', type=Path, help='default: a new sample of the road'
    )
    parser.add_argument('--pairs', type=int, metavar='N', default=5, help='rounds (default: 5)')
    parser.add_argument('--frames', type=int, metavar='N', help='images (default: as it has)')
    command.add_json(parser)
    command.add_network(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'pairs', 'frames')
    with progress('round') as show:
        rows = bench_bag(
            command.network_of(options), options.bag, options.frames, options.pairs, show
        )
    return print_rows(rows, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
