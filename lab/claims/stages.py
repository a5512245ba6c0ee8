"""What a frame takes outside the network: each stage, with and without metres; each output."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.loading import load_backend
from depth_anything_ros.cli.options import add_size, require_some
from depth_anything_ros.cli.terminal import print_rows, progress
from depth_anything_ros.core.camera_health import CameraHealth
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, DepthEncoding, FloatImage, ReferenceKind
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.messages.images import bgr_from_image, fill_image
from depth_anything_ros.messages.outputs import OUTPUTS, OutputWriter
from depth_anything_ros.messages.point_clouds import CloudWriter
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.metric.cloud import Cloud
from depth_anything_ros.ros.publishers import TYPES
from lab import command
from lab.camera_views import camera_info
from lab.degraded_truth import DegradedTruthBackend
from lab.world.rig import extrinsics_text
from lab.world.world import World

__all__ = ['StageCost', 'bench_stages', 'main']

_VIEWS = 8
_PERIOD_NS = 33_000_000
_STAGES = ('convert', 'health', 'preprocess', 'infer', 'postprocess', 'align', 'cloud', 'publish')
_RELATIVE = ('relative/image', 'relative/image_color')
_METRIC = (*_RELATIVE, 'depth/image', 'depth/camera_info', 'depth/sigma', 'points')
_ALL = tuple(output.name for output in OUTPUTS)
_DEPTH = ('depth/image', 'depth/image/compressedDepth')
_LENS, _BASE = 'camera_optical_frame', 'base_footprint'


@dataclass(frozen=True)
class StageCost:
    """Milliseconds of one stage; `budget_ms` is what it may take on two CPU cores, NaN for any.

    `outputs` is 'relative', normalised and in colour, or 'metric', with depth, its sigma and an
    xyzrgb cloud aligned with a lidar besides. 'publish' makes and serialises the messages, and
    does not send them. The last stage is all of a frame but 'infer'. Of 'each output' a stage is
    one topic of a frame that has them all: what it adds to those before it, with what is computed
    for it alone. '16UC1' is the same in millimetres. `cpu_ms` is the median CPU time of all
    threads, which other processes on the machine hardly change; NaN of stages.
    """

    outputs: str
    stage: str
    frames: int
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    budget_ms: float


class _Times(NamedTuple):
    """Milliseconds of one frame by stage and output, '' for all but 'infer'; CPU of all threads.

    No CPU time is known of stages.
    """

    wall: dict[str, float]
    cpu: dict[str, float]


@dataclass(frozen=True, eq=False)
class _View:
    image: Image
    lidar: PointCloud2


class _TruthBehind(DegradedTruthBackend):
    """Lets a network run, and gives the truth with a network's errors in place of its answer.

    So caches and threads are as behind that network, and there are metres whatever its weights.
    """

    def __init__(
        self, network: DepthBackend, pictures: Iterable[tuple[BgrImage, FloatImage]]
    ) -> None:
        super().__init__(pictures)
        self._network = network

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return the degraded inverse depth, after the network's own time."""
        self._network.infer(bgr, times)
        return super().infer(bgr, times)


class _Camera:
    """One camera's way from message to messages; stages that it lacks take no time."""

    def __init__(
        self,
        backend: DepthBackend,
        parameters: Parameters,
        info: CameraInfo,
        transforms: TransformBuffer,
        names: Sequence[str],
    ) -> None:
        """`names`: the outputs."""
        self._messages = SceneMessages(transforms)
        self._messages.camera_info = info
        self._outputs = [output for output in OUTPUTS if output.name in names]
        metric = any(output.metric for output in self._outputs)
        self._messages.kind = ReferenceKind.POINT_CLOUD if metric else None
        self._parameters, self._health = parameters, CameraHealth()
        self._stream = DepthStream(backend, parameters)
        self._writer = OutputWriter(TYPES, 'bench')

    def answer(self, view: _View, stamp_ns: int) -> _Times:
        """Return the times of one frame."""
        for message in (view.image, view.lidar):
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        if self._messages.kind is not None:
            self._messages.add_reference(view.lidar)
        times = StageTimes()
        start_s = time.perf_counter()
        with times.stage('convert'):
            bgr = bgr_from_image(view.image)
        with times.stage('health'):
            self._health.update(bgr, self._parameters.health)
        header = view.image.header
        size = bgr.shape[1], bgr.shape[0]
        scene = MessageScene(self._messages, header.frame_id, stamp_ns, size, self._parameters)
        frame = self._stream.process(bgr, stamp_ns, scene, times)
        wall: dict[str, float] = {}
        cpu: dict[str, float] = {}
        for output in self._outputs:
            before_s, before_cpu_s = time.perf_counter(), time.process_time()
            message = self._writer.message(output, frame, header, self._messages.camera_info)
            if message is None:
                why = frame.message or '; '.join(map(str, frame.missing.values()))
                raise DepthAnythingError(f'a frame of the bench has no {output.name}: {why}')
            with times.stage('publish'):
                serialize_message(message)
            wall[output.name] = (time.perf_counter() - before_s) * 1e3
            cpu[output.name] = (time.process_time() - before_cpu_s) * 1e3
        times.add('', (time.perf_counter() - start_s) * 1e3 - times.ms['infer'])
        return _Times(times.ms | wall, cpu)


def bench_stages(
    parameters: Parameters,
    rounds: int,
    size: tuple[int, int] = (640, 480),
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[StageCost]:
    """Time `rounds` frames of `size` without metres, and in turn with them as many with others.

    Behind the network that `parameters` name. Raises what loading it raises.
    """
    # On a thread of its own, as in the node: memory comes from another place there.
    with ThreadPoolExecutor(1) as worker:
        return worker.submit(_run, parameters, rounds, size, on_progress).result()


def _run(
    parameters: Parameters,
    rounds: int,
    size: tuple[int, int],
    on_progress: Callable[[int, int], None],
) -> list[StageCost]:
    world = World('room', size=size)
    moments_s = [index * _PERIOD_NS * 1e-9 for index in range(_VIEWS)]
    pictures = [world.picture(moment_s) for moment_s in moments_s]
    views = [
        _view(world, moment_s, bgr) for moment_s, (bgr, _) in zip(moments_s, pictures, strict=True)
    ]
    map_from_lidar = world.base(0.0) @ world.rig.lidar.pose()
    camera_from_lidar = world.camera_pose(0.0).inverse() @ map_from_lidar
    extrinsics = extrinsics_text(camera_from_lidar)
    parameters = replace(
        parameters, reference=replace(parameters.reference, extrinsics=extrinsics)
    )
    backend = _TruthBehind(load_backend(parameters), pictures)
    transforms = TransformBuffer()
    transforms.put(_BASE, _LENS, world.base(0.0).inverse() @ world.camera_pose(0.0), static=True)
    millimetres = DepthEncoding.MILLIMETRES.value
    in_millimetres = replace(
        parameters, output=replace(parameters.output, depth_encoding=millimetres)
    )
    cameras = {
        name: _Camera(backend, settings, camera_info(world.camera), transforms, names)
        for name, settings, names in (
            ('relative', parameters, _RELATIVE),
            ('metric', parameters, _METRIC),
            ('each output', parameters, _ALL),
            (millimetres, in_millimetres, _DEPTH),
        )
    }
    taken: dict[str, list[_Times]] = {name: [] for name in cameras}
    # The first frames fill what is kept for the later ones.
    # There and back: a robot that leaps has no scale.
    way = cycle([*views, *views[-2:0:-1]])
    for number, view in enumerate(islice(way, rounds + 2)):
        for name, camera in cameras.items():
            taken[name].append(camera.answer(view, (number + 1) * _PERIOD_NS))
        on_progress(number + 1, rounds + 2)
    rows = []
    for name, budget_ms in (('relative', 8.0), ('metric', 18.0)):
        frames = taken[name][2:]
        rows += [_cost(name, stage, stage, frames) for stage in _STAGES if stage in frames[0].wall]
        rows.append(_cost(name, 'outside the network', '', frames, budget_ms))
    for name, outputs in (('each output', _ALL), (millimetres, _DEPTH)):
        rows += [_cost(name, output, output, taken[name][2:]) for output in outputs]
    return rows


def _view(world: World, moment_s: float, bgr: BgrImage) -> _View:
    view = _View(Image(), PointCloud2())
    fill_image(view.image, bgr, 'bgr8')
    view.image.header.frame_id = _LENS
    returns = world.cloud(moment_s)
    points = np.stack([returns[axis] for axis in ('x', 'y', 'z')], axis=1)
    CloudWriter(PointField, color=False, sigma=False).fill(view.lidar, Cloud(points))
    return view


def _cost(
    outputs: str,
    stage: str,
    key: str,
    frames: list[_Times],
    budget_ms: float = float('nan'),
) -> StageCost:
    p50, p95 = np.percentile([frame.wall[key] for frame in frames], (50, 95))
    cpu = np.median([frame.cpu.get(key, np.nan) for frame in frames])
    return StageCost(outputs, stage, len(frames), float(p50), float(p95), float(cpu), budget_ms)


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.stages', __doc__)
    add_size(parser)
    parser.add_argument(
        '--rounds', type=int, metavar='N', default=100, help='default: %(default)s'
    )
    command.add_json(parser)
    command.add_network(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'rounds')
    with progress('frame') as show:
        costs = bench_stages(command.network_of(options), options.rounds, options.size, show)
    return print_rows(costs, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
