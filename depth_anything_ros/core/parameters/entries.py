"""How a frozen dataclass becomes a list of parameters, and takes values from a flat one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any, TypeVar, get_origin, get_type_hints

from depth_anything_ros.core.errors import SettingError

__all__ = ['Change', 'Entry', 'Value', 'entries_of', 'filled', 'flatten', 'param', 'require_order']

Value = bool | int | float | str | tuple[str, ...]
Tree = TypeVar('Tree')


class Change(Enum):
    """When a parameter may change."""

    LIVE = 'any time; applies from the next frame'
    UNCONFIGURED = 'while unconfigured; takes effect on the next configure'
    INACTIVE = 'while unconfigured or inactive; takes effect on the next activate'
    START = 'at start-up only'


@dataclass(frozen=True)
class Entry:
    """One parameter: `name` is dotted, `kind` is bool, int, float, str or tuple (of str)."""

    name: str
    kind: type
    default: Value
    description: str
    change: Change
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    form: Callable[[Any], object] | None = None
    """Raises SettingError for a value that does not have the form it needs."""
    shared: bool = False
    """Whether it belongs to the node, however many cameras there are."""

    @property
    def per_camera(self) -> bool:
        """Whether each of several cameras has a value of its own."""
        return not self.shared and self.change in (Change.LIVE, Change.INACTIVE)

    @property
    def type_name(self) -> str:
        """The type in words."""
        return 'list of str' if self.kind is tuple else self.kind.__name__

    @property
    def allowed(self) -> str:
        """The allowed values in words; '' where any value of the type is."""
        if self.choices:
            return ' | '.join(self.choices)
        if self.minimum is not None:
            return f'{self.minimum:g} to {self.maximum:g}'
        return ''

    def check(self, value: object) -> Value:
        """Return `value` as the entry's type, or raise a SettingError that says what is wrong."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if self.kind is tuple and isinstance(value, list | tuple):
            texts = all(isinstance(each, str) for each in value)
            value = tuple(value) if texts else list(value)
        if type(value) is not self.kind:
            raise SettingError(
                f'{self.name} is {value!r}, {_a(type(value).__name__)}: give {_a(self.type_name)}'
            )
        if self.choices and value not in self.choices:
            raise SettingError(
                f"{self.name} is '{value}': choose one of {', '.join(self.choices)}"
            )
        # Written so that NaN fails too.
        if self.minimum is not None and not self.minimum <= value <= self.maximum:  # type: ignore[operator]
            raise SettingError(f'{self.name} is {value}: it must lie in {self.allowed}')
        if self.form is not None:
            try:
                self.form(value)
            except SettingError as error:
                raise SettingError(f'{self.name} is {error}') from error
        return value  # type: ignore[return-value]


def _a(noun: str) -> str:
    return f'an {noun}' if noun.startswith('i') else f'a {noun}'


def param(
    default: Value,
    description: str,
    change: Change = Change.LIVE,
    *,
    between: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    form: Callable[[Any], object] | None = None,
    shared: bool = False,
) -> Any:
    """Declare one field; `between` is both bounds, `form` and `shared` as in `Entry`."""
    low, high = between or (None, None)
    metadata = {
        'description': description,
        'change': change,
        'minimum': low,
        'maximum': high,
        'choices': choices,
        'form': form,
        'shared': shared,
    }
    return field(default=default, metadata=metadata)


def require_order(tree: object, group: str, lower: str, upper: str) -> None:
    """Raise SettingError unless the value named `lower` is below that named `upper`."""
    low, high = getattr(tree, lower), getattr(tree, upper)
    if not low < high:
        raise SettingError(
            f'{group}.{lower} is {low:g} and {group}.{upper} {high:g}: the first must be smaller'
        )


@cache
def entries_of(tree: type, prefix: str = '') -> tuple[Entry, ...]:
    """Return every parameter of `tree` in the order of its fields."""
    kinds = get_type_hints(tree)
    found: list[Entry] = []
    for item in dataclasses.fields(tree):
        kind = kinds[item.name]
        if dataclasses.is_dataclass(kind):
            found += entries_of(kind, f'{prefix}{item.name}.')  # type: ignore[arg-type]
        else:
            default: Any = item.default
            kind = get_origin(kind) or kind
            found.append(Entry(prefix + item.name, kind, default, **item.metadata))
    return tuple(found)


def flatten(tree: object, prefix: str = '') -> dict[str, Value]:
    """Return every parameter of an instance by its dotted name."""
    flat: dict[str, Value] = {}
    for item in dataclasses.fields(tree):  # type: ignore[arg-type]
        value = getattr(tree, item.name)
        if dataclasses.is_dataclass(value):
            flat |= flatten(value, f'{prefix}{item.name}.')
        else:
            flat[prefix + item.name] = value
    return flat


def filled(tree: Tree, flat: Mapping[str, Value], prefix: str = '') -> Tree:
    """Return `tree` with the values that `flat` has under their dotted names."""
    given: dict[str, Any] = {}
    for item in dataclasses.fields(tree):  # type: ignore[arg-type]
        value, name = getattr(tree, item.name), prefix + item.name
        if dataclasses.is_dataclass(value):
            given[item.name] = filled(value, flat, name + '.')
        elif name in flat:
            given[item.name] = flat[name]
    result: Tree = dataclasses.replace(tree, **given)  # type: ignore[type-var]
    return result
