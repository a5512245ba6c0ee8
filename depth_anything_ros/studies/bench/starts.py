"""From starting a process to its first result, with an empty cache and with a filled one."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.measure import picture
from depth_anything_ros.studies.bench.network_process import NetworkProcess, cache_in
from depth_anything_ros.studies.bench.network_worker import NetworkWorker

__all__ = ['Start', 'measure_starts']


@dataclass(frozen=True)
class Start:
    """Seconds from starting a process, imports included, to its first result.

    `cold_s`: the first one, with an empty cache for what is kept there (an exported or compiled
    network, the hash of a checked file); `warm_s`: the median of later ones. What the operating
    system keeps of files stays kept. `warm_load_s` is the part of it in loading the network.
    """

    variant: str
    backend: str
    precision: str
    input_size: int
    cold_s: float | None = None
    warm_s: float | None = None
    warm_load_s: float | None = None
    cache_mb: float | None = None
    note: str = ''


def measure_starts(
    configurations: Sequence[Configuration],
    size: tuple[int, int],
    repeats: int = 3,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Start]:
    """Start each configuration once with an empty cache and `repeats` times with what it left.

    What cannot be created here has a row that says why.
    """
    image = picture(size)
    for index, configuration in enumerate(configurations):
        yield _start(configuration, image, repeats)
        on_progress(index + 1, len(configurations))


def _start(configuration: Configuration, image: BgrImage, repeats: int) -> Start:
    asked = configuration.variant, configuration.backend, configuration.precision
    with tempfile.TemporaryDirectory() as folder:
        environment = cache_in(folder)
        times_s, loads_s = [], []
        for _ in range(1 + repeats):
            try:
                with NetworkProcess(configuration.threads, environment) as process:
                    process.call(NetworkWorker.prepare, configuration)
                    loaded = process.call(NetworkWorker.load, configuration, image)
                    times_s.append(process.since_start_s())
                    loads_s.append(loaded.load_s)
            except DepthAnythingError as error:
                return Start(*asked, configuration.input_size, note=str(error))
        kept = sum(path.stat().st_size for path in Path(folder).rglob('*') if path.is_file())
    return Start(
        configuration.variant,
        loaded.backend,
        loaded.precision,
        loaded.input_size,
        times_s[0],
        statistics.median(times_s[1:]),
        statistics.median(loads_s[1:]),
        kept / 1e6,
    )
