"""A report as one HTML page that needs no network."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from string import Template

from depth_anything_ros.reports.report import Block, Graph, Picture, Report, Table, Text
from depth_anything_ros.reports.text import cell

__all__ = ['page']

_FRAME = Path(__file__).with_name('page.html')


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
        return f'<p{kind}>{escape(block.text)}</p>'
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        source = escape(str(block.image), quote=True)
        if embed_from is not None:
            data = base64.b64encode((embed_from / str(block.image)).read_bytes()).decode()
            source = f'data:image/png;base64,{data}'
        return _figure(f'<img loading="lazy" src="{source}" alt="">', block.caption)
    if isinstance(block, Graph):
        from plotly.io import to_html

        shown = to_html(dict(block.figure), full_html=False, include_plotlyjs=False)
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
        kinds = ('' if isinstance(value, str) else ' class="number"' for value in row)
        cells = zip(kinds, map(cell, row), strict=True)
        rows += f'<tr>{"".join(f"<td{kind}>{escape(text)}</td>" for kind, text in cells)}</tr>'
    caption = f'<caption>{escape(table.caption)}</caption>' if table.caption else ''
    return f'<table>{caption}<thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>'
