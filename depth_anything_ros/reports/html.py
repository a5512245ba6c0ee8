"""A report as one HTML page that needs no network."""

from __future__ import annotations

import base64
import re
from html import escape
from pathlib import Path
from string import Template

from depth_anything_ros.reports.report import (
    COLOURS,
    Block,
    Cell,
    Graph,
    Picture,
    Report,
    Table,
    Text,
)
from depth_anything_ros.reports.text import cell

__all__ = ['page']

_FRAME = Path(__file__).with_name('page.html')
_CODE, _AS_CODE = re.compile('`([^`]+)`'), r'<code>\1</code>'
_NUMBER = re.compile(r'-?[\d.]+(e[+-]\d+)?|-|inf')


def page(report: Report, embed_from: Path | None) -> str:
    """Return the page; the pictures of the report are paths relative to it.

    They are read from the folder `embed_from` and become part of it; None leaves them beside it.
    """
    contents, body, script = [], [], ''
    for index, section in enumerate(report.sections):
        contents.append(f'<a href="#s{index}">{escape(section.title)}</a>')
        body.append(f'<h2 id="s{index}">{escape(section.title)}</h2>')
        body += [_block(block, embed_from) for block in section.blocks]
    if any('plotly-graph-div' in part for part in body):
        from plotly.offline import get_plotlyjs

        # Once for all graphs, so that the page opens without a network.
        script = f'<script>{get_plotlyjs()}</script>'
    facts = [
        f'<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>'
        for name, text in report.facts.items()
    ]
    return Template(_FRAME.read_text()).substitute(
        title=escape(report.title),
        command=escape(report.command),
        facts=''.join(facts),
        contents=' · '.join(contents),
        body='\n'.join(body),
        script=script,
    )


def _block(block: Block, embed_from: Path | None) -> str:
    if isinstance(block, Text):
        kind = ' class="warning"' if block.is_warning else ''
        return f'<p{kind}>{_CODE.sub(_AS_CODE, escape(block.text))}</p>'
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        path, caption = escape(str(block.image)), escape(block.caption)
        if embed_from is None:
            shown = f'<a href="{path}"><img loading="lazy" src="{path}" alt="{caption}"></a>'
        else:
            data = base64.b64encode((embed_from / str(block.image)).read_bytes()).decode()
            shown = f'<img src="data:image/png;base64,{data}" alt="{caption}">'
        return _figure(shown, block.caption)
    if isinstance(block, Graph):
        from plotly.io import to_html

        layout = {'margin': {'t': 20, 'b': 60}, 'height': 380, 'colorway': COLOURS}
        layout |= block.figure['layout']
        figure = {**block.figure, 'layout': layout}
        shown = to_html(figure, full_html=False, include_plotlyjs=False)
        return _figure(shown, block.caption)
    names = ''.join(f'<button>{escape(name)}</button>' for name, _ in block.steps)
    inner = ''.join(
        f'<section>{"".join(_block(one, embed_from) for one in blocks)}</section>'
        for _, blocks in block.steps
    )
    return f'<div class="steps"><nav>{names}</nav><div>{inner}</div></div>'


def _figure(shown: str, caption: str) -> str:
    return f'<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>'


def _table(table: Table) -> str:
    names = ''.join(f'<th>{escape(cell(value))}</th>' for value in table.rows[0])
    rows = ''
    for row in table.rows[1:]:
        rows += f'<tr>{"".join(map(_table_cell, row))}</tr>'
    caption = f'<caption>{escape(table.caption)}</caption>' if table.caption else ''
    return f'<table>{caption}<thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>'


def _table_cell(value: Cell) -> str:
    text = cell(value)
    kind = ' class="number"' if value is None or _NUMBER.fullmatch(text) else ''
    return f'<td{kind}>{escape(text)}</td>'
