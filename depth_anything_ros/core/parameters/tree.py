"""The parameters of the node; those of metric depth are in `metric`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters.entries import Change, Entry, entries_of, filled, param
from depth_anything_ros.core.parameters.metric import (
    AlignmentParameters,
    CloudParameters,
    MetricParameters,
    OdometryParameters,
    ReferenceParameters,
    ScanParameters,
)
from depth_anything_ros.core.types import COLORMAP_NAMES, DepthEncoding, Normalization

__all__ = [
    'DiagnosticsParameters',
    'HealthParameters',
    'OverloadParameters',
    'Parameters',
    'entries',
    'parameters_from_flat',
]

NO_NAME = ('',)
"""One empty name: ROS cannot infer the type of an empty list in a parameter file."""

_CAMERA = re.compile(r'[a-z][a-z0-9_]{0,63}')
# Smaller ones have nothing to normalise.
_LEAST_SIDE = 8


def camera_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return `names` if cameras can be called that; SettingError if not."""
    if names != NO_NAME and not (
        names and all(_CAMERA.fullmatch(name) for name in names) and len(set(names)) == len(names)
    ):
        raise SettingError(
            f'{str(list(names))[:200]}: give names of lower-case letters, digits and underscores, '
            'at most 64 of them, each once, or [""] for a single camera without a name'
        )
    return names


def longest_side(pixels: int) -> int:
    """Return `pixels` if it is 0 or a size that shows something; SettingError if not."""
    if 0 < pixels < _LEAST_SIDE:
        raise SettingError(f'{pixels}: give 0 for the size of the input, or {_LEAST_SIDE} or more')
    return pixels


@dataclass(frozen=True)
class OutputParameters:
    """Size and quality of what is published."""

    max_side: int = param(
        0,
        'Longest side of every published image in pixels; 0 keeps the size of the input image.',
        between=(0, 16384),
        form=longest_side,
    )
    jpeg_quality: int = param(
        90, 'JPEG quality of ~/relative/image_color/compressed, in percent.', between=(1, 100)
    )
    depth_encoding: str = param(
        DepthEncoding.METRES.value,
        '~/depth/image and its compressedDepth in metres (32FC1, NaN = unknown) or millimetres '
        '(16UC1, 0 = unknown and beyond 65.535 m). ~/depth/sigma is in metres with either.',
        choices=tuple(each.value for each in DepthEncoding),
    )
    compressed_depth_max_m: float = param(
        80.0,
        'Depths from here on are unknown in ~/depth/image/compressedDepth.',
        between=(1.0, 1000.0),
    )
    compressed_depth_quantization: float = param(
        80.0,
        'Depth in metres q at which a step of ~/depth/image/compressedDepth (32FC1) is 1 m; at z '
        'it is about (z / q)^2. Depths below about q (q + 1) / 65535 m are unknown there.',
        between=(1.0, 150.0),
    )


@dataclass(frozen=True)
class RelativeParameters:
    """How raw inverse depth becomes [0, 1]."""

    normalization: str = param(
        'percentile',
        'Bounds that become 0 and 1: the 2nd and 98th percentile of the frame, or its minimum and '
        'maximum.',
        choices=tuple(n.value for n in Normalization),
    )
    smoothing_s: float = param(
        0.5,
        'Time constant, in seconds of image stamps, over which the bounds follow the scene; 0 '
        'normalises every frame by itself.',
        between=(0.0, 60.0),
    )


@dataclass(frozen=True)
class ColorParameters:
    """How normalised inverse depth is drawn."""

    map: str = param('spectral_r', 'Colormap of ~/relative/image_color.', choices=COLORMAP_NAMES)


@dataclass(frozen=True)
class OverloadParameters:
    """What to do if the network is too slow."""

    policy: str = param(
        'none',
        'Where overload.target_hz is missed for two seconds: none keeps input_size, downscale '
        'lowers it step by step, to no less than half, and raises it again once there is time.',
        choices=('none', 'downscale'),
        shared=True,
    )
    target_hz: float = param(
        10.0,
        'Frames per second and camera that overload.policy is to hold.',
        between=(0.1, 1000.0),
        shared=True,
    )


@dataclass(frozen=True)
class DiagnosticsParameters:
    """When /diagnostics warns."""

    period_s: float = param(
        1.0, 'Seconds between two messages on /diagnostics.', Change.START, between=(0.1, 60.0)
    )
    stale_after_s: float = param(
        2.0,
        'Seconds without an image after which throughput and ~/status warn.',
        between=(0.1, 3600.0),
    )
    max_latency_s: float = param(
        1.0,
        'Median receive-to-publish latency in seconds above which latency is a warning.',
        between=(0.001, 3600.0),
    )
    min_output_hz: float = param(
        0.0,
        'Frames per second below which throughput is a warning while more images arrive; 0 '
        'disables that.',
        between=(0.0, 1000.0),
    )


@dataclass(frozen=True)
class HealthParameters:
    """When ~/status warns of the images themselves; see core/camera_health.py."""

    enabled: bool = param(
        True,
        'Count dark, blown out, blurred and frozen images. An image that is equal to the one '
        'before gets the depth of that, without the network.',
    )
    dark_below: float = param(
        20.0, 'Median level of a dark image, 0 to 255.', between=(0.0, 255.0)
    )
    blown_out_above: float = param(
        0.4, 'Share of saturated pixels in an image that is blown out.', between=(0.0, 1.0)
    )
    blurred_below: float = param(
        0.4,
        'Sharpness of edges in a blurred image, as a share of the usual; 0 disables that.',
        between=(0.0, 1.0),
    )


@dataclass(frozen=True)
class Parameters:
    """Every parameter of the node, with its default."""

    variant: str = param(
        'vits',
        'Network: vits (25 M parameters, Apache-2.0), vitb (97 M) or vitl (335 M), both '
        'CC-BY-NC-4.0; vitg was announced and never released; demo is the small one inside this '
        'package, for demonstrations and tests, not for robots.',
        Change.UNCONFIGURED,
        choices=('vits', 'vitb', 'vitl', 'vitg', 'demo'),
    )
    checkpoint: str = param(
        'relative',
        'What the weights were trained to give: relative inverse depth, or metres indoors (to 20 '
        'm) or outdoors (to 80 m). A card says it instead.',
        Change.UNCONFIGURED,
        choices=('relative', 'metric_indoor', 'metric_outdoor'),
    )
    weights: str = param(
        '',
        "Path of a checkpoint, of an ONNX network or of a card (docs/networks.md); '' takes the "
        "released one from the cache or the hub; 'random' runs an untrained network, for trying "
        'the plumbing only.',
        Change.UNCONFIGURED,
    )
    allow_download: bool = param(True, 'Fetch missing weights from the hub.', Change.UNCONFIGURED)
    device: str = param(
        'auto',
        'Where the network runs: cpu, cuda, cuda:N, or auto for CUDA where there is one; gpu is '
        "Intel's, through openvino; onnxruntime takes any provider it has, like tensorrt.",
        Change.UNCONFIGURED,
    )
    backend: str = param(
        'auto',
        'What runs the network; auto takes the fastest one installed for the device: torch on '
        'CUDA, openvino on a CPU.',
        Change.UNCONFIGURED,
        choices=('auto', 'torch', 'openvino', 'onnxruntime', 'upstream'),
    )
    precision: str = param(
        'auto',
        'Arithmetic of the network; auto is fp16 on a GPU, and on a CPU bf16 where that has '
        'instructions for it, else fp32. int8, of openvino and onnxruntime, is calibrated by '
        '`depth_anything export` first.',
        Change.UNCONFIGURED,
        choices=('auto', 'fp32', 'fp16', 'bf16', 'int8'),
    )
    input_size: int = param(
        518,
        'Shorter side, in pixels, that an image is resized to before the network, rounded to '
        'multiples of 14; smaller is faster and coarser.',
        Change.UNCONFIGURED,
        between=(56, 2072),
    )
    threads: int = param(
        0,
        'CPU threads the network may use; 0 takes the physical cores, less one for the rest of '
        'the robot where there are more than two.',
        Change.UNCONFIGURED,
        between=(0, 1024),
    )
    cameras: tuple[str, ...] = param(
        NO_NAME,
        'Names of the cameras that share the network; each has topics, outputs and parameters of '
        'its own behind its name: front/image, ~/front/depth/image, front.reference.type. [""] is '
        'a single camera without a name.',
        Change.START,
        form=camera_names,
    )
    image_transport: str = param(
        'raw',
        'raw subscribes to image (sensor_msgs/Image), compressed to image/compressed '
        '(sensor_msgs/CompressedImage).',
        Change.INACTIVE,
        choices=('raw', 'compressed'),
    )
    rectified: bool = param(
        True,
        'The image is rectified: P of camera_info holds and there is no distortion. False: K and '
        'D hold.',
    )
    max_image_age_s: float = param(
        0.0,
        'Images older than this many seconds are dropped before the network; 0 drops none for its '
        'age. Beyond 10 s the clocks disagree, and nothing is dropped.',
        between=(0.0, 10.0),
    )
    max_image_megapixels: float = param(
        64.0,
        'Images of more megapixels are refused before they are decoded.',
        between=(0.01, 1000.0),
    )
    autostart: bool = param(
        True,
        "Configure and activate by itself; false leaves it to a lifecycle manager such as Nav2's.",
        Change.START,
    )
    output: OutputParameters = field(default_factory=OutputParameters)
    relative: RelativeParameters = field(default_factory=RelativeParameters)
    color: ColorParameters = field(default_factory=ColorParameters)
    reference: ReferenceParameters = field(default_factory=ReferenceParameters)
    alignment: AlignmentParameters = field(default_factory=AlignmentParameters)
    metric: MetricParameters = field(default_factory=MetricParameters)
    odometry: OdometryParameters = field(default_factory=OdometryParameters)
    cloud: CloudParameters = field(default_factory=CloudParameters)
    scan: ScanParameters = field(default_factory=ScanParameters)
    overload: OverloadParameters = field(default_factory=OverloadParameters)
    diagnostics: DiagnosticsParameters = field(default_factory=DiagnosticsParameters)
    health: HealthParameters = field(default_factory=HealthParameters)


def entries() -> tuple[Entry, ...]:
    """Return every parameter in the order of the fields."""
    return entries_of(Parameters)


def parameters_from_flat(flat: Mapping[str, object]) -> Parameters:
    """Return the tree with values by dotted names; those not named keep their defaults.

    SettingError for an unknown name, a wrong type or a value out of range.
    """
    known = {entry.name: entry for entry in entries()}
    for name in flat:
        if name not in known:
            raise SettingError(f"there is no parameter '{name}': see docs/parameters.md")
    return filled(Parameters(), {name: known[name].check(value) for name, value in flat.items()})
