"""A node that downloads its weights from a hub of the test's, and a peer that follows it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from fake_hub import FakeHub, release, release_json
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rig import values_of
from sensor_msgs.msg import Image

from depth_anything_ros.messages.images import fill_image
from depth_anything_ros.model.network import random_network
from depth_anything_ros.model.releases import Release
from depth_anything_ros.model.variants import get_variant
from depth_anything_ros.ros.qos import LATCHED, SENSOR

NAMESPACE = '/downloading'

# The program as it is, with a manifest whose one row the test can serve.
PROGRAM = """
import json, sys
from depth_anything_ros import cli, node
from depth_anything_ros.model import releases
from depth_anything_ros.model.releases import Release

main = {'node': node.main, 'cli': cli.main}[sys.argv.pop(1)]
row = json.loads(sys.argv.pop(1))
releases.RELEASES = [Release(**row)]
sys.exit(main())
"""


def checkpoint_bytes(folder: Path) -> bytes:
    """What a checkpoint of vits is on disk, with random weights; written in `folder`."""
    path = folder / 'vits.pth'
    torch.save(random_network(get_variant('vits')).state_dict(), path)
    return path.read_bytes()


def released(content: bytes) -> Release:
    """The row of a manifest that releases `content` as vits."""
    return release(content, 'CC-BY-NC-4.0', revision='0123456789abcdef0123456789abcdef01234567')


class Watcher:
    """Follows the ~/status of a node that downloads from `hub`."""

    def __init__(self, row: Release, hub: FakeHub, home: Path) -> None:
        self.statuses: list[DiagnosticStatus] = []
        self.log, self.cache = home / 'log', home / 'hf'
        self._row = row
        # Apart from other nodes that a test may have.
        self._peer = rclpy.create_node('peer', namespace=NAMESPACE)
        self._peer.create_subscription(
            DiagnosticStatus, 'depth_anything/status', self.statuses.append, LATCHED
        )
        self._environment = {
            **os.environ,
            'HF_ENDPOINT': hub.url,
            'HF_HOME': str(self.cache),
            'XDG_CACHE_HOME': str(home / 'xdg'),
        }
        self.process = self._start(
            'node',
            *(
                '--ros-args',
                '-r',
                f'__ns:={NAMESPACE}',
                '-p',
                'device:=cpu',
                '-p',
                'backend:=torch',
                '-p',
                'input_size:=56',
            ),
        )

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open('ab') as output:
            return subprocess.Popen(
                [sys.executable, '-c', PROGRAM, program, release_json(self._row), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )

    def until_true(self, condition: Callable[[], Any]) -> Any:
        """Spin until `condition` gives something true; give that."""
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            rclpy.spin_once(self._peer, timeout_sec=0.05)
            result = condition()
            if result:
                return result
        raise AssertionError([status.message for status in self.statuses])

    def until(self, text: str) -> DiagnosticStatus:
        """Wait for a status whose message or state holds `text`."""

        def found() -> DiagnosticStatus | None:
            for status in self.statuses:
                if text in status.message or text == values_of(status)['state']:
                    return status
            return None

        return self.until_true(found)

    def advertised(self, topics: set[str]) -> frozenset[str]:
        """Those of the node's topics that it publishes."""
        count = self._peer.count_publishers
        return frozenset(topic for topic in topics if count(NAMESPACE + topic))

    def fetch(self) -> None:
        """Download the weights as a user would, who was told to."""
        process = self._start('cli', *self._row.fetch_command.split()[1:])
        self.until_true(lambda: process.poll() is not None)
        assert process.returncode == 0, self.log.read_text()

    def change_state(self, transition: int) -> None:
        """Ask for a lifecycle transition, which must succeed."""
        client = self._peer.create_client(ChangeState, 'depth_anything/change_state')
        self.until_true(client.service_is_ready)
        # Discovery is one-sided: asked again, for the node answers what does not fit its state.
        answers: list[Any] = []

        def done() -> bool:
            if not answers or answers[-1].done():
                request = ChangeState.Request(transition=Transition(id=transition))
                answers.append(client.call_async(request))
            return any(answer.done() and answer.result().success for answer in answers)

        self.until_true(done)

    def answer_to(self, bgr: np.ndarray) -> Image:
        """Send a picture again and again until it is answered; give the relative depth."""
        answers: list[Image] = []
        self._peer.create_subscription(Image, 'depth_anything/relative/image', answers.append, 10)
        publisher = self._peer.create_publisher(Image, 'image', SENSOR)
        message = Image()
        fill_image(message, bgr, 'bgr8')

        def answered() -> bool:
            message.header.stamp.sec += 1
            publisher.publish(message)
            return bool(answers)

        self.until_true(answered)
        return answers[0]


@contextmanager
def watched(row: Release, hub: FakeHub, home: Path) -> Iterator[Watcher]:
    """Start the node; at the end it must go when asked to."""
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
