"""A DDS domain of one's own on this machine, for the demo, benchmarks and tests."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.settings.share import profile_variable, share_directory

__all__ = ['isolated_domain']

_DOMAINS = range(1, 101)


@contextmanager
def isolated_domain() -> Iterator[int]:
    """Claim a free ROS domain and set the environment for it and for child processes.

    Traffic stays on this machine, and images fit in shared memory. Enter it before rclpy.init.
    Other processes that claim domains this way never get the same one at the same time.
    """
    with _claimed() as domain:
        before = dict(os.environ)
        os.environ |= {
            'ROS_DOMAIN_ID': str(domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            profile_variable(): str(share_directory() / 'config' / 'fastdds.xml'),
        }
        # The PyPI wheels make their environment an ament prefix, but do not say so.
        if (Path(sys.prefix) / 'share' / 'ament_index').is_dir():
            os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
        if 'HOME' not in os.environ:
            os.environ.setdefault('ROS_LOG_DIR', tempfile.gettempdir())
        try:
            yield domain
        finally:
            os.environ.clear()
            os.environ |= before


@contextmanager
def _claimed() -> Iterator[int]:
    folder = Path(tempfile.gettempdir()) / 'depth_anything_ros_domains'
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        # Every user of this machine claims here.
        folder.chmod(0o1777)
    # Start apart from each other, so that a domain just left by others is not the first choice.
    start = os.getpid() % len(_DOMAINS)
    for domain in (*_DOMAINS[start:], *_DOMAINS[:start]):
        path = folder / str(domain)
        if not path.exists():
            path.touch()
        # A lock needs no more than reading, so another user's file will do.
        with path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise DepthAnythingError(
        f'no ROS domain from {_DOMAINS[0]} to {_DOMAINS[-1]} is free: end some of the processes '
        f'that hold the files in {folder}'
    )
