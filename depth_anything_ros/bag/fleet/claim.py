"""One fleet at a time writes into a folder, and only where something can be written."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from depth_anything_ros.bag.fleet.storage import Storage
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.settings.input_files import lock

__all__ = ['claimed']

_CLAIM = '.fleet-running'


@contextmanager
def claimed(out: str) -> Iterator[None]:
    """Keep other fleets out of `out` for this block; SettingError where one is at work there.

    The lock ends with this process, however it ends. Object storage has none: there it is only
    tried whether something can be written.
    """
    storage = Storage(out)
    path = f'{storage.root}/{_CLAIM}'
    who = f'process {os.getpid()} on {socket.gethostname()}'
    who += f' since {datetime.now().astimezone().isoformat(" ", "seconds")}'
    if not storage.is_local:
        storage.put_bytes(who.encode(), path)
        storage.remove(path)
        yield
        return
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = _locked(Path(path), out)
        file.truncate(0)
        file.write(who)
        file.flush()
    except OSError as err:
        raise SettingError(f'{out} cannot be written: {err.strerror}') from err
    try:
        yield
    finally:
        with suppress(OSError):
            Path(path).unlink()
        file.close()


def _locked(path: Path, out: str) -> TextIO:
    """Return the file, open and locked."""
    while True:
        file = path.open('a+')
        if not lock(file.fileno()):
            file.seek(0)
            who = file.read() or 'another process'
            file.close()
            raise SettingError(
                f'another fleet writes into {out}: {who}; wait for its end, or name another OUT'
            )
        # It may have been removed since it was opened, by the fleet that held it.
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()
