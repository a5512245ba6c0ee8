"""What a run leaves out or changes, counted by kind, with names."""

from __future__ import annotations

from collections.abc import Iterator

from depth_anything_ros.core.errors import printable

__all__ = ['Tally']

_MOST_NAMES = 6
"""Names, or runs of names, that a line shows."""


class Tally:
    """Names by kind, each with the line that explains it, in the order they were added."""

    def __init__(self) -> None:
        self.by_kind: dict[str, dict[str, str]] = {}
        self.entries: list[tuple[str, str, str, int]] = []
        """What `add` was given."""
        self._position: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self.by_kind.values()))

    def add(self, kind: str, name: str, text: str, position: int = -1) -> None:
        """Add one name; `position` is that of a frame, whose neighbours are shown as one run."""
        self.entries.append((kind, name, text, position))
        self.by_kind.setdefault(kind, {})[name] = text
        self._position[name] = position

    def names(self) -> dict[str, list[str]]:
        """Return the names of each kind."""
        return {kind: list(texts) for kind, texts in self.by_kind.items()}

    def texts(self) -> dict[str, str]:
        """Return the line of each name."""
        return {name: text for texts in self.by_kind.values() for name, text in texts.items()}

    def lines(self) -> Iterator[str]:
        """Return a line for each kind: how many, which, and the explanation of the first."""
        for texts in self.by_kind.values():
            names, first = list(texts), next(iter(texts.values()))
            if len(names) == 1:
                yield printable(f'{names[0]}: {first}')
                continue
            runs = self._runs(names)
            shown = ', '.join(runs[:_MOST_NAMES])
            if len(runs) > _MOST_NAMES:
                shown += ', ...'
            yield printable(f'{len(names)} ({shown}), the first of them: {first}')

    def _runs(self, names: list[str]) -> list[str]:
        """Return the names, neighbours as 'FIRST to LAST'."""
        runs: list[tuple[str, str]] = []
        for name in names:
            at = self._position[name]
            if runs and at > 0 and self._position[runs[-1][1]] == at - 1:
                runs[-1] = runs[-1][0], name
            else:
                runs.append((name, name))
        return [first if first == last else f'{first} to {last}' for first, last in runs]
