"""A costmap in Nav2's manner from metric depth, and the configuration that we ship for Nav2."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from voxel_grid import Flags, Limits, Points, VoxelGrid, grown

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.replay import BagReplay, CameraTopics, ReplayedImage
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.metric.cloud import compacted
from lab.claims.prove import degraded_truth_of
from lab.sample import write_sample_bag
from lab.sample_topics import START_NS
from lab.world.camera import depth_image, view_of
from lab.world.world import World

ROOT = Path(__file__).resolve().parents[1]

SECONDS = 4.5
SIZE = (320, 240)
CELL_M = 0.2
# The carriageway, pavements and lawns are the first solids of a road (synthetic/road.py).
GROUND_SOLIDS = 5
# Twice the relative sigma of the aligned depth here, which is about 0.06.
ERROR_SHARE = 0.12
# Floor is lifted by (camera height, 1.45 m) * (relative error): three sigmas are 0.26 m, and the
# kerb has 0.15 m. Obstacles are looked for a little inside of the band.
LIMITS = Limits(
    min_height_m=0.5,
    max_height_m=2.0,
    mark_range_m=10.0,
    clear_range_m=12.0,
    margin_m=2.0 * CELL_M,
)
INNER_M = 0.1


def empty_grid() -> VoxelGrid:
    """Cover the street from the start of the drive to 18 m past its end."""
    return VoxelGrid((-2.0, -14.0, 0.0), (32.0, 14.0, 2.4), CELL_M)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is there, in the map, on some rays of one image.

    `toward` (N, 3) are points one metre from the eye; `range_m` (N,) is inf for the sky, and
    `solid` (N,) numbers what a ray meets.
    """

    eye: Points
    toward: Points
    range_m: Points
    solid: npt.NDArray[np.int16]

    @property
    def known_m(self) -> Points:
        """Ranges with the sky put beyond all that counts."""
        return np.minimum(self.range_m, 4.0 * LIMITS.clear_range_m)

    def span_m(self, share: float) -> tuple[Points, Points]:
        """Ranges within which a surface may be drawn: a cell off, and a share of its range."""
        slack = CELL_M + share * self.known_m
        return np.maximum(self.known_m - slack, 0.0), self.known_m + slack

    @cached_property
    def obstacle(self) -> Flags:
        """Rays that meet something standing in the band and in range."""
        z = self.eye[2] + (self.toward - self.eye)[:, 2] * self.known_m
        standing = (z > LIMITS.min_height_m + INNER_M) & (z < LIMITS.max_height_m - INNER_M)
        return standing & (self.range_m < LIMITS.mark_range_m) & (self.solid >= GROUND_SOLIDS)

    @cached_property
    def free(self) -> Flags:
        """Cells of the band that some ray passes, and in which no ray may end."""
        grid = empty_grid()
        near, far = self.span_m(ERROR_SHARE)
        within = np.minimum(near, LIMITS.mark_range_m)
        free = grid.passed(self.eye, self.toward, np.zeros_like(near), within)
        free &= ~grown(grid.passed(self.eye, self.toward, near, far))
        height = grid.low[2] + (np.arange(free.shape[2]) + 0.5) * CELL_M
        return free & (height > LIMITS.min_height_m) & (height < LIMITS.max_height_m)

    def ended(self, grid: VoxelGrid, share: float) -> Flags:
        """Tell of each ray to an obstacle whether it has a mark in its span, or a cell beside."""
        near, far = (limit[self.obstacle] for limit in self.span_m(share))
        return grid.hit(self.eye, self.toward[self.obstacle], near, far, grown(grid.marked))


@dataclass(frozen=True, eq=False)
class Look:
    """One frame: the cloud (N, 3) in the map, wherever it comes from, and the truth.

    `relative_sigma` (N,) is what the node says of each depth, as a share of it.
    """

    cloud: Points
    relative_sigma: Points
    truth: Truth


@dataclass(frozen=True)
class Verdict:
    """How a grid compares with the truth, over all frames.

    `found`: share of the rays to obstacles with a mark where they end, given the error of the
    depth; `close`: the same within two cells. `worst`: the least `found` of an obstacle.
    `false`: share of the cells marked among those that are truly free.
    """

    found: float
    close: float
    worst: float
    false: float


@lru_cache(maxsize=2)
def drive(seed: int) -> tuple[Look, ...]:
    """Replay a sample bag of a road through the pipeline: a look at every two metres."""
    with TemporaryDirectory() as folder:
        bag = Path(folder) / 'road'
        write_sample_bag(bag, 'road', SECONDS, 2.0, SIZE, seed)
        parameters = parameters_from_flat({'reference.fixed_frame': 'odom'})
        topics = CameraTopics('/camera/image_raw', reference='/lidar/points')
        backend = degraded_truth_of(bag)
        with BagReader(bag) as reader:
            answers = list(BagReplay(reader, topics, backend, parameters))
    # The first image comes before its camera_info.
    looks = [look_at(seed, answer) for answer in answers[1:]]
    assert len(looks) == 8
    return tuple(looks)


def look_at(seed: int, answer: ReplayedImage) -> Look:
    """Put the cloud of one image into the map, by the true pose, beside the truth."""
    frame = answer.frame
    assert frame is not None
    cloud = frame.cloud()
    assert cloud is not None, frame.reason
    world = World('road', seed, SECONDS, size=SIZE)
    time_s = (ns_from_stamp(answer.header.stamp) - START_NS) * 1e-9
    pose = world.camera_pose(time_s)
    view = view_of(world.scene.at(time_s), world.camera, pose)
    near = depth_image(view) < LIMITS.mark_range_m
    assert frame.depth_m is not None
    assert frame.sigma_m is not None
    # The slack that is allowed is what the node itself says of its error.
    sigma = np.nanmedian(frame.sigma_m[near] / frame.depth_m[near])
    assert 0.3 * ERROR_SHARE < sigma < 0.6 * ERROR_SHARE
    # Every third pixel either way: a cell at the farthest range is five pixels wide.
    chosen = np.zeros((world.size[1], world.size[0]), np.bool_)
    chosen[::3, ::3] = True
    kept = np.flatnonzero(chosen)
    truth = Truth(
        pose.translation,
        pose.translation + view.rays.directions[:, kept].T.astype(np.float64),
        view.hits.distance_m[kept].astype(np.float64),
        view.hits.solid[kept],
    )
    dense = compacted(cloud)
    assert dense.sigma_m is not None
    relative_sigma = dense.sigma_m / dense.points[:, 2]
    return Look(pose.apply(dense.points).astype(np.float64), relative_sigma, truth)


def scaled(look: Look, factor: float) -> Look:
    """Put everything at `factor` times its depth, as a wrong scale would."""
    eye = look.truth.eye
    return replace(look, cloud=eye + factor * (look.cloud - eye))


@lru_cache(maxsize=2)
def judged(looks: tuple[Look, ...], *, clears: bool = True) -> Verdict:
    """Fill a grid look by look, and compare it with the truth after each."""
    grid = empty_grid()
    shares: dict[int, list[float]] = {}
    rays = hits = close = free_cells = false_cells = 0
    for look in looks:
        truth, ends = look.truth, look.truth.obstacle
        grid.insert(truth.eye, look.cloud, LIMITS, clears=clears)
        hit = truth.ended(grid, ERROR_SHARE)
        rays, hits, close = rays + hit.size, hits + hit.sum(), close + truth.ended(grid, 0.0).sum()
        for number in np.unique(truth.solid[ends]):
            of_it = truth.solid[ends] == number
            # A lamp post of 0.2 m at 10 m has 2 by 10.
            if of_it.sum() >= 15:
                shares.setdefault(int(number), []).append(float(hit[of_it].mean()))
        free_cells += truth.free.sum()
        false_cells += (truth.free & grid.marked).sum()
    assert rays > 2500
    assert len(shares) >= 6
    assert free_cells > 20000
    worst = min(float(np.mean(of_it)) for of_it in shares.values())
    shares_of_all = (hits / rays, close / rays, worst, false_cells / free_cells)
    return Verdict(*map(float, shares_of_all))


# Seed 0 follows a lorry, whose old places have to be cleared; seed 1 passes parked cars.
@pytest.mark.parametrize('seed', [0, 1])
def test_obstacles_are_marked_and_free_space_stays_free(seed: int) -> None:
    verdict = judged(drive(seed))
    print(verdict)
    assert verdict.found > 0.98
    assert verdict.close > 0.95
    assert verdict.worst > 0.9
    assert verdict.false < 1e-3


@pytest.mark.parametrize('factor', [0.7, 1.3])
def test_a_wrong_scale_shows(factor: float) -> None:
    verdict = judged(tuple(scaled(look, factor) for look in drive(0)))
    print(verdict)
    assert verdict.found < 0.7
    assert verdict.close < 0.6
    assert verdict.worst < 0.3
    # Too near, obstacles stand in free space; too far, they are where nobody sees.
    assert verdict.false > (0.02 if factor < 1.0 else 2e-4)


def test_without_clearing_what_moved_on_stays() -> None:
    verdict = judged(drive(0), clears=False)
    print(verdict)
    assert verdict.false > 0.02


@pytest.mark.parametrize(('share', 'loses'), [(0.1, False), (0.06, True)])
def test_a_gate_at_the_usual_sigma_costs_obstacles(share: float, loses: bool) -> None:
    """Why docs/nav2.md has cloud.max_relative_sigma 0.1: the usual sigma is 0.06 here."""
    gated = tuple(
        replace(look, cloud=look.cloud[look.relative_sigma <= share]) for look in drive(0)
    )
    verdict = judged(gated)
    print(verdict)
    assert (verdict.found < 0.98) == (verdict.worst < 0.9) == loses
    # What is not seen is not cleared.
    assert (verdict.false > 1e-3) == loses


def test_a_cloud_cropped_by_height_clears_less() -> None:
    """Why config/nav2_costmap.yaml crops in the costmap, by a source of its own."""
    low, high = LIMITS.min_height_m, LIMITS.max_height_m
    cropped = tuple(
        replace(look, cloud=look.cloud[(look.cloud[:, 2] > low) & (look.cloud[:, 2] < high)])
        for look in drive(0)
    )
    verdict = judged(cropped)
    print(verdict)
    assert verdict.found > 0.98
    assert verdict.false > 10.0 * max(judged(drive(0)).false, 1e-4)


def test_grid_marks_and_clears_along_rays() -> None:
    grid = VoxelGrid((0.0, 0.0, 0.0), (4.0, 2.0, 1.0), 0.5)
    eye = np.array([0.1, 0.7, 0.7])
    limits = Limits(0.0, 1.0, 10.0, 10.0, 0.5)
    grid.insert(eye, np.array([[2.2, 0.7, 0.7], [np.nan, 0.0, 0.0]]), limits)
    assert np.argwhere(grid.marked).tolist() == [[4, 1, 1]]
    # Straight through it, to a point beyond the grid.
    grid.insert(eye, np.array([[6.0, 0.7, 0.7]]), limits)
    assert not grid.marked.any()
    # Diagonally, through every cell on the way and none beside it.
    ray = np.array([[1.6, 1.7, 0.7]])
    passed = grid.passed(eye, ray, np.zeros(1), np.full(1, 2.0))
    cells = [[0, 1], [1, 1], [1, 2], [2, 2], [2, 3], [3, 3]]
    assert np.argwhere(passed[:, :, 1]).tolist() == cells
    assert not passed[:, :, 0].any()


# What the sources declare, with the types that rclcpp insists on: nav2_costmap_2d and
# nav2_collision_monitor of Nav2 1.3.13, spatio_temporal_voxel_layer 2.2.0.
LAYER = {
    'plugin': str,
    'enabled': bool,
    'footprint_clearing_enabled': bool,
    'min_obstacle_height': float,
    'max_obstacle_height': float,
    'combination_method': int,
    'observation_sources': str,
}
VOXEL_LAYER = LAYER | {
    'origin_z': float,
    'z_resolution': float,
    'z_voxels': int,
    'mark_threshold': int,
    'unknown_threshold': int,
    'publish_voxel_map': bool,
}
STVL_LAYER = {
    'plugin': str,
    'enabled': bool,
    'voxel_decay': float,
    'decay_model': int,
    'voxel_size': float,
    'mark_threshold': int,
    'combination_method': int,
    'update_footprint_enabled': bool,
    'track_unknown_space': bool,
    'publish_voxel_map': bool,
    'transform_tolerance': float,
    'mapping_mode': bool,
    'map_save_duration': float,
    'observation_sources': str,
}
ANY_SOURCE = {
    'topic': str,
    'sensor_frame': str,
    'data_type': str,
    'marking': bool,
    'clearing': bool,
    'inf_is_valid': bool,
    'min_obstacle_height': float,
    'max_obstacle_height': float,
    'expected_update_rate': float,
    'observation_persistence': float,
}
SOURCE = ANY_SOURCE | {
    'obstacle_min_range': float,
    'obstacle_max_range': float,
    'raytrace_min_range': float,
    'raytrace_max_range': float,
}
STVL_SOURCE = ANY_SOURCE | {
    'obstacle_range': float,
    'min_z': float,
    'max_z': float,
    'vertical_fov_angle': float,
    'vertical_fov_padding': float,
    'horizontal_fov_angle': float,
    'decay_acceleration': float,
    'filter': str,
    'voxel_min_points': int,
    'clear_after_reading': bool,
    'enabled': bool,
    'model_type': int,
}
DECLARED = {
    'nav2_costmap_2d::VoxelLayer': (VOXEL_LAYER, SOURCE),
    'nav2_costmap_2d::ObstacleLayer': (LAYER, SOURCE),
    'spatio_temporal_voxel_layer/SpatioTemporalVoxelLayer': (STVL_LAYER, STVL_SOURCE),
    'nav2_costmap_2d::InflationLayer': (
        {
            'plugin': str,
            'enabled': bool,
            'inflation_radius': float,
            'cost_scaling_factor': float,
            'inflate_unknown': bool,
            'inflate_around_unknown': bool,
        },
        {},
    ),
}
COSTMAP = {
    'update_frequency': float,
    'publish_frequency': float,
    'global_frame': str,
    'robot_base_frame': str,
    'rolling_window': bool,
    'width': int,
    'height': int,
    'resolution': float,
    'plugins': list,
}
MONITOR = {
    'base_frame_id': str,
    'odom_frame_id': str,
    'cmd_vel_in_topic': str,
    'cmd_vel_out_topic': str,
    'state_topic': str,
    'transform_tolerance': float,
    'base_shift_correction': bool,
    'stop_pub_timeout': float,
    'source_timeout': float,
    'polygons': list,
    'observation_sources': list,
}
MONITOR_SOURCE = {'type': str, 'topic': str, 'source_timeout': float, 'enabled': bool}
MONITOR_CLOUD = MONITOR_SOURCE | {'min_height': float, 'max_height': float}
POLYGON = {
    'type': str,
    'action_type': str,
    'footprint_topic': str,
    'time_before_collision': float,
    'simulation_time_step': float,
    'min_points': int,
    'visualize': bool,
    'enabled': bool,
}
TOPICS = {'PointCloud2': '/depth_anything/points', 'LaserScan': '/depth_anything/scan'}

Block = dict[str, Any]


@pytest.fixture(scope='module')
def nav2() -> Block:
    text = (ROOT / 'config' / 'nav2_costmap.yaml').read_text()
    blocks: Block = yaml.safe_load(text)
    return blocks


@pytest.fixture
def costmap(nav2: Block) -> Block:
    found: Block = nav2['local_costmap']['local_costmap']['ros__parameters']
    return found


def layers(costmap: Block) -> dict[str, Block]:
    return {name: block for name, block in costmap.items() if isinstance(block, dict)}


def sources(layer: Block) -> dict[str, Block]:
    return {name: layer[name] for name in layer.get('observation_sources', '').split()}


def check(block: Block, declared: dict[str, type], others: set[str]) -> None:
    """Every name is declared by Nav2, or is a block of its own; every type is as declared."""
    assert {name for name, value in block.items() if isinstance(value, dict)} == others
    for name in block.keys() - others:
        assert type(block[name]) is declared[name], name


def test_nav2_declares_every_name_with_this_type(nav2: Block, costmap: Block) -> None:
    check(costmap, COSTMAP, set(layers(costmap)))
    for layer in layers(costmap).values():
        of_layer, of_source = DECLARED[layer['plugin']]
        check(layer, of_layer, set(sources(layer)))
        for source in sources(layer).values():
            check(source, of_source, set())
    monitor = nav2['collision_monitor']['ros__parameters']
    blocks = {'FootprintApproach': POLYGON, 'depth_points': MONITOR_CLOUD}
    blocks['depth_scan'] = MONITOR_SOURCE
    check(monitor, MONITOR, set(blocks))
    for name, declared in blocks.items():
        check(monitor[name], declared, set())


def test_what_is_named_is_there(nav2: Block, costmap: Block) -> None:
    assert set(costmap['plugins']) <= set(layers(costmap))
    monitor = nav2['collision_monitor']['ros__parameters']
    named = [*monitor['polygons'], *monitor['observation_sources']]
    assert all(isinstance(monitor[name], dict) for name in named)
    assert nav2['lifecycle_manager_depth']['ros__parameters']['node_names'] == ['depth_anything']


def test_every_layer_marks_and_clears_and_watches(costmap: Block) -> None:
    of_depth = [layer for layer in layers(costmap).values() if sources(layer)]
    assert len(of_depth) == 3
    for layer in of_depth:
        fed = list(sources(layer).values())
        marking = [source for source in fed if source['marking']]
        clearing = [source for source in fed if source['clearing']]
        assert len(marking) == len(clearing) == 1
        for source in fed:
            assert source['topic'] == TOPICS[source['data_type']]
            # STVL's clear-only source never counts as updated.
            watched = source['marking'] or 'model_type' not in source
            assert (source['expected_update_rate'] > 0.0) == watched
            assert source.get('inf_is_valid', False) == (source['data_type'] == 'LaserScan')
        (mark,), (clear,) = marking, clearing
        reach = [mark.get('obstacle_max_range', mark.get('obstacle_range'))]
        reach += [clear.get('raytrace_max_range', clear.get('max_z'))]
        reach += [costmap['width'] / 2.0]
        assert reach == sorted(reach)
        assert reach[0] < reach[1]


def test_only_what_marks_is_cropped_by_height(costmap: Block) -> None:
    layer = costmap['depth_voxel_layer']
    mark, clear = layer['depth_mark'], layer['depth_clear']
    assert clear['min_obstacle_height'] < 0.0 < mark['min_obstacle_height']
    assert clear['max_obstacle_height'] > mark['max_obstacle_height']
    # Nav2 keeps the voxels of a column in 16 bits.
    assert layer['z_voxels'] <= 16
    top = layer['origin_z'] + layer['z_voxels'] * layer['z_resolution']
    assert mark['max_obstacle_height'] <= layer['max_obstacle_height'] <= top
    assert mark['min_obstacle_height'] >= layer['min_obstacle_height']
    # The scan lies at z = 0.
    flat = costmap['depth_scan_layer']
    assert flat['min_obstacle_height'] < 0.0
    assert flat['depth_scan']['min_obstacle_height'] < 0.0


def test_the_collision_monitor_stops_when_depth_is_silent(nav2: Block) -> None:
    monitor = nav2['collision_monitor']['ros__parameters']
    kinds = {'pointcloud': 'PointCloud2', 'scan': 'LaserScan'}
    for name in ('depth_points', 'depth_scan'):
        assert monitor[name]['source_timeout'] > 0.0
        assert monitor[name]['enabled']
        assert monitor[name]['topic'] == TOPICS[kinds[monitor[name]['type']]]
    assert monitor['source_timeout'] > 0.0
    assert 'depth_points' in monitor['observation_sources']


def test_nav2_blocks_do_not_repeat_a_name() -> None:
    """PyYAML lets the later of two equal keys win without a word."""
    text = (ROOT / 'config' / 'nav2_costmap.yaml').read_text()
    open_blocks: list[tuple[int, set[str]]] = []
    for line in text.splitlines():
        key = re.match(r'( *)([\w]+):', line)
        if key is None:
            continue
        depth = len(key[1])
        while open_blocks and open_blocks[-1][0] > depth:
            open_blocks.pop()
        if not open_blocks or open_blocks[-1][0] < depth:
            open_blocks.append((depth, set()))
        assert key[2] not in open_blocks[-1][1], line
        open_blocks[-1][1].add(key[2])
