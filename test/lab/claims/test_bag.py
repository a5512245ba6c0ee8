"""The bench of bags: what it counts, not how fast this machine is."""

from __future__ import annotations

from pathlib import Path

import pytest

from depth_anything_ros import cli
from depth_anything_ros.core.parameters import parameters_from_flat
from lab.claims.bag import bench_bag
from lab.sample import write_sample_bag

FAST = parameters_from_flat({'variant': 'demo', 'device': 'cpu', 'threads': 1})


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bench') / 'road'
    return write_sample_bag(path, 'road', 0.5, 10.0, (64, 48)).path


@pytest.mark.parametrize(('asked', 'images'), [(None, 5), (3, 3), (12, 12)])
def test_a_bag_is_taken_as_it_is_cut_or_repeated(
    bag: Path, asked: int | None, images: int
) -> None:
    rounds = []
    rows = bench_bag(FAST, bag, asked, 2, lambda done, total: rounds.append((done, total)))
    assert [row.copy for row in rows] == ['all', 'none']
    assert rounds == [(1, 2), (2, 2)]
    for row in rows:
        assert (row.variant, row.input_size, row.images) == ('demo', 126, images)
        assert row.pipeline_ms > 0
        assert row.process_ms > 0
        assert row.ratio > 0
        assert row.early_mb > 50
        assert row.late_mb > 50


def test_a_bag_for_a_bench_of_something_else_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(['bench', 'overload', 'some_bag']) == 2
    assert 'bench overload reads no bag: leave out some_bag' in capsys.readouterr().err
