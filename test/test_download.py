"""Autostart: the running node downloads its weights, tells how far it is, then goes on."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from fake_hub import FakeHub, serving
from rig import values_of

from depth_anything_ros.model.manifest import Release
from depth_anything_ros.model.network import random_network
from depth_anything_ros.model.variants import Checkpoint, get_variant
from depth_anything_ros.ros.qos import LATCHED

# The node as it is, with a manifest whose one row the test can serve.
NODE = """
import json, sys
from depth_anything_ros import node
from depth_anything_ros.model import weights
from depth_anything_ros.model.manifest import Release
from depth_anything_ros.model.variants import Checkpoint

row = json.loads(sys.argv.pop(1))
row['checkpoint'] = Checkpoint(row['checkpoint'])
for function in (weights.locate, weights.find, weights.fetch, weights.check_file):
    function.__kwdefaults__['manifest'] = [Release(**row)]
sys.exit(node.main())
"""


@pytest.fixture(scope='module')
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp('weights') / 'vits.pth'
    torch.save(random_network(get_variant('vits')).state_dict(), path)
    return path.read_bytes()


@pytest.fixture(scope='module')
def row(content: bytes) -> Release:
    sha256 = hashlib.sha256(content).hexdigest()
    return Release(
        'vits',
        Checkpoint.RELATIVE,
        'depth-anything/Test',
        'depth_anything_v2_vits.pth',
        sha256,
        len(content),
        'CC-BY-NC-4.0',
        '0123456789abcdef0123456789abcdef01234567',
    )


class Watcher:
    """Follows the ~/status of a node that downloads from `hub`."""

    def __init__(self, row: Release, hub: FakeHub, home: Path) -> None:
        self.statuses: list[DiagnosticStatus] = []
        self.log = home / 'log'
        self._peer = rclpy.create_node('peer')
        self._peer.create_subscription(
            DiagnosticStatus, '/depth_anything/status', self.statuses.append, LATCHED
        )
        parameters = ['--ros-args', '-p', 'device:=cpu', '-p', 'input_size:=56']
        environment = {
            **os.environ,
            'HF_ENDPOINT': hub.url,
            'HF_HOME': str(home / 'hf'),
            'XDG_CACHE_HOME': str(home / 'xdg'),
        }
        with self.log.open('wb') as output:
            self.process = subprocess.Popen(
                [sys.executable, '-c', NODE, json.dumps(vars(row)), *parameters],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def until(self, text: str) -> DiagnosticStatus:
        """Wait for a status whose message or state holds `text`."""
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            rclpy.spin_once(self._peer, timeout_sec=0.05)
            for status in self.statuses:
                if text in status.message or text == values_of(status)['state']:
                    return status
        raise AssertionError([status.message for status in self.statuses])


@contextmanager
def watched(row: Release, hub: FakeHub, home: Path) -> Iterator[Watcher]:
    rclpy.init()
    watcher = Watcher(row, hub, home)
    try:
        yield watcher
        watcher.process.send_signal(signal.SIGINT)
        assert watcher.process.wait(20.0) == 0
    finally:
        watcher.process.kill()
        watcher.process.wait()
        rclpy.try_shutdown()


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
