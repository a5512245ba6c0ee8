"""Writes config/depth.yaml and docs/parameters.md from the parameter list.

`python -m lab.parameter_files` rewrites both; a test fails when they are stale.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from depth_anything_ros.core.parameters import Entry, Value, entries

__all__ = ['markdown_text', 'write_all', 'yaml_text']

_SOURCE = 'written by: python -m lab.parameter_files'


def yaml_text() -> str:
    """Return a commented parameter file with every default."""
    lines = [
        f'# Every parameter of the depth node with its default; {_SOURCE}',
        '#',
        '# ros2 launch depth_anything_ros depth.launch.py params_file:=my_depth.yaml',
        '/**:',
        '  ros__parameters:',
    ]
    section = ''
    for entry in entries():
        group, _, name = entry.name.rpartition('.')
        if group != section:
            section = group
            lines.append(f'    {group}:')
        indent = '      ' if group else '    '
        note = f'{entry.description} {_allowed(entry)}May change {entry.change.value}.'
        lines += textwrap.wrap(
            note, 98, initial_indent=indent + '# ', subsequent_indent=indent + '# '
        )
        lines.append(f'{indent}{name}: {_yaml(entry.default)}')
    return '\n'.join(lines) + '\n'


def markdown_text() -> str:
    """Return the reference page."""
    lines = [
        '# Parameters',
        '',
        f'Every parameter of the node `depth_anything`. This page and `config/depth.yaml` are '
        f'{_SOURCE}.',
        '',
        '| name | type | default | allowed | meaning | may change |',
        '|---|---|---|---|---|---|',
    ]
    for entry in entries():
        allowed, description = (
            text.replace('|', r'\|') for text in (entry.allowed, entry.description)
        )
        lines.append(
            f'| `{entry.name}` | {entry.type_name} | `{_yaml(entry.default)}` | {allowed} '
            f'| {description} | {entry.change.value} |'
        )
    return '\n'.join(lines) + '\n'


def write_all(checkout: Path) -> None:
    """Write both files into a checkout."""
    (checkout / 'config' / 'depth.yaml').write_text(yaml_text())
    (checkout / 'docs' / 'parameters.md').write_text(markdown_text())


def _allowed(entry: Entry) -> str:
    return f'Allowed: {entry.allowed}. ' if entry.allowed else ''


def _yaml(value: Value) -> str:
    # JSON's scalars are YAML's, and a text keeps its quotes.
    return json.dumps(value)


if __name__ == '__main__':
    write_all(Path(__file__).resolve().parents[1])
