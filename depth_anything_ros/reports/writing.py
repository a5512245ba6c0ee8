"""A report as files: index.html, which opens offline, report.md and report.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.reports.html import page
from depth_anything_ros.reports.report import Block, Graph, Picture, Report, Table, Text
from depth_anything_ros.reports.text import cell, markdown, plain_json

__all__ = ['write_report']

PAGE = 'index.html'


def write_report(report: Report, folder: Path, *, is_single_file: bool = True) -> Path:
    """Write the report and its pictures into `folder`; return the path of the page.

    The page holds the pictures itself; without `is_single_file` it shows the files beside it.
    Raises SettingError where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = _Files(folder)
        json_blocks = [
            {'title': section.title, 'blocks': [files.plain(block) for block in section.blocks]}
            for section in report.sections
        ]
        head = {'title': report.title, 'command': report.command, 'facts': dict(report.facts)}
        (folder / 'report.json').write_text(plain_json(head | {'sections': json_blocks}) + '\n')
        (folder / 'report.md').write_text('\n'.join(_markdown(report, files)) + '\n')
        path = folder / PAGE
        path.write_text(page(report, files.file_of, folder if is_single_file else None))
    except OSError as err:
        raise SettingError(f'{err.filename} cannot be written: {err.strerror}') from err
    return path


class _Files:
    """The pictures of a report, each written once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, str] = {}

    def file_of(self, picture: Picture) -> str:
        """Return the path of a picture, relative to the folder of the report."""
        if id(picture) not in self._files:
            if isinstance(picture.image, Path):
                name = str(picture.image.relative_to(self._folder))
            else:
                name = f'{picture.name}.png'
                path = self._folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(cv2.imencode('.png', picture.image)[1].tobytes())
            self._files[id(picture)] = name
        return self._files[id(picture)]

    def plain(self, block: Block) -> dict[str, Any]:
        """Return a block as what JSON can hold."""
        if isinstance(block, Text):
            return {'text': block.text, 'warning': block.is_warning}
        if isinstance(block, Table):
            return {'table': block.rows, 'caption': block.caption}
        if isinstance(block, Picture):
            return {'picture': self.file_of(block), 'caption': block.caption}
        if isinstance(block, Graph):
            return {'graph': block.caption, 'page': PAGE}
        return {'steps': {name: [self.plain(one) for one in inner] for name, inner in block.steps}}


def _markdown(report: Report, files: _Files) -> list[str]:
    lines = [f'# {report.title}', '', '```', report.command, '```', '']
    lines += [f'- {name}: {value}' for name, value in report.facts]
    for section in report.sections:
        lines += ['', f'## {section.title}', '']
        for block in section.blocks:
            lines += _block_lines(block, files)
    return lines


def _block_lines(block: Block, files: _Files) -> list[str]:
    if isinstance(block, Text):
        return [f'**{block.text}**' if block.is_warning else block.text, '']
    if isinstance(block, Table):
        rows = [[cell(value) for value in row] for row in block.rows]
        return [*([block.caption, ''] if block.caption else []), *markdown(rows), '']
    if isinstance(block, Picture):
        return [f'![{block.caption}]({files.file_of(block)})', '', block.caption, '']
    if isinstance(block, Graph):
        return [f'[{block.caption or "graph"}]({PAGE}) (a graph of the page)', '']
    lines = []
    for name, inner in block.steps:
        lines += [f'### {name}', '']
        for one in inner:
            lines += _block_lines(one, files)
    return lines
