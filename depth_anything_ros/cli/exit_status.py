"""How a command ends: with a status, and one line about what it could not do.

0 done, 1 a check failed or something was left out, 2 bad usage or input, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.packages import missing

__all__ = ['exit_status', 'open_standard_files']


def exit_status(program: str, command: Callable[[], int]) -> int:
    """Return the status of `command`; what it raises is one line on stderr."""
    open_standard_files()
    try:
        status = command()
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except DepthAnythingError as error:
        print(f'{program}: {error}', file=sys.stderr)
        return 2
    except ImportError as error:
        package = (error.name or '').partition('.')[0]
        if package in ('', 'depth_anything_ros', 'lab'):
            raise
        print(f'{program}: {_advice(package, error)}', file=sys.stderr)
        return 2
    except MemoryError:
        print(f'{program}: memory ran out: free some, or raise its limit', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f'{program}: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, head say, has gone.
        _silence_stdout()
        return 0
    except OSError as error:
        if not _stdout_fails():
            raise
        _silence_stdout()
        print(f'{program}: standard output cannot be written: {error.strerror}', file=sys.stderr)
        return 2


def open_standard_files() -> None:
    """Open those that are closed to nowhere: else the next file opened would get what they get."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for number, name in enumerate(('stdin', 'stdout', 'stderr')):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open('w' if number else 'r'))  # noqa: SIM115


def _stdout_fails() -> bool:
    """Return whether nothing can be printed, since the disk behind it is full say."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def _silence_stdout() -> None:
    """Let nothing more be written, of which Python would complain on exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _advice(package: str, error: ImportError) -> str:
    """Return what is wrong with an installed package, or with one that is missing, and the fix."""
    if error.msg and ('failed to map' in error.msg or 'allocate memory' in error.msg):
        return f'{error.name} cannot be loaded ({error.msg}): memory ran out, free some'
    of_ros = package in ('rclpy', 'message_filters', 'tf2_ros') or package.endswith('_msgs')
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        if of_ros:
            return f'this needs {package}, which is not installed: source ROS 2'
        return missing('this', package)
    from importlib.metadata import packages_distributions, version

    found = packages_distributions().get(package)
    installed = f'{found[0]} {version(found[0])}' if found else package
    fix = 'update ROS 2' if of_ros else f'pip install --upgrade {found[0] if found else package}'
    return f'{installed} is too old ({error.msg}): {fix}'
