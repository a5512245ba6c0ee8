"""The Hugging Face hub: its cache on disk, and a download that reports its progress.

huggingface_hub does the work: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and
the proxy variables mean what its manual says, and its lock lets processes share one download.
It is imported only when used. The content of a file is verified in weights.py.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.model.releases import Release

__all__ = ['OnProgress', 'cached', 'download', 'endpoint']

OnProgress = Callable[[float, int, int], None]
"""Called with (percent 0..100, bytes done, bytes in all) from the downloading thread.

An exception that it raises ends the download.
"""

_HEADERS_TIMEOUT_S = 3.5
"""Limit for the hub's headers; HF_HUB_ETAG_TIMEOUT replaces it where it is set."""

_COPY = 'set weights to a copy of the file'

_PLAIN = re.compile(r'[0-9A-Za-z_-]+')

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A file cannot grow: the disk, the quota or the limit of the process is reached."""


def endpoint() -> str:
    """Return the address of the hub in use."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def cached(row: Release) -> Path | None:
    """Return the file in huggingface_hub's cache, None where absent; never uses the network.

    Raises WeightsError when the cache cannot be read.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    # Other tools cache whatever 'main' is today; the sha256 decides whether it is the same file.
    for revision in dict.fromkeys((row.revision, 'main')):
        try:
            path = try_to_load_from_cache(row.repo_id, row.file, revision=revision)
        except OSError as err:
            raise WeightsError(
                f'cannot read the weights cache {constants.HF_HUB_CACHE}: {err.strerror};'
                ' fix its permissions, or set HF_HOME to another folder'
            ) from err
        if isinstance(path, str):
            return Path(path)
    return None


def download(row: Release, on_progress: OnProgress | None = None, *, force: bool = False) -> Path:
    """Return the file in huggingface_hub's cache after downloading it where it is absent.

    `force` replaces a cached copy. Blocks while bytes arrive, so call it from a worker; a hub that
    accepts no connection or sends no headers is an error after 3.5 s, on a process's first
    request 7 s. Raises WeightsError, one line, whatever fails; the content is not verified.
    """
    from huggingface_hub import hf_hub_download

    _check_hub(row)
    _check_disk_space(row)
    try:
        return Path(
            hf_hub_download(
                row.repo_id,
                row.file,
                revision=row.revision,
                force_download=force,
                tqdm_class=_progress_bar(on_progress, row.size_bytes),
            )
        )
    # Each version of huggingface_hub has its own HTTP library, and so other exceptions.
    except Exception as err:
        raise _explained(err, row, f'downloading {row.file} from {endpoint()} broke off') from err


def _check_hub(row: Release) -> None:
    """Raise WeightsError unless a hub answers a request for the file's headers in time.

    hf_hub_download alone would retry for 23 s without a network.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    chosen = 'HF_HUB_ETAG_TIMEOUT' in os.environ
    timeout_s = float(constants.HF_HUB_ETAG_TIMEOUT) if chosen else _HEADERS_TIMEOUT_S
    url = hf_hub_url(row.repo_id, row.file, revision=row.revision)
    try:
        found = get_hf_file_metadata(url, timeout=timeout_s)
    except Exception as err:
        failed = f'cannot reach {endpoint()} within {timeout_s:g} s (HF_HUB_ETAG_TIMEOUT)'
        raise _explained(err, row, failed) from err
    # huggingface_hub uses both as names of files: an etag '../../x' would be written to.
    if not all(_PLAIN.fullmatch(name or '') for name in (found.commit_hash, found.etag)):
        raise WeightsError(
            f'{endpoint()} does not answer like a Hugging Face hub: get past the login page or'
            f' proxy that may be in between, fix HF_ENDPOINT if it is set, or {_COPY}'
        )


def _check_disk_space(row: Release) -> None:
    """Raise WeightsError where the file would fill the disk of the cache."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    # A cache that cannot be read is reported by the download.
    with suppress(OSError):
        there = next(folder for folder in (cache, *cache.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        if free < row.size_bytes:
            raise WeightsError(
                f'{row.file} has {row.size_bytes / 1e6:.0f} MB and the disk of the cache'
                f' {cache} has {free / 1e6:.0f} MB left: make room, or set HF_HOME to a folder on'
                ' another disk'
            )


def _explained(err: Exception, row: Release, failed: str) -> WeightsError:
    """Return an exception of huggingface_hub as one line that begins with `failed`, if unknown."""
    from huggingface_hub import constants, errors

    if isinstance(err, errors.OfflineModeIsEnabled):
        return WeightsError(
            f'the cache has no whole {row.file}, and HF_HUB_OFFLINE forbids to download it:'
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
                f'{endpoint()} has no {row.repo_id}/{row.file} at revision {row.revision}'
                f' (HTTP {status}): fix HF_ENDPOINT if it names a mirror, or {_COPY}'
            )
        return WeightsError(f'{endpoint()} answered HTTP {status}; try again later, or {_COPY}')
    if isinstance(err, OSError) and err.errno is not None and not isinstance(err, ConnectionError):
        fix = (
            f'make room there for {row.size_bytes / 1e6:.0f} MB, run `{row.fetch_command}`'
            if err.errno in _FULL
            else 'fix that folder'
        )
        return WeightsError(
            f'cannot write {row.file} into the cache {constants.HF_HUB_CACHE}:'
            f' {err.strerror}; {fix}, or set HF_HOME to one that can be written'
        )
    detail = (str(err).splitlines() or [type(err).__name__])[0]
    return WeightsError(
        f'{failed}: {detail}; fix the network and run `{row.fetch_command}`, or {_COPY}'
    )


def _progress_bar(on_progress: OnProgress | None, size_bytes: int) -> type[tqdm[Any]]:
    """Return a class of progress bars that call `on_progress` and draw nothing."""

    class ProgressBar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *_: object, total: int | None = None, initial: int = 0, **__: object):
            super().__init__(total=total or size_bytes, initial=initial, disable=True)

        def update(self, n: float | None = 1) -> bool | None:
            # A disabled bar does not count.
            self.n += n or 0
            if on_progress is not None:
                total = self.total or size_bytes
                on_progress(min(100.0, 100.0 * self.n / total), int(self.n), int(total))
            return None

        def update_transfer(self, n: float | None = 1) -> None:
            """Ignore bytes on the wire: `update` counts them once they are on disk."""

        def set_transfer_postfix_str(self, *_: object, **__: object) -> None:
            """Ignore the rate."""

    return ProgressBar
