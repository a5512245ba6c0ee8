"""A recording that goes to a file, to rerun's viewer, or to browsers on this machine alone."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import rerun as rr

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.view.blueprint import layout
from depth_anything_ros.view.recording import Recorder

__all__ = ['recording']


@contextmanager
def recording(
    save: Path | None,
    web: int | None,
    say: Callable[[str], object],
    stopped: Callable[[], str],
    roots: Sequence[str],
    clock: str,
) -> Iterator[Recorder]:
    """Yield what writes the frames of `roots` to the file `save`, or to a viewer without it.

    With `web`, a port, the viewer is a page whose address `say` is told, and which is served until
    `stopped`. `clock`: see Recorder.
    """
    stream = rr.RecordingStream('depth_anything')
    port = 9876 if web is None else web + 1
    address = f'rerun+http://127.0.0.1:{port}/proxy'
    sinks: list[rr.FileSink | rr.GrpcSink] = [rr.FileSink(f'{save}.writing')] if save else []
    viewer = None
    try:
        if web is not None or not save:
            viewer = _start(port, web)
            sinks.append(rr.GrpcSink(address))
        stream.set_sinks(*sinks, default_blueprint=layout(roots, 'stamp' if clock else 'frame'))
        if web is not None:
            say(f'open http://127.0.0.1:{web}/?url={quote(address, safe="")}')
        yield Recorder(stream, clock)
        while web is not None and not stopped():
            time.sleep(0.1)
    except BaseException:
        if save:
            Path(f'{save}.writing').unlink(missing_ok=True)
        raise
    finally:
        stream.disconnect()
        if viewer is not None and web is not None:
            viewer.terminate()
            viewer.wait()
    if save:
        Path(f'{save}.writing').rename(save)


def _start(port: int, web: int | None) -> subprocess.Popen[bytes] | None:
    """Start the viewer, unless one is open: those that rr starts listen on every network."""
    ports = (port,) if web is None else (port, web)
    if taken := [each for each in ports if _answers(each)]:
        if web is None:
            return None
        raise SettingError(f'--web {web}: port {taken[0]} is taken, give another')
    program = Path(rr.__file__).parents[1] / 'rerun_cli' / 'rerun'
    command = [str(program), '--bind', '127.0.0.1']
    command += ['--port', str(port), '--server-memory-limit', '25%', '--expect-data-soon']
    if web is not None:
        command += ['--serve-web', '--web-viewer-port', str(web)]
    environment = os.environ | {'RERUN_APP_ONLY': 'true', 'RUST_LOG': 'error'}
    # Ctrl-C in a terminal ends what is shown, and not the viewer that shows it.
    viewer = subprocess.Popen(command, env=environment, start_new_session=True)
    while not all(map(_answers, ports)):
        if viewer.poll() is not None:
            fix = 'give --web, or --save FILE.rrd'
            raise SettingError(f"rerun's viewer ended, see above: {fix}")
        time.sleep(0.05)
    return viewer


def _answers(port: int) -> bool:
    with socket.socket() as end:
        return end.connect_ex(('127.0.0.1', port)) == 0
