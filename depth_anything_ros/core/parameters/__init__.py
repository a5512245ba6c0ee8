"""The one list of parameters: names, types, defaults, ranges, descriptions, what may change when.

ROS descriptors, config/depth.yaml and docs/parameters.md all come from the fields of
`Parameters`. Units are part of a name: `_s` seconds, `_m` metres, `_rad` radians,
`_deg` degrees.
"""

from depth_anything_ros.core.parameters.entries import Change, Entry, Value, flatten
from depth_anything_ros.core.parameters.metric import (
    AlignmentParameters,
    CloudParameters,
    OdometryParameters,
    ReferenceParameters,
    ScanParameters,
)
from depth_anything_ros.core.parameters.tree import (
    DiagnosticsParameters,
    HealthParameters,
    OverloadParameters,
    Parameters,
    entries,
    parameters_from_flat,
)

__all__ = [
    'AlignmentParameters',
    'Change',
    'CloudParameters',
    'DiagnosticsParameters',
    'Entry',
    'HealthParameters',
    'OdometryParameters',
    'OverloadParameters',
    'Parameters',
    'ReferenceParameters',
    'ScanParameters',
    'Value',
    'entries',
    'flatten',
    'parameters_from_flat',
]
