"""A report as one HTML page that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from pathlib import Path
from string import Template

from depth_anything_ros.reports.report import (
    Block,
    Cell,
    Graph,
    Picture,
    Report,
    Steps,
    Table,
    Text,
)
from depth_anything_ros.reports.text import cell

__all__ = ['page']

_FRAME = Path(__file__).with_name('page.html')

FileOf = Callable[[Picture], str]


def page(report: Report, file_of: FileOf, embed_from: Path | None) -> str:
    """Return the page. `file_of` names the file of a picture, relative to the page.

    Pictures are read from the folder `embed_from` and become part of the page; None leaves them
    beside it.
    """
    writer = _Writer(file_of, embed_from)
    contents, body = [], []
    for index, section in enumerate(report.sections):
        contents.append(f'<a href="#s{index}">{escape(section.title)}</a>')
        body.append(f'<h2 id="s{index}">{escape(section.title)}</h2>')
        body += [writer.block(block) for block in section.blocks]
    facts = [
        f'<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in report.facts
    ]
    script = ''
    if writer.has_graphs:
        from plotly.offline import get_plotlyjs

        # Once for all graphs, so that the page opens without a network.
        script = f'<script>{get_plotlyjs()}</script>'
    return Template(_FRAME.read_text()).substitute(
        title=escape(report.title),
        command=escape(report.command),
        facts=''.join(facts),
        contents=' · '.join(contents),
        body='\n'.join(body),
        script=script,
    )


class _Writer:
    def __init__(self, file_of: FileOf, embed_from: Path | None) -> None:
        self._file_of = file_of
        self._embed_from = embed_from
        self.has_graphs = False

    def block(self, block: Block) -> str:
        if isinstance(block, Text):
            kind = ' class="warning"' if block.is_warning else ''
            return f'<p{kind}>{escape(block.text)}</p>'
        if isinstance(block, Table):
            return _table(block)
        if isinstance(block, Picture):
            shown = f'<img loading="lazy" src="{self._source(block)}" alt="">'
            return _captioned(shown, block.caption)
        if isinstance(block, Graph):
            self.has_graphs = True
            shown = block.figure.to_html(full_html=False, include_plotlyjs=False)
            return _captioned(shown, block.caption)
        return self._steps(block)

    def _steps(self, steps: Steps) -> str:
        names = ''.join(f'<button>{escape(name)}</button>' for name, _ in steps.steps)
        inner = ''.join(
            f'<section>{"".join(self.block(block) for block in blocks)}</section>'
            for _, blocks in steps.steps
        )
        return f'<div class="steps"><nav>{names}</nav><div>{inner}</div></div>'

    def _source(self, picture: Picture) -> str:
        name = self._file_of(picture)
        if self._embed_from is None:
            return escape(name, quote=True)
        data = base64.b64encode((self._embed_from / name).read_bytes()).decode()
        return f'data:image/png;base64,{data}'


def _captioned(shown: str, caption: str) -> str:
    text = f'<figcaption>{escape(caption)}</figcaption>' if caption else ''
    return f'<figure>{shown}{text}</figure>'


def _table(table: Table) -> str:
    head, *rest = table.rows
    caption = f'<caption>{escape(table.caption)}</caption>' if table.caption else ''
    rows = ''.join(f'<tr>{"".join(_td(value) for value in row)}</tr>' for row in rest)
    names = ''.join(f'<th>{escape(cell(value))}</th>' for value in head)
    return f'<table>{caption}<thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>'


def _td(value: Cell) -> str:
    kind = '' if isinstance(value, str) else ' class="number"'
    return f'<td{kind}>{escape(cell(value))}</td>'
