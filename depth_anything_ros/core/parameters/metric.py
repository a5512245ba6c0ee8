"""The parameters of metric depth: its reference, its alignment, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.core.geometry.transforms import extrinsics_from_text
from depth_anything_ros.core.parameters.entries import Change, param, require_order
from depth_anything_ros.core.types import ReferenceKind

__all__ = [
    'AlignmentParameters',
    'CloudParameters',
    'MetricParameters',
    'OdometryParameters',
    'ReferenceParameters',
    'ScanParameters',
]


@dataclass(frozen=True)
class ReferenceParameters:
    """What measures metric depth."""

    type: str = param(
        'auto',
        'What measures metric depth: auto takes the type of the topic reference; none publishes '
        'relative depth only; ground_plane needs no topic, but the height of the camera; odometry '
        'takes the motion of the camera, from tf where fixed_frame is set, else from the topic.',
        Change.INACTIVE,
        choices=('auto', 'none', *(kind.value for kind in ReferenceKind)),
    )
    sync_tolerance_s: float = param(
        0.1,
        'Most seconds between the stamps of an image and of the reference that belongs to it.',
        between=(0.0, 10.0),
    )
    fixed_frame: str = param(
        '',
        'Frame at rest, like odom, through which the reference is moved from its stamp to the '
        "image's; '' takes sensor and camera as rigidly mounted to each other. For odometry: the "
        "frame in which tf has the camera's motion; '' takes it from the topic.",
        Change.INACTIVE,
    )
    min_depth_m: float = param(
        0.1, 'Metric depth and references below are unknown.', between=(0.001, 1000.0)
    )
    max_depth_m: float = param(
        80.0, 'Metric depth and references beyond are unknown.', between=(0.01, 10000.0)
    )
    camera_height_m: float = param(
        0.0,
        'Height of the camera over the ground, for ground_plane, where 0 takes that from tf; with '
        'odometry it checks the metres, where 0 checks nothing.',
        between=(0.0, 100.0),
    )
    ground_frame: str = param(
        'base_footprint',
        'Frame on the ground with z up, for ground_plane and camera_height_m: gives the tilt of '
        'the camera.',
    )
    extrinsics: str = param(
        '',
        "'x y z roll pitch yaw' (metres, radians) of the frame of the reference in the frame of "
        "the image, in place of tf; '' asks tf.",
        form=extrinsics_from_text,
    )

    def __post_init__(self) -> None:
        require_order(self, 'reference', 'min_depth_m', 'max_depth_m')


@dataclass(frozen=True, kw_only=True)
class AlignmentParameters:
    """When an alignment is accepted, and for how long."""

    hold_s: float = param(
        0.5,
        'Seconds after its last accepted reference for which metric depth is published.',
        between=(0.01, 60.0),
    )
    max_residual: float = param(
        0.15,
        'Median |log error| of the samples above which a fit is refused.',
        between=(0.001, 1.0),
    )
    max_relative_sigma: float = param(
        0.25,
        'Standard deviation over depth, at a near pixel (P75 of the output), above which the '
        'reference does not determine the scale. Depths of more than twice as much are unknown.',
        between=(0.001, 10.0),
    )
    edge_share: float = param(
        0.15,
        'Samples are dropped where inverse depth varies around them by more than this share of '
        'its spread over the image.',
        between=(0.001, 1.0),
    )
    network_sigma: float = param(
        0.06,
        'Log error of the network that is assumed before samples are seen.',
        between=(0.001, 1.0),
    )
    shift_share: float = param(
        0.2,
        'Standard deviation of the shift before samples are seen, as a share of the inverse depth '
        'of the far end of the scene. Without a sky in view it is wider above 0.',
        between=(0.001, 10.0),
    )
    drift: float = param(
        0.05,
        'Log change of the level between network and metres that is expected in one second.',
        between=(0.0001, 10.0),
    )
    refinement: bool = param(
        True,
        'Correct local errors of the network as well, at the places and depths that the reference '
        'covers (depth images and clouds).',
    )
    trust_polarity: bool = param(
        False,
        'Publish metric depth even before the reference has covered several depths, as a scanner '
        'square before a wall: a reversed reference would go unnoticed.',
    )


@dataclass(frozen=True)
class MetricParameters:
    """Metric depth without a reference."""

    prior_relative_sigma: float = param(
        0.2,
        'Standard deviation over depth of a metric checkpoint that no reference has corrected.',
        between=(0.001, 10.0),
    )


@dataclass(frozen=True)
class OdometryParameters:
    """How good the robot's odometry is, as a metric reference; standard deviations."""

    latency_s: float = param(
        0.05,
        'Of the time between the stamps of image and odometry.',
        between=(0.0, 1.0),
    )
    scale_sigma: float = param(
        0.02,
        'Of the lengths of odometry, as a share: common to all samples, so that none reduces it.',
        between=(0.0, 0.5),
    )
    position_sigma_m: float = param(
        0.005, 'Of a position, against one of a second before.', between=(0.0001, 1.0)
    )
    turn_sigma_deg: float = param(
        0.4, 'Of a turn, in degrees, between frames half a second apart.', between=(0.01, 30.0)
    )


@dataclass(frozen=True)
class CloudParameters:
    """What ~/points holds."""

    stride: int = param(
        2, 'Every so many pixels of a row and of a column become a point.', between=(1, 64)
    )
    voxel_m: float = param(
        0.0,
        'One point for each cube of this side in metres; 0 keeps the points in rows as the pixels '
        'are.',
        between=(0.0, 10.0),
    )
    color: bool = param(True, 'Points carry the colour of their pixel, as rgb.')
    sigma: bool = param(False, 'Points carry the standard deviation of their depth, as sigma.')
    edge_filter: float = param(
        0.08,
        'Relative step in depth to a neighbouring pixel beyond which a point lies between two '
        'surfaces and is dropped; 0 keeps all.',
        between=(0.0, 10.0),
    )
    min_range_m: float = param(
        0.0, 'Points nearer to the camera are dropped.', between=(0.0, 10000.0)
    )
    max_range_m: float = param(
        10000.0, 'Points farther from the camera are dropped.', between=(0.01, 10000.0)
    )
    height_frame: str = param(
        '',
        "Frame with z up in which heights are cropped; '' crops none, which is best for a "
        'costmap: what is cropped here clears nothing there.',
    )
    min_height_m: float = param(
        -1000.0, 'Points lower in height_frame are dropped.', between=(-1000.0, 1000.0)
    )
    max_height_m: float = param(
        1000.0, 'Points higher in height_frame are dropped.', between=(-1000.0, 1000.0)
    )
    max_relative_sigma: float = param(
        0.5,
        'Points are dropped where the standard deviation is more than this share of the depth; 0 '
        'keeps all.',
        between=(0.0, 100.0),
    )

    def __post_init__(self) -> None:
        require_order(self, 'cloud', 'min_range_m', 'max_range_m')
        require_order(self, 'cloud', 'min_height_m', 'max_height_m')


@dataclass(frozen=True)
class ScanParameters:
    """What ~/scan sees."""

    frame: str = param(
        'base_footprint', 'Frame on the ground with z up, in which the scan is published.'
    )
    min_height_m: float = param(
        0.1, 'What is lower above the ground is not an obstacle.', between=(-100.0, 100.0)
    )
    max_height_m: float = param(
        1.5, 'What is higher above the ground is not an obstacle.', between=(-100.0, 100.0)
    )
    floor_slope_rad: float = param(
        0.0175,
        'min_height_m rises by this slope with distance: an error of the tilt lifts far ground.',
        between=(0.0, 0.5),
    )
    min_range_m: float = param(
        0.2, 'Obstacles nearer to the frame are left out.', between=(0.0, 1000.0)
    )
    max_range_m: float = param(
        10.0,
        'Obstacles farther away are left out, and up to here the ground has to be visible for a '
        'bearing to count as free.',
        between=(0.01, 1000.0),
    )
    step_rad: float = param(
        0.00873, 'Angle between two bearings, half a degree.', between=(0.0005, 0.5)
    )
    max_relative_sigma: float = param(
        0.0,
        'A bearing is unknown where the standard deviation of its nearest obstacle, or of the '
        'ground that would make it free, is more than this share of the depth; 0 takes all.',
        between=(0.0, 100.0),
    )

    def __post_init__(self) -> None:
        require_order(self, 'scan', 'min_range_m', 'max_range_m')
        require_order(self, 'scan', 'min_height_m', 'max_height_m')
