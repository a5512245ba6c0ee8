"""A Hugging Face hub on 127.0.0.1 that serves one file, and the ways in which it can fail."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from depth_anything_ros.model.card import Card
from depth_anything_ros.model.releases import Release
from depth_anything_ros.model.variants import Checkpoint

LIMIT_S = 60
"""Bound on any one wait; all end far sooner."""


def release(
    content: bytes,
    licence: str,
    variant: str = 'vits',
    checkpoint: str = 'relative',
    **changes: str,
) -> Release:
    """A known file with this content, as it would be in released.yaml."""
    named: dict[str, Any] = {
        'file': f'depth_anything_v2_{variant}.pth',
        'repo_id': 'depth-anything/Test',
    }
    card = Card.of_checkpoint(variant, Checkpoint(checkpoint))
    sha256 = hashlib.sha256(content).hexdigest()
    given = vars(card) | named | {'licence': licence, 'sha256': sha256} | changes
    return Release(**given, size_bytes=len(content))


def release_json(row: Release) -> str:
    """What a child process makes it of again: Release(**json.loads(text))."""
    return json.dumps({name: value for name, value in vars(row).items() if name != 'input'})


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve on a thread of its own while the `with` block runs."""
    with hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join(LIMIT_S)


class FakeHub(ThreadingHTTPServer):
    """One repository with one file, and the ways in which it can fail."""

    daemon_threads = True

    def __init__(self, row: Release, content: bytes) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.commit = row.revision
        self.etag = '0123'
        self.file_path = f'/{row.repo_id}/resolve/{row.revision}/{row.file}'
        self.content = content
        self.status = 200
        self.is_hub = True
        self.cut_at: list[int] = []
        """Bytes after which each next GET is cut off."""
        self.always_cut = False
        self.heads_before_body = 0
        self.halfway_waits_for: threading.Event | None = None
        """A GET sends half of the file, then waits for this."""
        self.requests: list[str] = []
        self.changed = threading.Condition()
        self.url = f'http://127.0.0.1:{self.server_address[1]}'

    def note(self, what: str) -> None:
        with self.changed:
            self.requests.append(what)
            self.changed.notify_all()

    def count(self, method: str) -> int:
        return sum(what.startswith(method) for what in self.requests)


class Handler(BaseHTTPRequestHandler):
    """Answers as the real hub does, as far as huggingface_hub asks."""

    server: FakeHub
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""

    def do_HEAD(self) -> None:
        self.server.note('HEAD')
        self._head(0)

    def do_GET(self) -> None:
        hub = self.server
        # huggingface_hub may also ask for lists of its own, which are not there.
        if self.path != hub.file_path:
            self._head(0)
            return
        hub.note(f'GET {self.headers.get("Range", "")}')
        with hub.changed:
            hub.changed.wait_for(lambda: hub.count('HEAD') >= hub.heads_before_body, LIMIT_S)
        start = int(re.sub(r'\D', '', self.headers.get('Range', '')) or 0)
        if not self._head(start):
            return
        body = hub.content[start:]
        if hub.cut_at or hub.always_cut:
            body = body[: hub.cut_at.pop(0) if hub.cut_at else 1000]
            self.close_connection = True
        if hub.halfway_waits_for is not None:
            self.wfile.write(body[: len(body) // 2])
            hub.halfway_waits_for.wait(LIMIT_S)
            body = body[len(body) // 2 :]
        self.wfile.write(body)

    def _head(self, start: int) -> bool:
        hub = self.server
        status = hub.status if self.path == hub.file_path else 404
        if status == 200 and start:
            status = 206
        self.send_response(status)
        size = len(hub.content)
        if hub.is_hub:
            self.send_header('X-Repo-Commit', hub.commit)
            self.send_header('ETag', f'"{hub.etag}"')
        if status == 404:
            self.send_header('X-Error-Code', 'EntryNotFound')
        if status == 206:
            self.send_header('Content-Range', f'bytes {start}-{size - 1}/{size}')
        good = status < 300
        self.send_header('Content-Length', str(size - start if good else 0))
        self.end_headers()
        return good
