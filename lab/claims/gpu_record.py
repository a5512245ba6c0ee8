"""What `lab.claims.gpu` has measured so far, on disk after every step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.reports.text import plain_json

__all__ = ['Record']


class Record:
    """Rows and remarks by section, as `folder`/gpu.json and gpu.md.

    Both are written anew at each step, under another name until they are whole: what was measured
    before a run is cut off stays.
    """

    def __init__(self, folder: Path, facts: dict[str, str]) -> None:
        """Raise SettingError where the folder cannot be written."""
        self._folder, self._facts = folder, facts
        self._begun_s = time.monotonic()
        self._sections: list[dict[str, Any]] = []
        self._lines: list[Callable[[Sequence[Any]], Sequence[str]]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as err:
            raise SettingError(f'--out {folder} cannot be written: {err.strerror}') from err

    @property
    def has_remarks(self) -> bool:
        """Whether anything is missing, failed or was left out."""
        return any(section['remarks'] for section in self._sections)

    def section(self, title: str, lines: Callable[[Sequence[Any]], Sequence[str]]) -> None:
        """Begin a section, whose rows `lines` renders as Markdown."""
        self._sections.append({'title': title, 'rows': [], 'remarks': []})
        self._lines.append(lines)
        self.say(title)

    def add(self, row: Any) -> None:
        """Add a row to the latest section, a dataclass or a mapping."""
        self._sections[-1]['rows'].append(row)
        self._write()

    def remark(self, text: str) -> None:
        """Say in a line what is missing, failed or was left out."""
        self._sections[-1]['remarks'].append(text)
        self.say(f'  {text}')
        self._write()

    def say(self, text: str) -> None:
        """Print a line with the time so far."""
        print(f'{time.monotonic() - self._begun_s:5.0f} s  {text}', flush=True)

    def _write(self) -> None:
        spent = f'{time.monotonic() - self._begun_s:.0f} s'
        facts = {**self._facts, 'time so far': spent}
        lines = ['# The GPU path', '', *(f'- {name}: {text}' for name, text in facts.items())]
        for section, render in zip(self._sections, self._lines, strict=True):
            lines += ['', f'## {section["title"]}', '']
            lines += [*render(section['rows']), ''] if section['rows'] else []
            lines += [f'- {remark}' for remark in section['remarks']]
        content = plain_json({**facts, 'sections': self._sections})
        for name, text in (('gpu.json', content), ('gpu.md', '\n'.join(lines))):
            partial = self._folder / f'{name}.writing'
            partial.write_text(text + '\n')
            partial.replace(self._folder / name)
