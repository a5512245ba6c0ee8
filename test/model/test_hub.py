"""The real huggingface_hub against a hub served on 127.0.0.1.

It reads its settings when it is imported, so each case is a process of its own, with the
environment that a user would set.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_hub import LIMIT_S, FakeHub, release, release_json, serving

from depth_anything_ros.model.releases import Release

COMMIT = '0123456789abcdef0123456789abcdef01234567'
CONTENT = random.Random(0).randbytes(21 << 20)  # three of huggingface_hub's 10 MiB chunks
ROW = release(CONTENT, 'Apache-2.0', revision=COMMIT)
CHILD = """
import json, sys, time
from dataclasses import replace
from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.model import releases, weights
from depth_anything_ros.model.releases import Release
from depth_anything_ros.model.variants import Checkpoint

row = Release(**json.loads(sys.argv[1]))
releases.RELEASES = [row]
results = []
for verb in sys.argv[2:]:
    progress = []
    options = {'on_progress': lambda *step: progress.append(step)} if verb == 'fetch' else {}
    result = {'verb': verb, 'progress': progress, 'known': False, 'path': '', 'error': ''}
    start = time.monotonic()
    try:
        file = getattr(weights, verb)('vits', row.checkpoint, **options)
        result |= {'path': str(file.path), 'known': file.known}
    except WeightsError as err:
        result['error'] = str(err)
    results.append(result | {'s': time.monotonic() - start})
assert 'torch' not in sys.modules
print(json.dumps(results))
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub(ROW, CONTENT)) as server:
        yield server


class User:
    """Runs `find` and `fetch` in fresh processes, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(('HF_', 'HUGGINGFACE_')) and not name.lower().endswith('_proxy')
        }
        self.env = {**kept, 'HF_HOME': str(home / 'hf'), 'XDG_CACHE_HOME': str(home / 'xdg')}

    def start(
        self, url: str, *verbs: str, row: Release = ROW, **env: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, '-c', CHILD, release_json(row), *verbs],
            env={**self.env, 'HF_ENDPOINT': url, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, url: str, *verbs: str, **env: str) -> list[dict[str, Any]]:
        return results_of(self.start(url, *verbs, **env))

    def fetch(self, url: str, **env: str) -> dict[str, Any]:
        return self.run(url, 'fetch', **env)[0]


def results_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == 0, err
    results: list[dict[str, Any]] = json.loads(out)
    assert not any('\n' in result['error'] for result in results)
    return results


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


class Waiting:
    """Downloads that wait for seconds, as long as huggingface_hub tries."""

    def __init__(self, folder: Path, silent_url: str, cutting: FakeHub) -> None:
        self.silent_url, self.cutting_url = silent_url, cutting.url
        self.cut_user = User(folder / 'cut')
        self.patient = User(folder / 'patient').start(silent_url, 'fetch')
        self.hasty = User(folder / 'hasty').start(silent_url, 'fetch', HF_HUB_ETAG_TIMEOUT='1')
        self.cut = self.cut_user.start(cutting.url, 'fetch')


@pytest.fixture(scope='module', autouse=True)
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Waiting]:
    """Start them before the other tests, which run meanwhile."""
    with (
        socket.create_server(('127.0.0.1', 0)) as silent,
        serving(FakeHub(ROW, CONTENT)) as cutting,
    ):
        cutting.always_cut = True
        url = f'http://127.0.0.1:{silent.getsockname()[1]}'
        started = Waiting(tmp_path_factory.mktemp('waiting'), url, cutting)
        yield started
        for process in (started.patient, started.hasty, started.cut):
            process.kill()
            process.communicate()


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Return an address that refuses connections: bound, so no one else's, but not listening."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        yield f'http://127.0.0.1:{taken.getsockname()[1]}'


def _cached_files(home: Path) -> list[Path]:
    return [path for path in (home / 'hf').rglob('*') if path.is_file() and path.stat().st_size]


def test_fetch_downloads_with_progress_then_works_offline(
    hub: FakeHub, user: User, nowhere: str
) -> None:
    missing, fetched = user.run(hub.url, 'find', 'fetch')
    assert 'is not in the cache' in missing['error']
    path = Path(fetched['path'])
    assert fetched['known'] and path.is_relative_to(user.home / 'hf')
    assert path.name == ROW.file and path.read_bytes() == CONTENT
    assert fetched['progress'] == [
        [100 * done / len(CONTENT), done, len(CONTENT)]
        for done in (10 << 20, 20 << 20, len(CONTENT))
    ]
    for env in ({}, {'HF_HUB_OFFLINE': '1'}):
        for again in user.run(nowhere, 'find', 'fetch', **env):
            assert (again['path'], again['progress']) == (str(path), [])


def test_find_never_asks_the_hub(hub: FakeHub, user: User) -> None:
    user.run(hub.url, 'find')
    assert hub.requests == []


def test_a_cut_connection_is_resumed(hub: FakeHub, user: User) -> None:
    hub.cut_at = [15 << 20]
    assert user.fetch(hub.url)['known']
    assert hub.requests[-1].endswith(f'bytes={10 << 20}-')


def test_a_file_that_the_hub_lacks(hub: FakeHub, user: User) -> None:
    hub.status = 404
    message = user.fetch(hub.url)['error']
    assert f'{hub.url} has no {ROW.repo_id}/{ROW.file}' in message
    assert '(HTTP 404)' in message and 'HF_ENDPOINT' in message


def test_a_hub_in_trouble(hub: FakeHub, user: User) -> None:
    hub.status = 503
    assert 'HTTP 503; try again later' in user.fetch(hub.url)['error']


def test_a_login_page_is_no_hub(hub: FakeHub, user: User) -> None:
    hub.is_hub = False
    assert 'does not answer like a Hugging Face hub' in user.fetch(hub.url)['error']
    assert hub.requests == ['HEAD']


@pytest.mark.parametrize('field', ['etag', 'commit'])
def test_a_hub_cannot_name_a_place_outside_the_cache(hub: FakeHub, user: User, field: str) -> None:
    setattr(hub, field, '../../../../witness')
    assert 'does not answer like a Hugging Face hub' in user.fetch(hub.url)['error']
    assert hub.requests == ['HEAD']
    assert _cached_files(user.home) == []


def test_other_bytes_of_the_right_size_are_refused_and_replaced(hub: FakeHub, user: User) -> None:
    hub.content = b'x' + CONTENT[1:]
    fetched, found = user.run(hub.url, 'fetch', 'find')
    assert 'is damaged or truncated' in fetched['error']
    assert f'as {hub.url} sent it' in fetched['error']
    assert f'run `{ROW.fetch_command}`' in found['error']
    hub.content = CONTENT
    assert all(result['known'] for result in user.run(hub.url, 'fetch', 'find'))


def test_a_damaged_cached_file_is_downloaded_again(hub: FakeHub, user: User) -> None:
    path = Path(user.fetch(hub.url)['path'])
    os.truncate(path, 1000)
    found, fetched = user.run(hub.url, 'find', 'fetch')
    assert f'1000 of {len(CONTENT)} bytes' in found['error']
    assert fetched['known'] and path.read_bytes() == CONTENT


def test_no_network_is_an_error_at_once(user: User, nowhere: str) -> None:
    result = user.fetch(nowhere)
    assert f'cannot reach {nowhere}' in result['error'] and result['s'] < 5
    assert ROW.fetch_command in result['error']


def test_offline_mode_is_an_error_at_once(hub: FakeHub, user: User) -> None:
    assert 'HF_HUB_OFFLINE forbids' in user.fetch(hub.url, HF_HUB_OFFLINE='1')['error']
    assert hub.requests == []


def test_offline_a_damaged_copy_is_named(hub: FakeHub, user: User) -> None:
    path = Path(user.fetch(hub.url)['path'])
    path.write_bytes(b'damaged')
    error = user.fetch(hub.url, HF_HUB_OFFLINE='1')['error']
    assert error.startswith(f'{path} is damaged and cannot be replaced: ')
    assert 'HF_HUB_OFFLINE forbids' in error


def test_a_cache_that_cannot_be_written(hub: FakeHub, user: User) -> None:
    # A folder under a regular file cannot be made, not even by root.
    (user.home / 'file').touch()
    message = user.fetch(hub.url, HF_HOME=str(user.home / 'file' / 'hf'))['error']
    assert f'into the cache {user.home}/file/hf/hub: Not a directory' in message
    assert 'set HF_HOME' in message
    assert hub.count('GET') == 0


def test_a_disk_without_room_is_not_filled(hub: FakeHub, user: User) -> None:
    # No disk has a billion gigabytes.
    (result,) = results_of(user.start(hub.url, 'fetch', row=replace(ROW, size_bytes=10**18)))
    assert f'{ROW.file} has 1000000000000 MB and the disk of the cache' in result['error']
    assert 'make room' in result['error'] and 'set HF_HOME' in result['error']
    assert hub.count('GET') == 0
    assert _cached_files(user.home) == []


def test_two_processes_share_one_download(hub: FakeHub, user: User) -> None:
    # Each asks twice before it downloads: the body waits until both are past that.
    hub.heads_before_body = 4
    both = [user.start(hub.url, 'fetch') for _ in range(2)]
    (first,), (second,) = (results_of(process) for process in both)
    assert first['path'] == second['path']
    assert first['known'] and second['known']
    assert hub.count('GET') == 1


def test_a_silent_hub_is_an_error_before_retries(waiting: Waiting) -> None:
    # huggingface_hub asks for a list of its own first, for 3 s; its retries would take 23 s.
    reached = f'cannot reach {waiting.silent_url} within'
    (result,) = results_of(waiting.hasty)
    assert f'{reached} 1 s (HF_HUB_ETAG_TIMEOUT)' in result['error']
    (result,) = results_of(waiting.patient)
    assert f'{reached} 3.5 s' in result['error'] and result['s'] < 15
    assert 'timed out' in result['error'] and ROW.fetch_command in result['error']


def test_a_connection_that_is_always_cut_is_one_error(waiting: Waiting) -> None:
    (result,) = results_of(waiting.cut)
    message = result['error']
    assert f'downloading {ROW.file} from {waiting.cutting_url} broke off' in message
    assert 'fix the network' in message and ROW.fetch_command in message
    # Nothing is left that could pass for the file.
    left = (waiting.cut_user.home / 'hf').rglob('*')
    assert not [path for path in left if path.name == ROW.file]
