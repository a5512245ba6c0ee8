"""Where the files of the package lie that are not Python, and what names one to Fast DDS."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ['PROFILE_VARIABLES', 'profile_variable', 'share_directory']

# The name until Jazzy, and the one from Kilted on, which warns of the older.
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')


def share_directory() -> Path:
    """Return the folder that holds config/ and launch/, installed or in a checkout."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / 'config' / 'fastdds.xml').is_file():
        return checkout
    try:
        from ament_index_python.packages import get_package_share_directory

        return Path(get_package_share_directory('depth_anything_ros'))
    except LookupError:
        return Path(sys.prefix) / 'share' / 'depth_anything_ros'


def profile_variable() -> str:
    """Return the variable that names a profile to Fast DDS: one that is set, or ROS 2's own."""
    own = PROFILE_VARIABLES[os.environ.get('ROS_DISTRO', 'jazzy') != 'jazzy']
    return next((one for one in PROFILE_VARIABLES if one in os.environ), own)
