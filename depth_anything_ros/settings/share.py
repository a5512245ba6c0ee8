"""Where the files of the package lie that are no Python."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ['share_directory']


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
