"""What a weights file is: by its card, by its sha256, by its name, or as the parameters say.

No torch here: model/network/checkpoint.py loads a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.model.card import Card, card_beside, is_card, read_card
from depth_anything_ros.model.checksum import sha256_of
from depth_anything_ros.model.releases import PACKAGED, Release, release_named, release_of_sha256
from depth_anything_ros.model.variants import Checkpoint

__all__ = [
    'RANDOM',
    'WeightsFile',
    'check_file',
    'damage',
    'described_file',
    'given_path',
    'hashed',
]

RANDOM = 'random'
"""Value of the `weights` parameter that requests random weights."""

_SUFFIXES = ('.pth', '.safetensors', '.onnx', '.pt', '.ckpt', '.bin')
"""Of the files that a card may be for."""

_ONNX_LINES = 'family: onnx, output: ...'


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that may be loaded, and what is known about it.

    `path` is None and `sha256` empty for random weights. `known` is true where the bytes are those
    of a released file, or that the file is this package's own. `card_path` is the card, or the
    config.json, that describes it. `not_here` says what random ones stand in for.
    """

    path: Path | None
    sha256: str
    card: Card
    known: bool
    random: bool = False
    card_path: Path | None = None
    not_here: str = ''

    @property
    def name(self) -> str:
        """Return a short name: the variant, for ONNX that of the file."""
        return self.card.variant or (self.path.stem if self.path else '')

    @property
    def title(self) -> str:
        """Return what it is, for messages."""
        return f'{self.name} ({self.card.title})' if self.card.is_onnx else self.card.title

    @property
    def parameters(self) -> tuple[str, Checkpoint, str]:
        """Return `variant`, `checkpoint` and `weights` that name it; '' for the released one."""
        card = self.card
        in_hub = isinstance(card, Release) and bool(card.repo_id)
        found = self.known and (self.name in PACKAGED or in_hub)
        weights = '' if found else str(self.card_path or self.path or RANDOM)
        return (
            card.variant or Parameters().variant,
            card.checkpoint or Checkpoint.RELATIVE,
            weights,
        )

    @property
    def doubt(self) -> str:
        """Return why it may not be what it is run as; '' where nothing says so."""
        if self.random:
            why = self.not_here or f'as {self.card_path or "the parameter weights"} asks'
            return f'random weights, {why}: the {self.title} output means nothing'
        if self.known or self.card_path:
            return ''
        what = f'unknown checkpoint {self.path} (sha256 {self.sha256[:12]}): not a released file,'
        if isinstance(self.card, Release):
            return f'{what} run as {self.title} because its name says so'
        return f'{what} run as {self.title} because the parameters say so'

    def notices(self) -> tuple[str, ...]:
        """Return warnings for the user of these weights; empty for most."""
        if self.doubt:
            found = [self.doubt]
        elif self.known and self.name in PACKAGED:
            found = [f'the {self.title} weights are for demonstrations and tests, not for robots']
        else:
            found = []
        if self.card.non_commercial:
            found.append(
                f'{self.title} weights are for non-commercial use only: {self.card.licence}'
            )
        return tuple(found)


def check_file(path: Path, variant: str, checkpoint: Checkpoint) -> WeightsFile:
    """Return what a file without a card is: by its sha256, by its name, or as asked for.

    Raises WeightsError for another released file, for other bytes under the name of a released
    file, for one whose metres nothing explains, and for a file that cannot be read.
    """
    sha256 = hashed(path)
    asked = Card.of_checkpoint(variant, checkpoint)
    row, how = release_of_sha256(sha256), 'the released'
    if row is None and (named := release_named(path)) is not None:
        if named.sha256 and Path(named.file).suffix == path.suffix:
            fix = 'get it again'
            if named.repo_id and named.checkpoint:
                fix = f"run `{named.fetch_command}` and set weights to ''"
            raise WeightsError(
                f'{damage(path, sha256, named)}: delete it, {fix}, or rename it if it is a'
                ' checkpoint of your own'
            )
        row, how = named, 'by its name the'
    if row is not None:
        if (row.variant, row.max_depth_m) == (asked.variant, asked.max_depth_m):
            return WeightsFile(path, sha256, row, known=row.sha256 == sha256)
        kind = row.checkpoint or Checkpoint.RELATIVE
        raise WeightsError(
            f'{path} is {how} {row.title} file, not {asked.title}: set variant to {row.variant}'
            f' and checkpoint to {kind.value}, or give another file'
        )
    if path.suffix == '.onnx' or asked.metric:
        lines = asked.text if asked.metric and path.suffix != '.onnx' else _ONNX_LINES
        lines = re.sub('max_depth_m: .*', 'max_depth_m: METRES', lines).replace('\n', ', ')
        raise WeightsError(
            f'{path} is not a released file, and what its output means cannot be seen in it: write'
            f' the card {path.with_suffix(".yaml")} ({lines}), see docs/networks.md'
        )
    return WeightsFile(path, sha256, asked, known=False)


def described_file(given: Path) -> WeightsFile | None:
    """Return what the card at `given`, or beside it, describes; None where there is no card."""
    card_path = given if is_card(given) else card_beside(given)
    if card_path is None:
        return None
    card = read_card(card_path)
    if card.file == RANDOM and given == card_path and not card.is_onnx:
        return WeightsFile(None, '', card, known=False, random=True, card_path=card_path)
    path = _file_of(card, card_path) if given == card_path else given
    if card.file and card_path.parent / card.file != path:
        raise WeightsError(
            f'card {card_path}: file is {card.file}, and weights names {path}: correct one of them'
        )
    if (path.suffix == '.onnx') != card.is_onnx:
        raise WeightsError(
            f'card {card_path}: family is {card.family}, and {path} ends in {path.suffix}: files'
            ' of family onnx end in .onnx, weights in .pth or .safetensors'
        )
    sha256 = hashed(path)
    if card.sha256 not in ('', sha256):
        raise WeightsError(
            f'card {card_path}: sha256 is {card.sha256[:12]}..., and {path} has {sha256[:12]}...:'
            ' get that file again, or correct the card'
        )
    row = release_of_sha256(sha256)
    if row is not None and (contradiction := card.contradiction(row)):
        raise WeightsError(
            f'card {card_path}: {contradiction} in {path}, the released {row.title} file: correct'
            ' the card, or remove it'
        )
    if row is not None and not card.licence:
        card = replace(card, licence=row.licence)
    return WeightsFile(path, sha256, card, known=row is not None, card_path=card_path)


def _file_of(card: Card, card_path: Path) -> Path:
    """Return the file that a card is for."""
    if card_path.suffix == '.json':
        return card_path.with_name('model.safetensors')
    if card.file:
        return given_path(str(card_path.parent / card.file))
    beside = [card_path.with_suffix(suffix) for suffix in _SUFFIXES]
    found = [path for path in beside if path.is_file()]
    if len(found) != 1:
        what = 'several files' if found else 'no file'
        raise WeightsError(
            f'card {card_path}: file is missing, and {what} of its name beside it: add'
            f' `file: NAME`, with one of {", ".join(_SUFFIXES)}'
        )
    return found[0]


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


def hashed(path: Path) -> str:
    """Return the sha256 of a file; WeightsError where it cannot be read or is empty."""
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


def damage(path: Path, sha256: str, row: Release) -> str:
    """Return how a file differs from the released one that it should be."""
    of = f' of {row.size_bytes}' if row.size_bytes else ''
    return (
        f'{path} is damaged or truncated: {path.stat().st_size}{of} bytes,'
        f' sha256 {sha256[:12]}, but the released {row.title} file has {row.sha256[:12]}'
    )
