"""What a bag proves about metric depth: who judges, what noise and outliers do, what fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import DEPTH, IMAGE, LIDAR, Drive, drive
from written_bag import write_bag

from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.core.types import Camera, ReferenceSamples
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.reports.writing import write_report
from depth_anything_ros.studies.prove.beside import candidates
from depth_anything_ros.studies.prove.figures import ProofLimits, failures, figures_of
from depth_anything_ros.studies.prove.judged import HoldOut, Judged, Split, judged
from depth_anything_ros.studies.prove.page import report_of
from depth_anything_ros.studies.prove.run import Asked, Result, check, prove
from lab.topic_names import TRUTH
from lab.world.sensors import LIDAR_POINT, stretched

PARAMETERS = parameters_from_flat({'reference.fixed_frame': 'odom'})
RNG = np.random.default_rng(0)
Change = Callable[[np.ndarray], None]


@cache
def room() -> Drive:
    return drive('room', seconds=0.7)


def messages(change: Change | None = None) -> list[tuple[str, int, Any]]:
    """The drive, with the points of its lidar changed in place."""
    found = []
    for topic, _, message in room().messages:
        first = message if hasattr(message, 'header') else message.transforms[0]
        if topic == LIDAR and change is not None:
            points = message.data.view(LIDAR_POINT).copy()
            change(points)
            message = copy(message)
            message.data = points.view(np.uint8)
        found.append((topic, ns_from_stamp(first.header.stamp) + 1_000_000, message))
    return found


def proven(path: Path, **options: Any) -> list[Result]:
    return list(prove(path, room().backend(), PARAMETERS, Asked(**options)))


def by_lidar(tmp_path: Path, change: Change | None = None) -> tuple[Result, list[str]]:
    """What the lidar gives, and the limits that are not kept."""
    bag = write_bag(tmp_path / 'room', messages(change))
    (found,) = proven(bag, references=('point_cloud',))
    return found, [line for row in found.proofs for line in failures(row, ProofLimits())]


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp('bags') / 'room', messages())


def samples(u: np.ndarray, v: np.ndarray, depth_m: np.ndarray) -> ReferenceSamples:
    return ReferenceSamples(*(np.asarray(each, np.float32) for each in (u, v, depth_m)))


def test_each_sample_is_held_out_once_in_five_frames_with_its_whole_block() -> None:
    camera = Camera.from_intrinsics(500, 500, 319.5, 239.5, 640, 480)
    v, u = (each.ravel() for each in np.mgrid[0:480, 0:640])
    whole, hold_out = samples(u, v, np.ones(u.size)), HoldOut()
    times = np.zeros((480, 640), int)
    for _ in range(5):
        rest = hold_out.choose(whole, camera)
        split = hold_out.split
        assert split is not None
        held = split.judging.reshape(480, 640)
        assert rest.u.size + np.count_nonzero(held) == u.size
        times += held
        blocks = held[::20, ::20]
        assert (np.kron(blocks, np.ones((20, 20), bool)) == held).all()
        # No two of them touch, not even by a corner.
        for down, right in ((0, 1), (1, 0), (1, 1)):
            assert not (blocks[down:, right:] & blocks[: 24 - down, : 32 - right]).any()
        assert not (blocks[1:, :-1] & blocks[:-1, 1:]).any()
    assert (times == 1).all()


def test_what_stands_alone_and_what_is_hidden_judge_nothing() -> None:
    # Ten rings of fifty, as of a lidar: closer in a row than between rows.
    v, u = (each.ravel() for each in np.mgrid[0:100:10, 0:100:2])
    depth_m = np.where(u >= 50, 4.0, 2.0)
    depth_m[[60, 190]] = 6.0, 0.7
    found = np.full((100, 100), 2.0, np.float32)
    split = Split(samples(u, v, depth_m), np.ones(u.size, bool))
    one = judged(split, found, 0.1 * found, 1000)
    assert one is not None
    # The far samples beside the near ones, which a sensor beside the camera may see behind them.
    assert (one.asked, one.outliers, one.hidden) == (500, 2, 20)
    assert set(one.true_m) == {2.0, 4.0}
    assert one.true_m.size == 500 - 22


@pytest.mark.parametrize('noise', [0.005, 0.02])
def test_the_noise_of_the_judge_is_taken_off(noise: float) -> None:
    true = RNG.uniform(1.0, 8.0, 20_000)
    error = 0.015 * RNG.standard_normal(20_000)
    own = noise * RNG.standard_normal(20_000)
    measured = true * np.exp(own)
    found_m, pixels = true * np.exp(error), np.zeros((20_000, 2), int)
    frame = Judged(pixels, measured, found_m, 0.015 * true, own, 100, 0, 0, 0.0)
    found = figures_of([frame], ProofLimits())
    assert all(each['with noise'] > 1.02 * each['abs_rel'] for each in found['bins'])
    assert found['abs_rel'] == pytest.approx(0.015 * math.sqrt(2.0 / math.pi), rel=0.05)
    assert found['noise'] == pytest.approx(noise, rel=0.05)
    assert found['within_sigma'][1] == pytest.approx(0.683, abs=0.02)
    assert found['within_sigma'][3] == pytest.approx(0.954, abs=0.02)


def test_depth_is_trusted_as_far_as_its_share_holds() -> None:
    true = np.linspace(1.0, 40.0, 5000)
    depth_m = np.where(true < 16.0, 1.05, 1.5) * true
    frame = Judged(np.zeros((5000, 2), int), true, depth_m, true, np.zeros(5000), 5000, 0, 0, 0.0)
    assert figures_of([frame], ProofLimits())['trust_m'] == pytest.approx(16.0, abs=0.01)
    assert figures_of([frame], ProofLimits(trust_error=0.01))['trust_m'] == 0.0
    assert figures_of([frame], ProofLimits(trust_error=0.6))['trust_m'] == pytest.approx(40.0)


def test_every_reference_is_judged_by_what_the_bag_has(bag: Path, tmp_path: Path) -> None:
    found = proven(bag)
    judges = {row.reference: [] for each in found for row in each.proofs}
    for each in found:
        for row in each.proofs:
            judges[row.reference].append(row.judge)
            assert row.images == 7
            assert row.reference.startswith('odometry') or row.published > 0.8
    assert judges == {
        DEPTH: ['held out', LIDAR],
        LIDAR: ['held out', DEPTH],
        '/scan': ['held out', DEPTH, LIDAR],
        'odometry (tf, odom)': [DEPTH, LIDAR],
        'ground plane': [DEPTH, LIDAR],
    }
    lidar = found[1]
    assert 0.0 < lidar.proofs[0].tae_percent < 10.0
    assert found[3].frames[0].reason == 'no_earlier_frame'
    assert found[3].proofs[0].refused['no_earlier_frame'] == 1
    assert len(lidar.worst) == 3
    assert lidar.worst[0][1].abs_rel >= lidar.worst[1][1].abs_rel
    page = write_report(report_of(found, ['a limit'], ProofLimits(), 'prove it'), tmp_path / 'out')
    text = page.read_text()
    assert 'prove it' in text
    assert '<p class="warning">a limit' in text
    assert 'src="http' not in text.split('<h1>')[1]
    assert len(list((tmp_path / 'out' / 'worst').iterdir())) > 3


def test_the_bag_is_healthy_and_a_second_sensor_or_the_truth_judge_it(bag: Path) -> None:
    (by_depth,) = proven(bag, references=('point_cloud',), judge=DEPTH)
    assert [row.judge for row in by_depth.proofs] == [DEPTH]
    (itself,) = proven(bag, references=(LIDAR,), judge=LIDAR)
    assert [row.judge for row in itself.proofs] == ['held out']
    (by_truth,) = proven(bag, references=(LIDAR,), ground_truth=TRUTH)
    assert [row.judge for row in by_truth.proofs] == ['ground truth']
    assert by_truth.proofs[0].outliers == by_truth.proofs[0].noise == 0.0
    for found in (by_depth, itself, by_truth):
        assert not list(failures(found.proofs[0], ProofLimits()))
        assert found.proofs[0].abs_rel < 0.08
    (line,) = failures(by_truth.proofs[0], replace(ProofLimits(), trust_m=100.0))
    assert 'trust_m is' in line


def test_outliers_are_told(tmp_path: Path) -> None:
    def stretch(points: np.ndarray) -> None:
        factor = stretched(np.ones(points.size), 0.3, RNG)
        for axis in 'xyz':
            points[axis] *= factor

    found, failed = by_lidar(tmp_path, stretch)
    # Half of those that are too far lie behind others, and do not come so far.
    assert 0.12 < found.proofs[0].outliers < 0.3
    assert any('held out: outliers is' in line for line in failed)


def test_near_for_far_fails(tmp_path: Path) -> None:
    def negate(points: np.ndarray) -> None:
        distance = np.sqrt(points['x'] ** 2 + points['y'] ** 2 + points['z'] ** 2)
        for axis in 'xyz':
            points[axis] *= 4.0 / distance**2

    found, failed = by_lidar(tmp_path, negate)
    assert found.proofs[0].published < 0.5
    assert 'contradicts_network' in found.proofs[0].refused
    assert any('published is' in line for line in failed)


@pytest.mark.parametrize('way', ['turned', 'farther'])
def test_a_lidar_that_is_elsewhere_than_tf_says_fails(way: str, tmp_path: Path) -> None:
    def turn(points: np.ndarray) -> None:
        x, y, angle = points['x'].copy(), points['y'].copy(), math.radians(25)
        points['x'] = math.cos(angle) * x - math.sin(angle) * y
        points['y'] = math.sin(angle) * x + math.cos(angle) * y

    def move(points: np.ndarray) -> None:
        points['x'] += 0.6

    _, failed = by_lidar(tmp_path, turn if way == 'turned' else move)
    assert any('abs_rel' in line or 'bias' in line or 'published' in line for line in failed)


def test_what_a_bag_lacks_is_named(bag: Path, tmp_path: Path) -> None:
    for options, text in (
        ({'references': ('radar',)}, f'has no reference radar: it has .*{LIDAR}'),
        ({'judge': IMAGE}, 'holds no depth, cloud or scan'),
        ({'ground_truth': '/depth'}, 'has no topic /depth: it has'),
    ):
        with pytest.raises(SettingError, match=text):
            check(bag, PARAMETERS, Asked(**options))
    with pytest.raises(SettingError, match='/camera/image_rw: near it are'):
        check(bag, PARAMETERS, Asked(image='/camera/image_rw'))
    moved = replace(PARAMETERS.reference, fixed_frame='oddom')
    with (
        BagReader(bag) as reader,
        pytest.raises(SettingError, match=r'has no frame oddom: it has .*odom'),
    ):
        candidates(reader, replace(PARAMETERS, reference=moved))
    only = [each for each in messages() if each[0] in (IMAGE, '/camera/camera_info')]
    path = write_bag(tmp_path / 'camera', only)
    with pytest.raises(SettingError, match='no reference of metric depth: it has /camera'):
        proven(path)
    with BagReader(bag) as reader:
        assert TRUTH not in [each.topic for each in candidates(reader, PARAMETERS)]
