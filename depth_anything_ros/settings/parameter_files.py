"""Parameters as ROS keeps them in files, and as single settings, without ROS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import SettingError, shown
from depth_anything_ros.core.parameters import entries
from depth_anything_ros.settings.plain_yaml import plain_yaml, plain_yaml_file

__all__ = ['parameters_from_file', 'parameters_from_settings', 'sections_for']

_NODE = '/depth_anything'
_HERE = 'ros__parameters'

# rclpy's own, which mean nothing where no node runs.
_ROS_OWN = ('use_sim_time', 'qos_overrides.', 'start_type_description_service')


def parameters_from_file(path: Path) -> dict[str, object]:
    """Return the parameters in a file for the node /depth_anything, by dotted name.

    Later sections win. SettingError where the file cannot be read or has no section for the node.
    """
    found: dict[str, object] = {}
    for values in sections_for(path, _NODE):
        found |= dict(_flat(values, ''))
    return {name: value for name, value in found.items() if not name.startswith(_ROS_OWN)}


def sections_for(path: Path, node: str) -> list[Mapping[str, Any]]:
    """Return the sections of a file that are for a node, by its name with namespaces.

    Sections are nodes, wildcards as in `/**` allowed. SettingError where the file cannot be read
    or has none for the node.
    """
    try:
        content = plain_yaml_file(path.expanduser())
    except OSError as err:
        raise SettingError(
            f'parameters {path} cannot be read ({err.strerror}): check the path'
        ) from err
    except ValueError as err:
        raise SettingError(
            f'parameters {path} are not valid YAML ({err}): fix the file there'
        ) from err
    sections = list(_sections(content, ''))
    fitting = [values for name, values in sections if _fits(name, node)]
    if not fitting:
        names = ', '.join(name for name, _ in sections) or f'no {_HERE}'
        raise SettingError(
            f'no section of {path} matches node {node} (it has {names[:200]}): put the '
            f'parameters below /**, and below {_HERE} there'
        )
    return fitting


def parameters_from_settings(settings: Iterable[str]) -> dict[str, object]:
    """Read settings like `reference.type=range`; a value is YAML unless a text is due."""
    kinds = {entry.name: entry.kind for entry in entries()}
    found: dict[str, object] = {}
    for setting in settings:
        name, equals, text = setting.partition('=')
        name = name.strip()
        if not equals or not name:
            raise SettingError(f'{shown(setting)} sets nothing: write it as name=value')
        try:
            found[name] = text if kinds.get(name) is str else plain_yaml(text)
        except ValueError as err:
            raise SettingError(
                f'{shown(setting)} has a value that is not YAML: write a number, true, false, or '
                "a text in quotes, as in name='a text'"
            ) from err
    return found


def _sections(content: Any, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the full name of each node in the file with its parameters; namespaces may nest."""
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key == _HERE:
            if isinstance(value, dict):
                yield name, value
        else:
            yield from _sections(value, f'{name}/{str(key).strip("/")}')


def _fits(pattern: str, node: str) -> bool:
    """Return whether the name of a node with wildcards is that of `node`."""
    parts = {'**': '(/[^/]+)*', '*': '/[^/]+'}
    names = pattern.strip('/').split('/')
    expression = ''.join(parts.get(name, '/' + re.escape(name)) for name in names)
    return re.fullmatch(expression, node) is not None


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value
