"""What every test shares: a ROS domain of its own, and the field checks of rclpy."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults import PageWriter

# Read when the message classes are first imported.
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'

_SESSION = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run of the faults write docs/reliability.md."""
    parser.addoption(
        '--reliability',
        metavar='FILE',
        type=Path,
        help='write the faults of this run and what became of them (docs/reliability.md)',
    )


def pytest_configure(config: pytest.Config) -> None:
    """Claim the domain before anything imports rclpy."""
    if config.option.reliability is not None:
        config.pluginmanager.register(PageWriter(config.option.reliability))
    from lab.isolation import isolated_domain

    _SESSION.enter_context(isolated_domain())
    folder = Path(_SESSION.enter_context(tempfile.TemporaryDirectory()))
    # No test sees, or changes, what the user has downloaded.
    for variable in ('HF_HOME', 'XDG_CACHE_HOME', 'ROS_LOG_DIR'):
        os.environ[variable] = str(folder / variable.lower())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Return the domain back."""
    _SESSION.close()
