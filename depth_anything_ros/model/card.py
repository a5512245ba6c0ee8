"""A card: what a network is and what its output means, as far as its file does not say.

The fields of `Card` are the fields of the YAML file; docs/networks.md is written from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from depth_anything_ros.core.errors import SettingError, WeightsError
from depth_anything_ros.core.input_format import InputFormat
from depth_anything_ros.core.parameters.entries import Value, entries_of, filled, flatten, param
from depth_anything_ros.model.variants import VARIANTS, Checkpoint, Variant
from depth_anything_ros.settings.plain_yaml import plain_yaml

__all__ = [
    'REQUIRED',
    'Card',
    'Family',
    'Output',
    'card_beside',
    'card_of_values',
    'is_card',
    'read_card',
]

_SUFFIXES = ('.yaml', '.yml')
_CONFIG = 'config.json'
"""What the transformers library writes beside the weights."""

_MOST_BYTES = 1 << 16


class Family(str, Enum):
    """What builds the network."""

    DEPTH_ANYTHING_V2 = 'depth_anything_v2'
    DEPTH_ANYTHING_V1 = 'depth_anything_v1'
    ONNX = 'onnx'


class Output(str, Enum):
    """What the values of a network's output mean."""

    RELATIVE_INVERSE_DEPTH = 'relative_inverse_depth'
    RELATIVE_DEPTH = 'relative_depth'
    LOG_DEPTH = 'log_depth'
    METRIC_DEPTH = 'metric_depth'
    METRIC_INVERSE_DEPTH = 'metric_inverse_depth'

    @property
    def metric(self) -> bool:
        """Whether it is in metres, or in 1/m."""
        return self in (Output.METRIC_DEPTH, Output.METRIC_INVERSE_DEPTH)


def _sha256(text: str) -> None:
    if text and re.fullmatch('[0-9a-f]{64}', text) is None:
        raise SettingError(f"'{text}': give 64 lower-case hexadecimal digits, as sha256sum prints")


def _inside(text: str) -> None:
    if '\0' in text or Path(text).is_absolute() or '..' in Path(text).parts:
        raise SettingError(f'{text!r}: name a file in the folder of the card, or below it')


@dataclass(frozen=True, kw_only=True)
class Card:
    """One network; see `read_card` for where it comes from."""

    family: str = param(
        '',
        'What builds the network: depth_anything_v2 and depth_anything_v1 are files of weights '
        '(.pth, .safetensors) of that layout, onnx is a whole network. V1 has the parameters of '
        'V2, and its head reads other blocks.',
        choices=tuple(each.value for each in Family),
    )
    output: str = param(
        '',
        'What its values mean. Relative ones have an unknown scale; inverse depth may be shifted, '
        'too, depth and the natural logarithm of depth (log_depth) may not. Metric ones are '
        'metres, or 1/m. Depth Anything gives relative_inverse_depth or metric_depth.',
        choices=tuple(each.value for each in Output),
    )
    variant: str = param(
        '', 'Size of a Depth Anything network; not for onnx.', choices=('', *VARIANTS)
    )
    max_depth_m: float = param(
        0.0,
        'Metres at which metric depth ends. A metric Depth Anything network multiplies by it, so '
        'it needs the number of its training; for onnx 0 means no end.',
        between=(0.0, 10000.0),
    )
    focal_constant: float = param(
        0.0,
        'For metric_depth that depends on the focal length: metres = output * focal length / '
        'this constant, with the focal length in pixels of the input of the network. 0: it does '
        'not depend on it.',
        between=(0.0, 100000.0),
    )
    file: str = param(
        '',
        "File of the network, relative to the card; '' is the file beside it with its name, "
        "'random' random weights, for timing.",
        form=_inside,
    )
    sha256: str = param('', 'Of that file; any other content is refused.', form=_sha256)
    licence: str = param('', 'Licence of the weights; NC in it warns of commercial use.')
    source: str = param('', 'Where the file came from.')
    input: InputFormat = field(default_factory=InputFormat)

    def __post_init__(self) -> None:
        if self.family == Family.ONNX:
            self._allow('variant', self.variant == '', "leave it out: it is Depth Anything's")
            metric = Output(self.output).metric
            self._allow('max_depth_m', metric or not self.max_depth_m, 'relative depth has no end')
        elif self.family:
            known = ', '.join(VARIANTS)
            self._allow('variant', self.variant != '', f'choose one of {known}')
            own = (Output.RELATIVE_INVERSE_DEPTH, Output.METRIC_DEPTH)
            self._allow('output', self.output in own, f'{self.family} gives {" or ".join(own)}')
            self._allow('input', self.input == InputFormat(), f'leave it out for {self.family}')
            needs = self.output == Output.METRIC_DEPTH
            fix = 'give the metres that it was trained to' if needs else 'leave it out'
            self._allow('max_depth_m', needs == (self.max_depth_m > 0), f'{fix} ({self.output})')
        by_focal = self.family == Family.ONNX and self.output == Output.METRIC_DEPTH
        fix = 'leave it out: it is for family onnx with output metric_depth'
        self._allow('focal_constant', by_focal or not self.focal_constant, fix)

    def _allow(self, name: str, allowed: bool, fix: str) -> None:
        if not allowed:
            value = getattr(self, name)
            shown = 'given' if name == 'input' else repr(value) if value else 'missing'
            raise SettingError(f'{name} is {shown}: {fix}')

    @classmethod
    def of_checkpoint(cls, variant: str, checkpoint: Checkpoint) -> Card:
        """Return the card of a Depth Anything V2 network by the parameters of these names."""
        return cls(
            family=Family.DEPTH_ANYTHING_V2.value,
            variant=variant,
            output=(
                Output.METRIC_DEPTH if checkpoint.max_depth_m else Output.RELATIVE_INVERSE_DEPTH
            ).value,
            max_depth_m=checkpoint.max_depth_m or 0.0,
        )

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Return the parameter `checkpoint` that means the same; None where none does."""
        if self.family != Family.DEPTH_ANYTHING_V2:
            return None
        ends_m = self.max_depth_m or None
        return next((one for one in Checkpoint if one.max_depth_m == ends_m), None)

    @property
    def kind(self) -> str:
        """Return the parameter `checkpoint`, or what else the output is, as one word."""
        if self.checkpoint or not (self.is_onnx or self.metric):
            return (self.checkpoint or Checkpoint.RELATIVE).value
        return f'{self.output}_{self.max_depth_m:g}m' if self.max_depth_m else self.output

    @property
    def title(self) -> str:
        """Return what it is, for messages, as 'vits relative'."""
        if self.is_onnx:
            return f'onnx {self.output}'
        known = '' if self.family == Family.DEPTH_ANYTHING_V2 else f'{self.family} '
        return f'{known}{self.variant} {self.kind}'

    @property
    def is_onnx(self) -> bool:
        """Whether the file is a whole network."""
        return self.family == Family.ONNX

    @property
    def metric(self) -> bool:
        """Whether the output is in metres, or in 1/m."""
        return Output(self.output).metric

    @property
    def architecture(self) -> Variant:
        """Return what to build for the weights of a Depth Anything network."""
        return _architecture(self.family, self.variant)

    @property
    def pinned_size(self) -> int | None:
        """Return the only input size in pixels; None where the parameter input_size decides."""
        return self.input.pinned_size if self.is_onnx else self.architecture.input_size

    @property
    def non_commercial(self) -> bool:
        """Return whether the licence, or that of its origin, forbids commercial use."""
        return 'NC' in self.licence

    @property
    def text(self) -> str:
        """Return the fields that differ from the defaults, one a line."""
        flat = flatten(self)
        changed = (entry.name for entry in entries_of(Card) if flat[entry.name] != entry.default)
        return '\n'.join(f'{name}: {flat[name]}' for name in changed)

    def contradiction(self, other: Card) -> str:
        """Return the first field that says otherwise than in `other`, with both values, or ''."""
        for name in ('family', 'variant', 'output', 'max_depth_m'):
            own, theirs = getattr(self, name), getattr(other, name)
            if own != theirs:
                return f'{name} is {own}, but it is {theirs}'
        return ''


REQUIRED = ('family', 'output')
"""Fields without a default."""


def read_card(path: Path) -> Card:
    """Return the card in a YAML file; WeightsError, one line, names a wrong or missing field."""
    try:
        with path.open('rb') as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise WeightsError(f'{path} has more than {_MOST_BYTES} bytes: that is not a card')
        values = plain_yaml(content.decode())
    except OSError as err:
        raise WeightsError(
            f'cannot read the card {path}: {err.strerror}; fix the path or its permissions'
        ) from err
    except ValueError as err:
        raise WeightsError(
            f'the card {path} is not valid YAML ({err!s:.200}): fix it there'
        ) from err
    try:
        return card_of_values(_of_transformers(values) if path.name == _CONFIG else values)
    except SettingError as err:
        raise WeightsError(f'card {path}: {err}') from err


def card_of_values(values: object) -> Card:
    """Return the card with these fields; SettingError for what is wrong, unknown or missing."""
    if not isinstance(values, Mapping):
        what = 'is empty' if values is None else f'holds {type(values).__name__}'
        raise SettingError(f'it {what}: give fields like family: onnx')
    inner = values.get('input', {})
    if not isinstance(inner, Mapping):
        raise SettingError(f'input is {inner!r:.60}: give fields like size: 518 below it')
    flat = {str(name): value for name, value in values.items() if name != 'input'}
    flat |= {f'input.{name}': value for name, value in inner.items()}
    known = {entry.name: entry for entry in entries_of(Card)}
    for name in flat:
        if name not in known:
            raise SettingError(f'there is no field {name!r:.60}: give {", ".join(known)}')
    for name in REQUIRED:
        if name not in flat:
            raise SettingError(f'{name} is missing: give one of {", ".join(known[name].choices)}')
    checked: dict[str, Value] = {}
    for name, value in flat.items():
        if isinstance(value, list | dict):
            raise SettingError(f'{name} is a {type(value).__name__}: give one value')
        checked[name] = known[name].check(value)
    given = {name: value for name, value in checked.items() if '.' not in name}
    return Card(**given, input=filled(InputFormat(), checked, 'input.'))  # type: ignore[arg-type]


def is_card(path: Path) -> bool:
    """Return whether a path ends as a card does, or is what stands for one."""
    return path.suffix.lower() in _SUFFIXES or path.name == _CONFIG


def card_beside(path: Path) -> Path | None:
    """Return the card of a weights file: of its name, else the config.json of transformers."""
    beside = [path.with_suffix(suffix) for suffix in _SUFFIXES]
    config = path.with_name(_CONFIG)
    # Others write a file of that name, too.
    with suppress(OSError):
        if path.suffix in ('.safetensors', '.bin'):
            with config.open('rb') as file:
                if b'"depth_anything"' in file.read(_MOST_BYTES):
                    beside.append(config)
    return next((each for each in beside if each.is_file()), None)


def _of_transformers(config: object) -> dict[str, object]:
    """Return the fields of a card that a config.json of the transformers library states."""
    if not isinstance(config, Mapping) or config.get('model_type') != 'depth_anything':
        raise SettingError('it is not a config.json of Depth Anything: write a card of your own')
    backbone = config.get('backbone_config') or {}
    width, taps = backbone.get('hidden_size'), backbone.get('out_indices') or []
    # It counts from the output of the embedding.
    found = [
        (family, variant.name)
        for family in (Family.DEPTH_ANYTHING_V2, Family.DEPTH_ANYTHING_V1)
        for variant in VARIANTS.values()
        if width == variant.embed_dim
        and taps == [index + 1 for index in _architecture(family, variant.name).taps]
    ]
    if not found:
        raise SettingError(
            f'hidden_size {width} with out_indices {taps!r:.60} is not a known network'
        )
    family, variant_name = found[0]
    fields: dict[str, object] = {'family': family.value, 'variant': variant_name}
    if config.get('depth_estimation_type') == 'metric':
        return fields | {
            'output': Output.METRIC_DEPTH.value,
            'max_depth_m': config.get('max_depth', 0),
        }
    return fields | {'output': Output.RELATIVE_INVERSE_DEPTH.value}


def _architecture(family: str, variant: str) -> Variant:
    built = VARIANTS[variant]
    if family == Family.DEPTH_ANYTHING_V1:
        last = built.depth - 1
        built = replace(built, taps=(last - 3, last - 2, last - 1, last))
    return built
