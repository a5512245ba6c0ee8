"""The one robot that meets the faults, each in a story of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drive import LIDAR, drive
from rig import Rig

from depth_anything_ros import node as node_module
from depth_anything_ros.model.releases import PACKAGED
from faults.robot import CLOUD, Robot, TruthOrNetwork


@pytest.fixture(scope='package')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('weights') / 'mine.safetensors'
    path.write_bytes(PACKAGED['demo'].read_bytes())
    return path


@pytest.fixture(scope='package')
def whole_robot(weights: Path) -> Iterator[Robot]:
    what = drive('room')
    load = node_module.load_backend
    given = {
        'weights': str(weights),
        'reference.type': 'point_cloud',
        'reference.extrinsics': what.extrinsics(LIDAR),
        'diagnostics.period_s': 0.1,
        'diagnostics.stale_after_s': 600.0,
        # One moment is sent again and again, which is no fault here.
        'health.enabled': False,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_module, 'load_backend', lambda p: TruthOrNetwork(what, load(p)))
        with Rig(given, ['-r', f'reference:={CLOUD}']) as rig:
            yield Robot(rig, what)


def story(robot: Robot, transport: str) -> Iterator[Robot]:
    """The one robot, at the beginning of a story and seen to be well at its end."""
    robot.hear(transport)
    robot.rewind()
    robot.inform(robot.info())
    yield robot
    robot.prove_well()


@pytest.fixture
def robot(whole_robot: Robot) -> Iterator[Robot]:
    yield from story(whole_robot, 'raw')


@pytest.fixture
def compressed_robot(whole_robot: Robot) -> Iterator[Robot]:
    yield from story(whole_robot, 'compressed')
