"""The Hugging Face hub: its cache on disk, and a download that reports and does not hang.

huggingface_hub does the work: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and
the proxy variables mean what its manual says, and its lock lets processes share one download.
It is imported only when used. Nothing here looks at what a file holds: see weights.py.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_anything_ros.core.errors import WeightsError

if TYPE_CHECKING:
    from depth_anything_ros.model.manifest import Release

__all__ = ['OnProgress', 'cached', 'download', 'endpoint']

OnProgress = Callable[[float, int, int], None]
"""Called with (percent 0..100, bytes done, bytes in all) from the downloading thread.

An exception that it raises ends the download.
"""

_ANSWER_S = 3.5
"""Wait for the hub's first answer, seconds; HF_HUB_ETAG_TIMEOUT replaces it where it is set."""

_COPY = 'set weights to a copy of the file'

_PLAIN = re.compile(r'[0-9A-Za-z_-]+')

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""How a file says that it cannot grow: disk, quota, limit of the process."""


def endpoint() -> str:
    """Return the address of the hub in use."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def cached(row: Release) -> Path | None:
    """Find the file in huggingface_hub's cache; None when absent. Never uses the network.

    Raises WeightsError when the cache cannot be read.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    # Other tools cache whatever 'main' is today; the sha256 decides whether it is the same file.
    for revision in dict.fromkeys((row.revision, 'main')):
        try:
            path = try_to_load_from_cache(row.repo_id, row.filename, revision=revision)
        except OSError as err:
            raise WeightsError(
                f'cannot read the weights cache {constants.HF_HUB_CACHE}: {err.strerror};'
                ' fix its permissions, or set HF_HOME to another folder'
            ) from err
        if isinstance(path, str):
            return Path(path)
    return None


def download(row: Release, on_progress: OnProgress | None = None, *, force: bool = False) -> Path:
    """Download the file into huggingface_hub's cache, or find that it is there by now.

    `force` replaces a cached copy. Blocks for as long as bytes arrive, so call it from a worker;
    a hub that does not answer is given up after 3.5 s. Raises WeightsError, one line, for every
    way in which this fails; the content is not checked.
    """
    from huggingface_hub import hf_hub_download

    _await_hub(row)
    _check_room(row)
    try:
        return Path(
            hf_hub_download(
                row.repo_id,
                row.filename,
                revision=row.revision,
                force_download=force,
                tqdm_class=_progress_bar(on_progress, row.size_bytes),
            )
        )
    # Each version of huggingface_hub has its own HTTP library, and so other exceptions.
    except Exception as err:
        raise _explained(
            err, row, f'downloading {row.filename} from {endpoint()} broke off'
        ) from err


def _await_hub(row: Release) -> None:
    """Ask the hub for the file's headers; WeightsError unless a hub answers in time.

    huggingface_hub retries for 23 s without a network, and a name server that does not answer
    ignores its timeouts: hence one request, in a thread that can be left behind.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    chosen = 'HF_HUB_ETAG_TIMEOUT' in os.environ
    wait_s = float(constants.HF_HUB_ETAG_TIMEOUT) if chosen else _ANSWER_S
    url = hf_hub_url(row.repo_id, row.filename, revision=row.revision)
    outcome: list[Any] = []

    def ask() -> None:
        try:
            # The longer limit ends the thread; the shorter one below ends the wait.
            outcome.append(get_hf_file_metadata(url, timeout=wait_s + 1.0))
        except Exception as err:  # noqa: BLE001, the waiting thread gets it
            outcome.append(err)

    thread = threading.Thread(target=ask, name='hub-answer', daemon=True)
    thread.start()
    thread.join(wait_s)
    if not outcome:
        raise WeightsError(
            f'{endpoint()} did not answer in {wait_s:g} s: connect to the network and run'
            f' `{row.fetch_command}` (HF_HUB_ETAG_TIMEOUT sets more seconds), or {_COPY}'
        )
    answer = outcome[0]
    if isinstance(answer, Exception):
        raise _explained(answer, row, f'cannot reach {endpoint()}') from answer
    # huggingface_hub makes paths of both: '../../x' as an etag would be written to.
    if not all(_PLAIN.fullmatch(name or '') for name in (answer.commit_hash, answer.etag)):
        raise WeightsError(
            f'{endpoint()} does not answer like a Hugging Face hub: get past the login page or'
            f' proxy that may be in between, fix HF_ENDPOINT if it is set, or {_COPY}'
        )


def _check_room(row: Release) -> None:
    """Refuse to fill a disk to the brim, which would harm more than this download."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    # What cannot be looked at is for the download to say.
    with suppress(OSError):
        there = next(folder for folder in (cache, *cache.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        if free < row.size_bytes:
            raise WeightsError(
                f'{row.filename} has {row.size_bytes / 1e6:.0f} MB and the disk of the cache'
                f' {cache} has {free / 1e6:.0f} MB left: make room, or set HF_HOME to a folder on'
                ' another disk'
            )


def _explained(err: Exception, row: Release, failed: str) -> WeightsError:
    """Put an exception of huggingface_hub into one line; `failed` says what was under way."""
    from huggingface_hub import constants, errors

    if isinstance(err, errors.OfflineModeIsEnabled):
        return WeightsError(
            f'{row.filename} is not in the cache and HF_HUB_OFFLINE forbids to download it:'
            f' unset it and run `{row.fetch_command}`, or {_COPY}'
        )
    if isinstance(err, errors.HfHubHTTPError):
        status = err.response.status_code
        if isinstance(
            err,
            (
                errors.RemoteEntryNotFoundError,
                errors.RepositoryNotFoundError,
                errors.RevisionNotFoundError,
            ),
        ):
            return WeightsError(
                f'{endpoint()} has no {row.repo_id}/{row.filename} at revision {row.revision}'
                f' (HTTP {status}): fix HF_ENDPOINT if it names a mirror, or {_COPY}'
            )
        return WeightsError(f'{failed}: it answered HTTP {status}; try again later, or {_COPY}')
    if isinstance(err, OSError) and err.errno is not None and not isinstance(err, ConnectionError):
        fix = (
            f'make room there for {row.size_bytes / 1e6:.0f} MB, run `{row.fetch_command}`'
            if err.errno in _FULL
            else 'fix that folder'
        )
        return WeightsError(
            f'cannot write {row.filename} into the cache {constants.HF_HUB_CACHE}:'
            f' {err.strerror}; {fix}, or set HF_HOME to one that can be written'
        )
    detail = (str(err).splitlines() or [type(err).__name__])[0]
    return WeightsError(
        f'{failed}: {detail}; fix the network and run `{row.fetch_command}`, or {_COPY}'
    )


def _progress_bar(on_progress: OnProgress | None, expected_bytes: int) -> type[Any]:
    """Make the class that huggingface_hub drives in place of tqdm; it prints nothing."""

    class ProgressBar:
        def __init__(self, *, total: int | None = None, initial: int = 0, **_: object) -> None:
            self.total = total or expected_bytes
            self.n = initial

        def update(self, count: int = 1) -> None:
            self.n += count
            if on_progress is not None:
                percent = min(100.0, 100.0 * self.n / self.total)
                on_progress(percent, self.n, self.total)

        def update_transfer(self, count: int) -> None:
            """Ignore bytes on the wire: update() counts the same bytes once they are on disk."""

        def set_postfix_str(self, *_: object, **__: object) -> None:
            """Ignore the rate."""

        set_transfer_postfix_str = set_postfix_str

        def close(self) -> None:
            """Do nothing: there is nothing on the screen."""

        def __enter__(self) -> ProgressBar:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

    return ProgressBar
