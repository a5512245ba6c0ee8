"""Find, download and verify a weights file: a path, the cache or the hub, and its sha256.

`find` never uses the network and may run inside a lifecycle transition; `fetch` downloads and
belongs in a worker. No torch here: model/network/checkpoint.py loads a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.model import hub, releases
from depth_anything_ros.model.checksum import sha256_of
from depth_anything_ros.model.releases import PACKAGED, Release, release_for, release_of_sha256
from depth_anything_ros.model.variants import Checkpoint, get_variant

__all__ = ['RANDOM', 'WeightsFile', 'check_file', 'fetch', 'find', 'given_path', 'locate']

RANDOM = 'random'
"""Value of the `weights` parameter that requests random weights."""


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that may be loaded, and what is known about it.

    `path` is None and `sha256` empty for random weights. `known` is true where the bytes are those
    of the released file for this variant and checkpoint, or that the file is this package's own.
    """

    path: Path | None
    sha256: str
    variant: str
    checkpoint: Checkpoint
    licence: str
    known: bool
    random: bool = False

    @property
    def parameters(self) -> tuple[str, Checkpoint, str]:
        """Return `variant`, `checkpoint` and `weights` that name it; '' for the released one."""
        return self.variant, self.checkpoint, '' if self.known else str(self.path or RANDOM)

    def notices(self) -> tuple[str, ...]:
        """Return warnings for the user of these weights; empty for most."""
        title = f'{self.variant} {self.checkpoint.value}'
        if self.random:
            return (f'random weights, as weights:=random asks: the {title} output means nothing',)
        if not self.known:
            return (
                f'unknown checkpoint {self.path} (sha256 {self.sha256[:12]}): not a released'
                f' file, run as {title} because the parameters say so',
            )
        if self.variant in PACKAGED:
            return (f'the {title} weights are for demonstrations and tests, not for robots',)
        if 'NC' in self.licence:
            return (f'{title} weights are for non-commercial use only: {self.licence}',)
        return ()


def locate(
    variant: str,
    checkpoint: Checkpoint,
    weights: str = '',
    allow_download: bool = False,
    on_progress: hub.OnProgress | None = None,
) -> WeightsFile:
    """Return the weights, downloaded where that is allowed and no path is given.

    `weights` is '' (this package, the cache, then the hub), a file, a folder that holds the
    released file, or 'random'. Raises WeightsError, one line that names the fix.
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
    if weights == RANDOM:
        return WeightsFile(None, '', variant, checkpoint, '', known=False, random=True)
    if weights:
        path = given_path(weights)
        if path.is_dir():
            path = _in_folder(path, release_for(variant, checkpoint))
        return check_file(path, variant, checkpoint)
    if variant in PACKAGED and checkpoint is Checkpoint.RELATIVE:
        own = PACKAGED[variant]
        return WeightsFile(own, _sha256(own), variant, checkpoint, 'Apache-2.0', known=True)
    row = _released(variant, checkpoint)
    cached = hub.cached(row)
    if cached is None:
        raise WeightsError(
            f'{row.filename} ({row.title}) is not in the cache: run `{row.fetch_command}`'
            ' and try again, or set weights to the file'
        )
    sha256 = _sha256(cached)
    if sha256 != row.sha256:
        raise WeightsError(
            f'{_damage(cached, sha256, row)}: run `{row.fetch_command}`, which downloads it again'
        )
    return _known(cached, row)


def fetch(
    variant: str, checkpoint: Checkpoint, on_progress: hub.OnProgress | None = None
) -> WeightsFile:
    """Return the released file from the cache, or download it; a damaged copy is replaced.

    Blocks while it downloads. Raises WeightsError; SettingError for an unknown variant.
    """
    get_variant(variant)
    row = _released(variant, checkpoint)
    path = hub.cached(row)
    if path is not None and _is_whole(path, row):
        return _known(path, row)
    path = hub.download(row, on_progress, force=path is not None)
    sha256 = _sha256(path)
    if sha256 != row.sha256:
        raise WeightsError(
            f'{_damage(path, sha256, row)}, as {hub.endpoint()} sent it: run'
            f' `{row.fetch_command}` again, and if that changes nothing look for a proxy or a'
            ' mirror (HF_ENDPOINT) that alters files'
        )
    return _known(path, row)


def check_file(path: Path, variant: str, checkpoint: Checkpoint) -> WeightsFile:
    """Return what a file is by its sha256: the released one, or the user's own (`known` False).

    Raises WeightsError for another released file, for other bytes under the name of a released
    file, and for a file that cannot be read.
    """
    sha256 = _sha256(path)
    row = release_of_sha256(sha256)
    if row is not None:
        if (row.variant, row.checkpoint) == (variant, checkpoint):
            return _known(path, row)
        raise WeightsError(
            f'{path} is the released {row.title} file, not {variant} {checkpoint.value}: set'
            f' variant:={row.variant} checkpoint:={row.checkpoint.value}, or give another file'
        )
    for row in releases.RELEASES:
        if row.filename == path.name:
            raise WeightsError(
                f'{_damage(path, sha256, row)}: delete it, run `{row.fetch_command}` and set'
                " weights to '', or rename it if it is a checkpoint of your own"
            )
    return WeightsFile(path, sha256, variant, checkpoint, 'unknown', known=False)


def given_path(weights: str) -> Path:
    """Return the existing path that the `weights` parameter names; else raise WeightsError."""
    try:
        path = Path(weights).expanduser()
        path.stat()
    # ValueError: a null character. RuntimeError: the home of an unknown user.
    except (OSError, ValueError, RuntimeError) as err:
        reason = getattr(err, 'strerror', None) or str(err)
        raise WeightsError(
            f'cannot find the weights {weights!r}: {reason}; fix the path, or set weights to'
            " '' for the released file"
        ) from err
    return path


def _in_folder(folder: Path, row: Release | None) -> Path:
    if row is None:
        raise WeightsError(f'{folder} is a folder: set weights to the file in it')
    if not (folder / row.filename).exists():
        raise WeightsError(
            f'the folder {folder} holds no {row.filename} ({row.title}): put it there, or set'
            ' weights to the file itself'
        )
    return folder / row.filename


def _released(variant: str, checkpoint: Checkpoint) -> Release:
    row = release_for(variant, checkpoint)
    if row is None:
        lack = f'has no released {checkpoint.value} checkpoint'
        if variant in releases.ANNOUNCED:
            lack = 'was announced and never released'
        names = ', '.join(dict.fromkeys(row.variant for row in releases.RELEASES))
        raise WeightsError(
            f'{variant} {lack}: choose variant {names}, or set weights to a file of your own'
        )
    return row


def _known(path: Path, row: Release) -> WeightsFile:
    return WeightsFile(path, row.sha256, row.variant, row.checkpoint, row.licence, known=True)


def _is_whole(path: Path, row: Release) -> bool:
    try:
        return _sha256(path) == row.sha256
    except WeightsError:
        return False


def _sha256(path: Path) -> str:
    if not path.is_file():
        raise WeightsError(f'{path} is not a file: set weights to a .pth or .safetensors file')
    try:
        if path.stat().st_size == 0:
            raise WeightsError(f'{path} is empty: delete it and put a whole checkpoint there')
        return sha256_of(path)
    except OSError as err:
        raise WeightsError(
            f'cannot read {path}: {err.strerror}; give this user permission to read it'
        ) from err


def _damage(path: Path, sha256: str, row: Release) -> str:
    return (
        f'{path} is damaged or truncated: {path.stat().st_size} of {row.size_bytes} bytes,'
        f' sha256 {sha256[:12]}, but the released {row.title} file has {row.sha256[:12]}'
    )
