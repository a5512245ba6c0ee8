"""What every test shares: a ROS domain of its own, and the field checks of rclpy."""

from __future__ import annotations

import gc
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

# Read when the message classes are first imported.
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'

_PROCESS = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Claim a domain and folders before anything imports rclpy, in each process that tests."""
    worker = hasattr(config, 'workerinput')
    if not worker and config.getoption('dist', 'no') != 'no':
        return  # the controller of pytest-xdist, which runs no test
    gc.disable()
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


def pytest_collection_finish() -> None:
    """Let the garbage collector begin here, beside all that was imported, which stays."""
    gc.freeze()
    gc.enable()


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


@pytest.fixture(scope='session', autouse=True)
def openvino_compiles_once() -> Iterator[None]:
    """Keep what OpenVINO compiled, by its content: the same again would take half a second."""
    try:
        from depth_anything_ros.model.quiet_openvino import core
    except ImportError:
        yield
        return
    compile_model, compiled = core().compile_model, dict[Any, Any]()

    def compiled_once(path: Path, *how: Any) -> Any:
        files = sorted(path.parent.glob(f'{path.stem}.*'))
        key = (*(hashlib.sha256(each.read_bytes()).digest() for each in files), repr(how))
        if key not in compiled:
            if len(compiled) == 8:  # of some 100 MB at most
                del compiled[next(iter(compiled))]
            compiled[key] = compile_model(path, *how)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core(), 'compile_model', compiled_once)
        yield
