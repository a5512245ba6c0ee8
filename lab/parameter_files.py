"""Writes config/depth.yaml, docs/parameters.md and the fields of docs/networks.md from the code.

`python -m lab.parameter_files` rewrites all; a test fails when they are stale.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from depth_anything_ros.core.parameters import Entry, Value, entries
from depth_anything_ros.core.parameters.entries import entries_of
from depth_anything_ros.model.card import REQUIRED, Card

__all__ = ['markdown_text', 'networks_text', 'write_all', 'yaml_text']

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


def networks_text(page: str) -> str:
    """Return docs/networks.md with the fields of a card as they are now."""
    rows = ['| field | type | default | allowed | meaning |', '|---|---|---|---|---|']
    for entry in entries_of(Card):
        default = 'required' if entry.name in REQUIRED else f'`{_yaml(entry.default)}`'
        allowed, text = (each.replace('|', r'\|') for each in (entry.allowed, entry.description))
        rows.append(f'| `{entry.name}` | {entry.type_name} | {default} | {allowed} | {text} |')
    start, end = f'<!-- fields: {_SOURCE} -->\n', '<!-- end of fields -->'
    table = page[page.index(start) + len(start) : page.index(end)]
    return page.replace(table, '\n'.join(rows) + '\n')


def write_all(checkout: Path) -> None:
    """Write all of them into a checkout."""
    (checkout / 'config' / 'depth.yaml').write_text(yaml_text())
    (checkout / 'docs' / 'parameters.md').write_text(markdown_text())
    networks = checkout / 'docs' / 'networks.md'
    networks.write_text(networks_text(networks.read_text()))


def _allowed(entry: Entry) -> str:
    return f'Allowed: {entry.allowed}. ' if entry.allowed else ''


def _yaml(value: Value) -> str:
    # JSON's scalars are YAML's, and a text keeps its quotes.
    return json.dumps(value)


if __name__ == '__main__':
    write_all(Path(__file__).resolve().parents[1])
