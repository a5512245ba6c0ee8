"""Streams over loopback: films by URL, live ones whose newest image counts, and refusals."""

from __future__ import annotations

import errno
import functools
import http.server
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from rig import picture
from written_film import frames_of, write_film

from depth_anything_ros import cli
from depth_anything_ros.core.levels import Levels
from depth_anything_ros.media import streams
from depth_anything_ros.media.films import Film, picture_of
from depth_anything_ros.media.streams import LiveStream, open_url, without_secrets

FAST = ['--weights', 'random', '--device', 'cpu', '--variant', 'demo', '--backend', 'torch']
TS_PACKET = 188


def run(*arguments: object) -> int:
    return cli.main(['run', *map(str, arguments), *FAST])


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / 'film.ts', [picture(64, 48, seed) for seed in range(12)])


@pytest.fixture
def served(film: Path) -> Iterator[str]:
    """The address of a server of the film's folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(film.parent))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()
        thread.join()


def test_a_film_by_url_is_read_whole(served: str, film: Path, tmp_path: Path) -> None:
    write_film(
        film.parent / 'sound.mp4', [picture(64, 48, seed) for seed in range(6)], sound='aac'
    )
    assert run(f'{served}/film.ts', tmp_path / 'depth.mp4') == 0
    assert len(frames_of(tmp_path / 'depth.mp4')) == 12
    assert run(f'{served}/sound.mp4?token=secret', tmp_path / 'sound_depth.mp4') == 0
    assert len(frames_of(tmp_path / 'sound_depth.mp4')) == 6


@pytest.mark.parametrize(
    ('url', 'why'),
    [
        ('SERVED/none.ts', 'Server returned 404 Not Found'),
        ('rtsp://user:secret@127.0.0.1:1/x?token=secret', 'Connection refused'),
        ('udp://127.0.0.1:PORT?token=secret', 'nothing came for 0.3 s'),
        ('nonsense://user:secret@host/x', 'Protocol not found'),
        ('SERVED/notes.txt', 'Invalid data found'),
    ],
)
def test_what_cannot_be_reached_is_one_line_without_secrets(
    served: str,
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    url: str,
    why: str,
) -> None:
    (film.parent / 'notes.txt').write_text('no film')
    monkeypatch.setattr(streams, '_TIMEOUT_S', 0.3)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    served = served.replace('//', '//user:secret@')
    assert run(url.replace('SERVED', served).replace('PORT', str(port)), tmp_path / 'out') == 2
    said = capfd.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith('depth_anything:')]
    assert f'cannot be opened ({why}' in line
    assert 'secret' not in said.err + said.out and 'user' not in line


def test_secrets_are_user_information_and_query() -> None:
    assert without_secrets('rtsp://me:p@ss@host/x?key=1') == 'rtsp://host/x?...'
    assert without_secrets('a//b@c?.png') == 'a//b@c?.png'


def interleaved(film: Path) -> bytes:
    """Return a film as RTP packets in an RTSP connection (RFC 2326, 10.12; RFC 2250)."""
    content, packets = film.read_bytes(), b''
    for number, at in enumerate(range(0, len(content), 7 * TS_PACKET)):
        payload = content[at : at + 7 * TS_PACKET]
        rtp = struct.pack('>BBHII', 0x80, 33, number, number * 3000, 1) + payload
        packets += struct.pack('>cBH', b'$', 0, len(rtp)) + rtp
    return packets


@pytest.fixture
def rtsp(film: Path) -> Iterator[str]:
    """The address of a camera that sends the film once, and then hangs up."""
    sdp = 'v=0\r\ns=x\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n'

    def serve(listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # nobody called
        with connection, connection.makefile('rb') as lines:
            while request := lines.readline().decode():
                headers = {}
                while (line := lines.readline().decode().strip()) != '':
                    name, _, headers[name] = line.partition(': ')
                method, body = request.split()[0], ''
                answer = f'RTSP/1.0 200 OK\r\nCSeq: {headers["CSeq"]}\r\nSession: 1\r\n'
                if method == 'DESCRIBE':
                    body = sdp
                    answer += f'Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n'
                if method == 'SETUP':
                    answer += f'Transport: {headers["Transport"]}\r\n'
                connection.sendall(f'{answer}\r\n{body}'.encode())
                if method == 'PLAY':
                    connection.sendall(interleaved(film))
                    return

    with closing(socket.create_server(('127.0.0.1', 0))) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f'rtsp://me:secret@127.0.0.1:{listener.getsockname()[1]}/camera'
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_camera_by_rtsp(rtsp: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'depth.mp4'
    # As the connection breaks off, so does the run; what came before is there.
    status = run(rtsp, out, '--json')
    said = capfd.readouterr()
    summary = json.loads(said.out)
    assert summary['written'] == len(frames_of(out)) >= 1
    # FFmpeg keeps the last picture or two when the connection breaks off.
    assert 10 <= summary['written'] + summary['dropped'] <= 12
    assert status == (1 if summary['fault'] else 0)
    assert 'secret' not in said.err + said.out
    assert not (tmp_path / 'depth.mp4.parts').exists()


class Container:
    """An open stream that sends these images, an error in place of what cannot be decoded."""

    def __init__(self, images: Iterator[Any], opened: Any = None) -> None:
        self._images = images
        self.streams = SimpleNamespace(best=str)
        if opened is not None:
            self.format, self.duration, self.streams = opened.format, None, opened.streams

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def demux(self, stream: Any) -> Iterator[Any]:
        for image in self._images:
            yield SimpleNamespace(decode=lambda image=image: self._decoded(image))

    @staticmethod
    def _decoded(image: Any) -> list[Any]:
        if isinstance(image, Exception):
            raise image
        return [image]


def test_the_newest_image_of_a_stream_is_taken(film: Path) -> None:
    taken, last = threading.Event(), threading.Event()

    def sent() -> Iterator[Any]:
        """Six images at once, and six more when they are asked for."""
        yield from range(6)
        taken.wait()
        yield from range(6, 12)
        last.wait()

    stream = LiveStream(Container(sent()), 10.0)
    found = []
    for stamp_ns, image in stream.frames():
        found.append((stamp_ns, image))
        if image == 5:
            taken.set()
        if image == 11:
            last.set()
    assert [image for _, image in found] == sorted({image for _, image in found})
    assert {5, 11} <= {image for _, image in found}
    assert (stream.dropped, stream.broken) == (12 - len(found), 0)
    assert found[0][0] == 0 and found[-1][0] > 0


def test_a_webcam_drops_what_is_broken_and_its_end_is_a_fault(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """FFmpeg opens it, here a film of the same kind, whose third image is damaged."""

    def unplugged(packets: Iterator[Any]) -> Iterator[Any]:
        yield from islice(packets, 2)
        yield av.error.InvalidDataError(errno.EINVAL, 'damaged')
        yield from islice(packets, 2)
        raise av.error.FFmpegError(errno.ENODEV, 'No such device')

    def opened(device: str, **given: str) -> Container:
        assert (device, given) == ('/dev/video3', {'format': 'v4l2'})
        container = open_file(str(film))
        images = container.decode(video=0)
        return Container(unplugged(images), container)

    open_file = av.open
    monkeypatch.setattr(streams.av, 'open', opened)
    assert run('webcam:3', tmp_path / 'depth', '--json') == 1
    said = capsys.readouterr()
    assert 'the stream stopped after 4 images (No such device)' in said.err
    summary = json.loads(said.out)
    assert summary['written'] + summary['dropped'] == 4 and summary['written'] >= 1
    assert summary['broken'] == 1


def test_a_stream_that_is_no_live_one_drops_nothing(served: str) -> None:
    opened = open_url(f'{served}/film.ts')
    assert isinstance(opened, Film)
    frames = [picture_of(frame, Levels()).bgr for _, frame in opened.frames()]
    assert len(frames) == 12
    assert np.abs(frames[0].astype(int) - picture(64, 48, 0)).mean() < 10


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ('RTSP out.mp4 --resume', '--resume is for what can be read again'),
        ('RTSP out.mp4 --normalization film', '--normalization film is for a film that can be'),
        ('RTSP out.mp4 --sequence', '--sequence is for a folder or a list, and rtsp://127.0.0.1'),
    ],
)
def test_what_a_live_stream_cannot(
    rtsp: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words.replace('RTSP', rtsp).split()) == 2
    error = capsys.readouterr().err
    assert said in error and not re.search('secret', error)
    if '--sequence' in words:
        # The camera still waits for somebody.
        with closing(
            socket.create_connection(('127.0.0.1', int(rtsp.split(':')[3].split('/')[0])))
        ):
            pass
