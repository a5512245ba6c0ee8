"""What every test shares: a ROS domain of its own, and the field checks of rclpy."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

# Read when the message classes are first imported.
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'

_PROCESS = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Claim a domain and folders before anything imports rclpy, in each process that tests."""
    worker = hasattr(config, 'workerinput')
    if not worker and config.getoption('dist', 'no') != 'no':
        return  # the controller of pytest-xdist, which runs no test
    from lab.isolation import isolated_domain

    _PROCESS.enter_context(isolated_domain())
    folder = Path(_PROCESS.enter_context(tempfile.TemporaryDirectory()))
    # No test sees, or changes, what the user has downloaded.
    for variable in ('HF_HOME', 'XDG_CACHE_HOME', 'ROS_LOG_DIR'):
        os.environ[variable] = str(folder / variable.lower())
    if worker:
        # The workers share the cores: threads of one would wait for those of the other, and where
        # a network takes two, spinning for one that has no core takes 50 times as long as asleep.
        os.environ.setdefault('OMP_NUM_THREADS', '1')
        os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


def pytest_unconfigure(config: pytest.Config) -> None:
    """Release the domain and remove the folders."""
    _PROCESS.close()


@pytest.fixture(scope='session', autouse=True)
def no_participant_is_left() -> Iterator[None]:
    """Fail at the end if a test left a node behind: later ones would find it in the graph."""
    yield
    # Imports rclpy, which must not happen before the domain is claimed.
    from rig import dds_event_threads

    assert dds_event_threads() == 0
