"""Write a bag of a simulated drive, with true depth, that rosbag2 plays like any other."""

from __future__ import annotations

import argparse
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rosbags.interfaces import QosDurability
from rosbags.rosbag2 import CompressionFormat, Writer

from depth_anything_ros.bag.writing import RELIABLE, STORAGES
from depth_anything_ros.cli.options import add_size, positive
from depth_anything_ros.cli.terminal import progress
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.reports.text import plain_json
from lab import command
from lab.sample_messages import SampleMessages
from lab.sample_topics import START_NS, groups, moments
from lab.world.scenes import SCENES
from lab.world.world import World

__all__ = ['SampleSummary', 'main', 'write_sample_bag']

_LATCHED = RELIABLE._replace(depth=1, durability=QosDurability.TRANSIENT_LOCAL)
_SIDE_PX = (32, 4096)
_MAX_SECONDS = 3600.0
_MAX_RATE_HZ = 120.0


@dataclass(frozen=True)
class SampleSummary:
    """What was written: the bag, and the number of messages by topic."""

    path: Path
    counts: dict[str, int]


def write_sample_bag(
    out: Path | str,
    scene: str = 'room',
    seconds: float = 6.0,
    rate: float = 10.0,
    size: tuple[int, int] = (640, 480),
    seed: int = 0,
    storage: str = 'mcap',
    distortion: tuple[float, ...] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> SampleSummary:
    """Drive through a scene and record every sensor into the new bag `out`.

    `rate` in Hz and `size` (width, height) are those of the camera, `distortion` its plumb-bob
    coefficients k1, k2, p1, p2, k3. `on_progress` gets (done, total) measurements.
    The bag appears under its name only once it is whole. Raises SettingError for
    arguments that cannot be used and where the disk does not take the bag.
    """
    out = Path(out).expanduser()
    world = World(scene, seed, seconds, size, distortion)
    _check(out, world, rate, storage)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # rosbag2 names files after their folder, so the bag has its name before it moves.
        partial = Path(tempfile.mkdtemp(prefix=f'.{out.name}-', dir=out.parent))
    except OSError as err:
        raise SettingError(f'cannot write beside {out}: {err.strerror or err}') from err
    try:
        counts = _write(partial / out.name, world, rate, storage, on_progress)
        (partial / out.name).rename(out)
    except (OSError, sqlite3.Error) as err:
        reason = getattr(err, 'strerror', None) or err
        raise SettingError(f'cannot write {out}: {reason}; nothing was left there') from err
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return SampleSummary(out, counts)


def _write(
    path: Path,
    world: World,
    rate: float,
    storage: str,
    on_progress: Callable[[int, int], None] | None,
) -> dict[str, int]:
    plugin, compression = STORAGES[storage]
    make = SampleMessages()
    sensors = groups(world, rate, make)
    plan = list(moments(sensors, world.seconds))
    # 9 is what Jazzy writes, and reads.
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections = {
            topic.name: writer.add_connection(
                topic.name,
                topic.kind,
                typestore=make.store,
                offered_qos_profiles=[_LATCHED if topic.latched else RELIABLE],
            )
            for group in sensors
            for topic in group.topics
        }
        counts = dict.fromkeys(connections, 0)
        for done, (time_ns, group) in enumerate(plan, 1):
            stamp_ns = START_NS + time_ns
            messages = group.measure(time_ns * 1e-9, stamp_ns)
            for topic, message in zip(group.topics, messages, strict=True):
                data = make.store.serialize_cdr(message, topic.kind)
                writer.write(connections[topic.name], stamp_ns, data)
                counts[topic.name] += 1
            if on_progress is not None:
                on_progress(done, len(plan))
    return counts


def _check(out: Path, world: World, rate: float, storage: str) -> None:
    (width, height), (least, most) = world.size, _SIDE_PX
    wrong = None
    if out.exists():
        wrong = f'{out} is already there: give another name or remove it'
    elif world.family not in SCENES:
        wrong = f"scene '{world.family}' is not known: choose one of {', '.join(SCENES)}"
    elif storage not in STORAGES:
        wrong = f"storage '{storage}' is not known: choose one of {', '.join(STORAGES)}"
    elif not 0.0 < world.seconds <= _MAX_SECONDS:
        wrong = f'seconds is {world.seconds:g}: give more than 0 and at most {_MAX_SECONDS:g}'
    elif not 0.0 < rate <= _MAX_RATE_HZ:
        wrong = f'rate is {rate:g} Hz: give more than 0 and at most {_MAX_RATE_HZ:g}'
    elif not all(least <= side <= most for side in (width, height)):
        wrong = f'size is {width}x{height}: give sides from {least} to {most} pixels'
    elif world.seed < 0:
        wrong = f'seed is {world.seed}: give 0 or more'
    elif len(world.distortion) > 5 or not all(map(math.isfinite, world.distortion)):
        wrong = f'distortion is {world.distortion}: give up to 5 finite plumb-bob coefficients'
    if wrong:
        raise SettingError(wrong)


def main(args: Sequence[str] | None = None) -> int:
    """Write one bag, print the counts, and return the exit status."""
    parser = command.parser_of('lab.sample', __doc__)
    parser.add_argument('output', metavar='OUT', type=Path, help='the bag to write, a new folder')
    parser.add_argument(
        '--scene', default='room', metavar='NAME', help='room or road (default: room)'
    )
    parser.add_argument('--seconds', type=positive, metavar='S', default=6.0, help='default: 6')
    parser.add_argument(
        '--rate', type=positive, metavar='HZ', default=10.0, help='images per second (default: 10)'
    )
    add_size(parser)
    parser.add_argument(
        '--seed', type=int, metavar='N', default=0, help='which scene (default: 0)'
    )
    parser.add_argument(
        '--storage', default='mcap', metavar='NAME', help='mcap or sqlite3 (default: mcap)'
    )
    parser.add_argument('--json', action='store_true', help='print the counts as JSON')
    return command.run(parser, args, _sample)


def _sample(options: argparse.Namespace) -> int:
    with progress('measurement', leave=True) as show:
        summary = write_sample_bag(
            options.output,
            options.scene,
            options.seconds,
            options.rate,
            options.size,
            options.seed,
            options.storage,
            on_progress=show,
        )
    if options.json:
        print(plain_json(summary))
    else:
        for topic, count in summary.counts.items():
            print(f'{count:6d}  {topic}')
        print(f'in {summary.path}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
