"""The result of one check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

__all__ = ['Check', 'Level', 'fail', 'guarded', 'ok', 'warn']


class Level(str, Enum):
    """How bad it is: FAIL keeps something from working, WARN makes it slow or uncertain."""

    OK = 'OK'
    WARN = 'WARN'
    FAIL = 'FAIL'


@dataclass(frozen=True)
class Check:
    """What was found, and how to fix it; `fix` is '' where `text` says so, or all is well."""

    name: str
    level: Level
    text: str
    fix: str = ''


def ok(text: str) -> Check:
    """Return a check that found nothing wrong; `guarded` names it."""
    return Check('', Level.OK, text)


def warn(text: str, fix: str = '') -> Check:
    """Return a check that found what slows or may disturb."""
    return Check('', Level.WARN, text, fix)


def fail(text: str, fix: str = '') -> Check:
    """Return a check that found what does not work."""
    return Check('', Level.FAIL, text, fix)


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Return what `check` returns, with its name; where it cannot look, that is a warning.

    A broken machine must not keep the other checks from being made.
    """
    try:
        return replace(check(), name=name)
    except Exception as error:  # noqa: BLE001  whatever a broken installation raises
        line = ' '.join(str(error).split()) or type(error).__name__
        return Check(name, Level.WARN, f'could not be checked: {line}')
