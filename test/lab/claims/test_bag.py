"""The bench of bags: what it counts, not how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from depth_anything_ros.core.parameters import parameters_from_flat
from lab.claims.bag import bench_bag, main
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


def test_the_command_prints_json(bag: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = '--variant demo --device cpu --threads 1 --pairs 1 --frames 2 --json'
    assert main([str(bag), *arguments.split()]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row['copy'], row['images']) for row in rows] == [('all', 2), ('none', 2)]
    assert main([str(bag), '--pairs', '0']) == 2
    assert 'give 1 or more' in capsys.readouterr().err
