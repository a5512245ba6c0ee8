"""The one list of parameters: names, types, defaults, ranges, descriptions, what may change when.

ROS descriptors, config/depth.yaml and docs/parameters.md all come from the fields below. Units
are part of a name: `_s` seconds, `_m` metres.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, get_type_hints

from depth_anything_ros.core.colour import COLORMAPS
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.normalization import Normalization

__all__ = ['Change', 'Entry', 'Parameters', 'Value', 'entries', 'flatten', 'parameters_from_flat']

Value = bool | int | float | str


class Change(Enum):
    """When a parameter may change."""

    LIVE = 'any time; applies from the next frame'
    UNCONFIGURED = 'while unconfigured; takes effect on the next configure'
    INACTIVE = 'while unconfigured or inactive; takes effect on the next activate'
    START = 'at start-up only'


@dataclass(frozen=True)
class Entry:
    """One parameter: `name` is dotted, `kind` is bool, int, float or str."""

    name: str
    kind: type
    default: Value
    description: str
    change: Change
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """Say which values are allowed; '' where any value of the type is."""
        if self.choices:
            return ' | '.join(self.choices)
        if self.minimum is not None:
            return f'{self.minimum:g} to {self.maximum:g}'
        return ''

    def check(self, value: object) -> Value:
        """Return `value` as the entry's type, or raise a SettingError that says what is wrong."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if type(value) is not self.kind:
            raise SettingError(
                f'{self.name} is {value!r}, a {type(value).__name__}: give a {self.kind.__name__}'
            )
        if self.choices and value not in self.choices:
            raise SettingError(
                f"{self.name} is '{value}': choose one of {', '.join(self.choices)}"
            )
        # Written so that NaN fails too.
        if self.minimum is not None and not self.minimum <= value <= self.maximum:  # type: ignore[operator]
            raise SettingError(f'{self.name} is {value}: it must lie in {self.allowed}')
        return value  # type: ignore[return-value]


def _param(
    default: Value,
    description: str,
    change: Change = Change.LIVE,
    *,
    between: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    low, high = between or (None, None)
    rest = {
        'description': description,
        'change': change,
        'minimum': low,
        'maximum': high,
        'choices': choices,
    }
    return field(default=default, metadata=rest)


@dataclass(frozen=True)
class OutputParameters:
    """What is published, whatever it shows."""

    max_side: int = _param(
        0,
        'Longest side of every published image in pixels; 0 keeps the size of the input image.',
        between=(0, 16384),
    )
    jpeg_quality: int = _param(
        90, 'JPEG quality of ~/relative/image_color/compressed, in percent.', between=(1, 100)
    )


@dataclass(frozen=True)
class RelativeParameters:
    """How raw inverse depth becomes [0, 1]."""

    normalization: str = _param(
        'percentile',
        'Bounds that become 0 and 1: the 2nd and 98th percentile of the frame, or its minimum and '
        'maximum.',
        choices=tuple(n.value for n in Normalization),
    )
    smoothing_s: float = _param(
        0.5,
        'Time constant, in seconds of image stamps, over which the bounds follow the scene; 0 '
        'normalises every frame by itself.',
        between=(0.0, 60.0),
    )


@dataclass(frozen=True)
class ColorParameters:
    """How normalised inverse depth is drawn."""

    map: str = _param(
        'spectral_r', 'Colormap of ~/relative/image_color.', choices=tuple(COLORMAPS)
    )


@dataclass(frozen=True)
class DiagnosticsParameters:
    """When /diagnostics warns."""

    period_s: float = _param(
        1.0, 'Seconds between two messages on /diagnostics.', Change.START, between=(0.1, 60.0)
    )
    stale_after_s: float = _param(
        2.0,
        'Seconds without an image after which throughput and ~/status warn.',
        between=(0.1, 3600.0),
    )
    max_latency_s: float = _param(
        1.0,
        'Median receive-to-publish latency in seconds above which latency is a warning.',
        between=(0.001, 3600.0),
    )


@dataclass(frozen=True)
class Parameters:
    """Every parameter of the node, with its default."""

    variant: str = _param(
        'vits',
        'Network: vits (25 M parameters, Apache-2.0), vitb (97 M) or vitl (335 M), both '
        'CC-BY-NC-4.0; vitg was announced and never released; demo is the small one inside this '
        'package, for demonstrations and tests, not for robots.',
        Change.UNCONFIGURED,
        choices=('vits', 'vitb', 'vitl', 'vitg', 'demo'),
    )
    checkpoint: str = _param(
        'relative',
        'What the weights were trained to give: relative inverse depth, or metres indoors (to 20 '
        'm) or outdoors (to 80 m).',
        Change.UNCONFIGURED,
        choices=('relative', 'metric_indoor', 'metric_outdoor'),
    )
    weights: str = _param(
        '',
        "Path of a checkpoint; '' takes the released one from the cache or the hub; 'random' runs "
        'an untrained network, for trying the plumbing only.',
        Change.UNCONFIGURED,
    )
    allow_download: bool = _param(True, 'Fetch missing weights from the hub.', Change.UNCONFIGURED)
    device: str = _param(
        'auto',
        'Where the network runs: cpu, cuda, cuda:N, or auto for CUDA where there is one.',
        Change.UNCONFIGURED,
    )
    backend: str = _param(
        'auto',
        'What runs the network; auto takes the fastest one installed for the device.',
        Change.UNCONFIGURED,
        choices=('auto', 'torch', 'upstream'),
    )
    precision: str = _param(
        'auto',
        'Arithmetic of the network; auto is fp16 on CUDA and fp32 on a CPU.',
        Change.UNCONFIGURED,
        choices=('auto', 'fp32', 'fp16', 'bf16'),
    )
    input_size: int = _param(
        518,
        'Shorter side, in pixels, that an image is resized to before the network, rounded to '
        'multiples of 14; smaller is faster and coarser.',
        Change.UNCONFIGURED,
        between=(56, 2072),
    )
    threads: int = _param(
        0,
        'CPU threads the network may use; 0 leaves it to the backend.',
        Change.UNCONFIGURED,
        between=(0, 1024),
    )
    image_transport: str = _param(
        'raw',
        'raw subscribes to image (sensor_msgs/Image), compressed to image/compressed '
        '(sensor_msgs/CompressedImage).',
        Change.INACTIVE,
        choices=('raw', 'compressed'),
    )
    rectified: bool = _param(
        True,
        'The image is rectified: P of camera_info holds and there is no distortion. False: K and '
        'D hold.',
    )
    max_image_age_s: float = _param(
        0.0,
        'Images older than this many seconds when they arrive are dropped; 0 drops none for its '
        'age. Beyond 10 s the clocks disagree, and nothing is dropped.',
        between=(0.0, 10.0),
    )
    max_image_megapixels: float = _param(
        64.0,
        'Images of more megapixels are refused before they are decoded.',
        between=(0.01, 1000.0),
    )
    autostart: bool = _param(
        True,
        "Configure and activate by itself; false leaves it to a lifecycle manager such as Nav2's.",
        Change.START,
    )
    output: OutputParameters = field(default_factory=OutputParameters)
    relative: RelativeParameters = field(default_factory=RelativeParameters)
    color: ColorParameters = field(default_factory=ColorParameters)
    diagnostics: DiagnosticsParameters = field(default_factory=DiagnosticsParameters)


def entries(tree: type = Parameters, prefix: str = '') -> list[Entry]:
    """List every parameter of `tree` in the order of its fields."""
    kinds = get_type_hints(tree)
    found: list[Entry] = []
    for item in dataclasses.fields(tree):
        kind = kinds[item.name]
        if dataclasses.is_dataclass(kind):
            assert isinstance(kind, type)
            found += entries(kind, f'{prefix}{item.name}.')
        else:
            default: Any = item.default
            found.append(Entry(prefix + item.name, kind, default, **item.metadata))
    return found


def flatten(tree: object, prefix: str = '') -> dict[str, Value]:
    """Give every parameter of an instance by its dotted name."""
    flat: dict[str, Value] = {}
    for item in dataclasses.fields(tree):  # type: ignore[arg-type]
        value = getattr(tree, item.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f'{prefix}{item.name}.')
        else:
            flat[prefix + item.name] = value
    return flat


def parameters_from_flat(flat: Mapping[str, object]) -> Parameters:
    """Build the tree from dotted names; those not named keep their defaults.

    Raises SettingError for an unknown name, a wrong type or a value out of range.
    """
    known = {entry.name: entry for entry in entries()}
    for name in flat:
        if name not in known:
            raise SettingError(f"there is no parameter '{name}': see docs/parameters.md")
    checked = {name: known[name].check(value) for name, value in flat.items()}
    tree: Parameters = _build(Parameters, checked, '')
    return tree


def _build(tree: type, flat: Mapping[str, Value], prefix: str) -> Any:
    kinds = get_type_hints(tree)
    given: dict[str, Any] = {}
    for item in dataclasses.fields(tree):
        name = prefix + item.name
        kind = kinds[item.name]
        if dataclasses.is_dataclass(kind):
            assert isinstance(kind, type)
            given[item.name] = _build(kind, flat, name + '.')
        elif name in flat:
            given[item.name] = flat[name]
    return tree(**given)
