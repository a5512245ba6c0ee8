"""Find, download and verify a weights file: a path, the cache or the hub, and its sha256.

`find` never uses the network and may run inside a lifecycle transition; `fetch` downloads and
belongs in a worker. No torch here: model/network/checkpoint.py loads a file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.model import hub, releases
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.releases import PACKAGED, Release, release_for
from depth_anything_ros.model.variants import ANNOUNCED, Checkpoint, get_variant
from depth_anything_ros.model.weights_file import (
    RANDOM,
    WeightsFile,
    check_file,
    damage,
    described_file,
    given_path,
    hashed,
)

__all__ = ['card_of', 'fetch', 'find', 'locate']


def locate(
    variant: str,
    checkpoint: Checkpoint,
    weights: str = '',
    allow_download: bool = False,
    on_progress: hub.OnProgress | None = None,
) -> WeightsFile:
    """Return the weights, downloaded where that is allowed and no path is given.

    `weights` is '' (this package, the cache, then the hub), a file, a card, a folder that holds
    the released file, or 'random'. Raises WeightsError, one line that names the fix.
    """
    if allow_download and not weights and variant not in PACKAGED:
        return fetch(variant, checkpoint, on_progress)
    return find(variant, checkpoint, weights)


def find(variant: str, checkpoint: Checkpoint, weights: str = '') -> WeightsFile:
    """Return the weights on disk, verified, as `locate` does, without the network.

    Takes milliseconds for a file that was verified before, else as long as hashing it (about
    0.1 s per 100 MB). Raises WeightsError; SettingError for an unknown variant.
    """
    get_variant(variant)
    asked = Card.of_checkpoint(variant, checkpoint)
    if weights == RANDOM:
        return WeightsFile(None, '', asked, known=False, random=True)
    if weights:
        path = given_path(weights)
        if path.is_dir():
            path = _in_folder(path, release_for(variant, checkpoint))
        return described_file(path) or check_file(path, variant, checkpoint)
    if variant in PACKAGED and checkpoint is Checkpoint.RELATIVE:
        own = PACKAGED[variant]
        return WeightsFile(own, hashed(own), replace(asked, licence='Apache-2.0'), known=True)
    row = _released(variant, checkpoint)
    cached = hub.cached(row)
    if cached is None:
        raise WeightsError(
            f'{row.file} ({row.title}) is not in the cache: run `{row.fetch_command}`'
            ' and try again, or set weights to the file'
        )
    sha256 = hashed(cached)
    if sha256 != row.sha256:
        raise WeightsError(
            f'{damage(cached, sha256, row)}: run `{row.fetch_command}`, which downloads it again'
        )
    return _known(cached, row)


def card_of(variant: str, checkpoint: Checkpoint, weights: str) -> Card:
    """Return the card of the network of these parameters, downloaded or not.

    Raises WeightsError, where `weights` is a path, as `find` does.
    """
    if weights in ('', RANDOM):
        return Card.of_checkpoint(variant, checkpoint)
    return find(variant, checkpoint, weights).card


def fetch(
    variant: str, checkpoint: Checkpoint, on_progress: hub.OnProgress | None = None
) -> WeightsFile:
    """Return the released file from the cache, or download it; a damaged copy is replaced.

    Blocks while it downloads. Raises WeightsError; SettingError for an unknown variant.
    """
    get_variant(variant)
    if variant in PACKAGED and checkpoint is Checkpoint.RELATIVE:
        raise WeightsError(f'the weights of {variant} are inside the package: fetch no others')
    row = _released(variant, checkpoint)
    path = hub.cached(row)
    if path is not None and _is_whole(path, row):
        return _known(path, row)
    try:
        path = hub.download(row, on_progress, force=path is not None)
    except WeightsError as err:
        if path is None:
            raise
        raise WeightsError(f'{path} is damaged and cannot be replaced: {err}') from err
    sha256 = hashed(path)
    if sha256 != row.sha256:
        raise WeightsError(
            f'{damage(path, sha256, row)}, as {hub.endpoint()} sent it: run'
            f' `{row.fetch_command}` again, and if that changes nothing look for a proxy or a'
            ' mirror (HF_ENDPOINT) that alters files'
        )
    return _known(path, row)


def _in_folder(folder: Path, row: Release | None) -> Path:
    transformers = folder / 'model.safetensors'
    if row is None or not (folder / row.file).exists():
        if transformers.exists():
            return transformers
        lack = f' holds no {row.file} ({row.title}): put it there, or' if row else ' is a folder:'
        raise WeightsError(f'the folder {folder}{lack} set weights to the file in it')
    return folder / row.file


def _released(variant: str, checkpoint: Checkpoint) -> Release:
    row = release_for(variant, checkpoint)
    if row is None:
        lack = f'has no released {checkpoint.value} checkpoint'
        if variant in ANNOUNCED:
            lack = 'was announced and never released'
        names = ', '.join(dict.fromkeys(row.variant for row in releases.RELEASES if row.repo_id))
        raise WeightsError(
            f'{variant} {lack}: choose variant {names}, or set weights to a file of your own'
        )
    return row


def _known(path: Path, row: Release) -> WeightsFile:
    return WeightsFile(path, row.sha256, row, known=True)


def _is_whole(path: Path, row: Release) -> bool:
    try:
        return hashed(path) == row.sha256
    except WeightsError:
        return False
