"""Declares the parameter tree on a node and keeps the two in step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import (
    Change,
    Entry,
    Parameters,
    Value,
    entries,
    parameters_from_flat,
)
from depth_anything_ros.settings.parameter_files import sections_for

__all__ = ['NodeParameters', 'warn_of_files']

_RCL_PREFIXES = ('qos_overrides.', 'use_sim_time', 'start_type_description_service')
"""Of parameters that rclpy declares by itself, some of them later."""


def _descriptor(entry: Entry) -> ParameterDescriptor:
    """Describe one parameter so that `ros2 param describe` reads well."""
    descriptor = ParameterDescriptor(
        description=entry.description,
        read_only=entry.change is Change.START,
        additional_constraints='; '.join(
            part for part in (entry.allowed, f'may change {entry.change.value}') if part
        ),
    )
    if entry.minimum is not None and entry.maximum is not None:
        bounds = {'from_value': entry.kind(entry.minimum), 'to_value': entry.kind(entry.maximum)}
        if entry.kind is int:
            descriptor.integer_range = [IntegerRange(**bounds)]
        else:
            descriptor.floating_point_range = [FloatingPointRange(**bounds)]
    return descriptor


def warn_of_files(node: Node, arguments: Sequence[str]) -> None:
    """Name the parameter files on the command line that have nothing for `node`: rcl is silent."""
    for option, path in pairwise(arguments):
        if option == '--params-file':
            try:
                sections_for(Path(path), node.get_fully_qualified_name())
            except SettingError as error:
                node.get_logger().warning(str(error))


class NodeParameters:
    """The parameters of a node, and of each of its cameras; both trees are those in force.

    A value that is wrong, or that may not change in the node's present state, is refused with
    the reason before it is stored.
    """

    def __init__(
        self, node: Node, state: Callable[[], str], on_change: Callable[[], None]
    ) -> None:
        """Declare everything; raises SettingError for a bad value given at start-up.

        `state` gives the label of the lifecycle state; `on_change` is called once a new value is
        stored.
        """
        self._node = node
        self._state = state
        self._on_change = on_change
        self._entries = {entry.name: entry for entry in entries()}
        self._flat = {entry.name: self._declare(entry) for entry in entries()}
        self._named = [name for name in parameters_from_flat(self._flat).cameras if name]
        for name in self._named:
            # What a camera does not say for itself, the node says for all.
            for entry in entries():
                if entry.per_camera:
                    own = replace(
                        entry, name=f'{name}.{entry.name}', default=self._flat[entry.name]
                    )
                    self._entries[own.name] = own
                    self._flat[own.name] = self._declare(own)
        self.current, self.cameras = self._trees(self._flat)
        self._warn_of_unknown()
        node.add_pre_set_parameters_callback(self._converted)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._store)

    def _warn_of_unknown(self) -> None:
        """Name what was given at start-up and is no parameter: rclpy passes over it."""
        for name in self._node._parameter_overrides:
            if not (self._node.has_parameter(name) or name.startswith(_RCL_PREFIXES)):
                grouped = [each for each in self._entries if each.endswith(f'.{name}')]
                near = [*grouped, *get_close_matches(name, self._entries, 1)]
                meant = f": did you mean '{near[0]}'?" if near else ': see docs/parameters.md'
                self._node.get_logger().warning(f"there is no parameter '{name}'{meant}")

    def _declare(self, entry: Entry) -> Value:
        overrides = self._node._parameter_overrides
        # Checked before rclpy does, whose message names neither the range nor the fix; and
        # converted, because YAML and command lines write 1 for 1.0.
        if entry.name in overrides:
            value = entry.check(overrides[entry.name].value)
            overrides[entry.name] = Parameter(entry.name, value=value)
        descriptor = _descriptor(entry)
        return entry.check(
            self._node.declare_parameter(entry.name, entry.default, descriptor).value
        )

    def _trees(self, flat: Mapping[str, Value]) -> tuple[Parameters, dict[str, Parameters]]:
        """Build that of the node and of each camera; SettingError for values that do not fit."""
        base = {entry.name: flat[entry.name] for entry in entries()}
        current = parameters_from_flat(base)
        if not self._named:
            return current, {'': current}
        return current, {
            name: parameters_from_flat(
                {own: flat.get(f'{name}.{own}', value) for own, value in base.items()}
            )
            for name in self._named
        }

    def _converted(self, changes: list[Parameter]) -> list[Parameter]:
        """Take 1 for 1.0, which `ros2 param set` sends and rclpy would refuse."""
        floats = {name for name, entry in self._entries.items() if entry.kind is float}
        return [
            Parameter(each.name, value=float(each.value))
            if each.name in floats and type(each.value) is int
            else each
            for each in changes
        ]

    def _check(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            for change in changes:
                if change.name in self._entries:
                    entry = self._entries[change.name]
                    if entry.check(change.value) != self._flat[change.name]:
                        self._check_state(entry)
            self._trees(self._flat | self._ours(changes))
        except SettingError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _check_state(self, entry: Entry) -> None:
        if self._named and entry.per_camera and entry in entries():
            own = ', '.join(f'{name}.{entry.name}' for name in self._named)
            raise SettingError(f'{entry.name} is for cameras that start: set {own}')
        state = self._state()
        allowed = {
            Change.LIVE: True,
            Change.INACTIVE: state in ('unconfigured', 'inactive'),
            Change.UNCONFIGURED: state == 'unconfigured',
            Change.START: False,
        }[entry.change]
        if allowed:
            return
        name = self._node.get_fully_qualified_name()
        fix = {
            Change.INACTIVE: f'first run: ros2 lifecycle set {name} deactivate',
            Change.UNCONFIGURED: f'first run: ros2 lifecycle set {name} '
            + ('cleanup' if state == 'inactive' else 'deactivate, then cleanup'),
        }.get(entry.change, 'give it when the node starts')
        raise SettingError(f'{entry.name} cannot change while the node is {state}: {fix}')

    def _store(self, changes: list[Parameter]) -> None:
        ours = self._ours(changes)
        if ours:
            self._flat |= ours
            self.current, self.cameras = self._trees(self._flat)
            self._on_change()

    def _ours(self, changes: list[Parameter]) -> dict[str, Value]:
        return {
            change.name: self._entries[change.name].check(change.value)
            for change in changes
            if change.name in self._entries
        }
