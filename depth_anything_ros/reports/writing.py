"""A report as files: index.html, which opens offline, report.md and report.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.reports.html import page
from depth_anything_ros.reports.report import Block, Graph, Picture, Report, Steps, Table, Text
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
        sections = [
            replace(each, blocks=_on_disk(each.blocks, folder)) for each in report.sections
        ]
        report = replace(report, sections=sections)
        (folder / 'report.json').write_text(plain_json(report) + '\n')
        (folder / 'report.md').write_text('\n\n'.join(_markdown(report)) + '\n')
        path = folder / PAGE
        path.write_text(page(report, folder if is_single_file else None))
    except OSError as err:
        raise SettingError(f'{err.filename} cannot be written: {err.strerror}') from err
    return path


def _on_disk(blocks: Sequence[Block], folder: Path) -> list[Block]:
    """Write the pictures that are none yet; return the blocks with their paths in `folder`."""
    found: list[Block] = []
    for block in blocks:
        if isinstance(block, Steps):
            block = Steps([(name, _on_disk(inner, folder)) for name, inner in block.steps])
        elif isinstance(block, Picture):
            path = folder / f'{block.name}.png'
            if isinstance(block.image, Path):
                path = block.image
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(cv2.imencode('.png', block.image)[1].tobytes())
            block = replace(block, image=path.relative_to(folder))
        found.append(block)
    return found


def _markdown(report: Report) -> Iterator[str]:
    yield f'# {report.title}'
    yield f'```\n{report.command}\n```'
    if report.facts:
        yield '\n'.join(f'- {name}: {value}' for name, value in report.facts.items())
    for section in report.sections:
        yield f'## {section.title}'
        yield from _paragraphs(section.blocks, '###')


def _paragraphs(blocks: Sequence[Block], mark: str) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Text):
            yield f'**{block.text}**' if block.is_warning else block.text
        elif isinstance(block, Table):
            if block.caption:
                yield block.caption
            yield '\n'.join(markdown([[cell(value) for value in row] for row in block.rows]))
        elif isinstance(block, Picture):
            yield f'![{block.caption}]({block.image})'
        elif isinstance(block, Graph):
            yield f'[{block.caption}]({PAGE}) (a graph of the page)'
        else:
            for name, inner in block.steps:
                yield f'{mark} {name}'
                yield from _paragraphs(inner, f'{mark}#')
