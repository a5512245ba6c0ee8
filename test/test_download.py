"""Autostart: the running node downloads its weights, tells how far it is, then goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from downloads import checkpoint_bytes, released, watched
from fake_hub import FakeHub, serving
from rig import values_of

from depth_anything_ros.model.releases import Release


@pytest.fixture(scope='module')
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return checkpoint_bytes(tmp_path_factory.mktemp('weights'))


@pytest.fixture(scope='module')
def row(content: bytes) -> Release:
    return released(content)


def test_the_status_tells_percent_and_then_the_node_is_active(
    row: Release, content: bytes, tmp_path: Path
) -> None:
    go = threading.Event()
    with serving(FakeHub(row, content)) as hub, watched(row, hub, tmp_path) as watcher:
        hub.halfway_waits_for = go
        told = watcher.until('% of 99 MB')
        assert told.message.startswith('downloading weights: ')
        assert values_of(told)['state'] == 'unconfigured'
        go.set()
        watcher.until('active')
    assert 'non-commercial use only: CC-BY-NC-4.0' in watcher.log.read_text()


def test_altered_weights_are_refused_and_the_node_lives(
    row: Release, content: bytes, tmp_path: Path
) -> None:
    altered = bytes([content[0] ^ 1]) + content[1:]
    with serving(FakeHub(row, altered)) as hub, watched(row, hub, tmp_path) as watcher:
        told = watcher.until('is damaged')
        assert told.level == DiagnosticStatus.ERROR
        assert values_of(told)['state'] == 'unconfigured'
