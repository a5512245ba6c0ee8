"""RViz's view of several cameras: config/depth.rviz with a group and a row of images for each."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

__all__ = ['dock_state', 'view_of_cameras']

_IMAGE = 'rviz_default_plugins/Image'

# Of QMainWindow::saveState: big-endian, sizes in pixels.
_HEAD = bytes.fromhex('000000ff00000000fd00000002')
# Which docks have the corners, and the tool bar.
_TAIL = bytes.fromhex('00000004000000040000000800000008fc0000000100000002000000010000000a') + (
    'Tools'.encode('utf-16-be') + bytes.fromhex('0100000000ffffffff0000000000000000')
)
_LEFT, _RIGHT = 0, 1
_ACROSS, _DOWN = 1, 2
_LIMITS = 23, 0xFFFFFF
_GAP = 4
# Below the title, with menu and tool bar; the widths of Displays and of a row of images.
_TOP, _MENUS, _DISPLAYS, _IMAGES = 17, 60, 300, 520


def view_of_cameras(template: str, cameras: Sequence[str]) -> str:
    """Return `template`, a view whose last display is the group of a camera, for all `cameras`.

    Topics get the name of the camera behind that of the node, displays in front of theirs. Without
    names it is the template itself.
    """
    if not cameras:
        return template
    view = yaml.safe_load(template)
    displays = view['Visualization Manager']['Displays']
    group = yaml.safe_dump(displays.pop())
    groups = [_named(group, camera) for camera in cameras]
    displays += groups
    expanded = ['/Global Options1', *(f'/{each["Name"]}1' for each in groups)]
    view['Panels'][0]['Property Tree Widget']['Expanded'] = expanded
    window = view['Window Geometry']
    rows = [
        {each['Name']: each['Enabled'] for each in group['Displays'] if each['Class'] == _IMAGE}
        for group in groups
    ]
    window['QMainWindow State'] = dock_state(rows, window['Width'], window['Height'])
    return str(yaml.safe_dump(view, sort_keys=False))


def dock_state(rows: Sequence[Mapping[str, bool]], width: int, height: int) -> str:
    """Return a QMainWindow state in hex: Displays on the left, rows of images on the right.

    `rows`: the names of the images, and whether they are shown. One that is not has to be named
    too: RViz shows a dock that the state does not know. `width`, `height`: of the window.
    """
    height -= _TOP + _MENUS
    row_height = (height - _GAP * (len(rows) - 1)) // len(rows)
    column = [
        b'\xfc'
        + struct.pack('>4i', _TOP + at * (row_height + _GAP), row_height, *_LIMITS)
        + _row(row, width - _IMAGES)
        for at, row in enumerate(rows)
    ]
    middle = width - _DISPLAYS - _IMAGES - 2 * _GAP
    parts = (
        _HEAD,
        struct.pack('>3i', _LEFT, _DISPLAYS, height),
        _sequence(_DOWN, [_dock('Displays', _TOP, height)]),
        struct.pack('>3i', _RIGHT, _IMAGES, height),
        _sequence(_DOWN, column),
        struct.pack('>2i', middle, height),
        _TAIL,
    )
    return b''.join(parts).hex()


def _named(group: str, camera: str) -> Any:
    named = yaml.safe_load(group.replace('depth_anything/', f'depth_anything/{camera}/'))
    named['Name'] = camera
    for display in named['Displays']:
        display['Name'] = f'{camera} {display["Name"]}'
    return named


def _row(shown: Mapping[str, bool], left: int) -> bytes:
    count = max(1, sum(shown.values()))
    width = (_IMAGES - _GAP * (count - 1)) // count
    docks = []
    for name, visible in shown.items():
        docks.append(_dock(name, left, width) if visible else _dock(name, -1, -1))
        left += (width + _GAP) * visible
    return _sequence(_ACROSS, docks)


def _sequence(direction: int, items: Sequence[bytes]) -> bytes:
    return b'\xfc' + struct.pack('>Bi', direction, len(items)) + b''.join(items)


def _dock(name: str, position: int, size: int) -> bytes:
    """Return a dock at `position` along its row or column; -1 hides it."""
    text = name.encode('utf-16-be')
    place = struct.pack('>?4i', position >= 0, position, size, *_LIMITS)
    return b'\xfb' + struct.pack('>i', len(text)) + text + place
