"""A report is one page that needs no network, and the same as Markdown and JSON."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.reports.report import Graph, Picture, Report, Section, Steps, Table, Text
from depth_anything_ros.reports.writing import write_report

RED = np.full((4, 6, 3), (0, 0, 255), np.uint8)


def report(*more: Graph) -> Report:
    blocks = [
        Text('5 < 6 & "so"'),
        Text('random weights', is_warning=True),
        Table([['name', 'value'], ['a|b', 1.23456], ['none', None]], 'a caption'),
        Picture(RED, 'pictures/red', 'all red'),
        Table.of('name', {'x': {'MB': '1.50', 'kind': 'large'}}),
        Steps([('first', [Text('one, as `do` says')]), ('second', [Text('two')])]),
        *more,
    ]
    return Report('A study', 'do --it', {'weights': 'demo'}, [Section('Part <1>', blocks)])


def test_the_page_holds_its_pictures_and_escapes_text(tmp_path: Path) -> None:
    tmp_path = tmp_path / 'new' / 'folder'
    page = write_report(report(), tmp_path)
    html = page.read_text()
    assert '5 &lt; 6 &amp; &quot;so&quot;' in html and 'Part &lt;1&gt;' in html
    assert 'class="warning">random weights' in html
    assert '<td class="number">1.235</td>' in html and '<td class="number">-</td>' in html
    assert '<th>name</th><th>MB</th>' in html and 'as <code>do</code> says' in html
    assert '<td class="number">1.50</td><td>large</td>' in html
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert base64.b64decode(data) == (tmp_path / 'pictures' / 'red.png').read_bytes()
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)


def test_the_pictures_may_lie_beside_the_page(tmp_path: Path) -> None:
    html = write_report(report(), tmp_path, is_single_file=False).read_text()
    assert '<a href="pictures/red.png"><img loading="lazy" src="pictures/red.png"' in html
    assert 'base64' not in html


def test_a_graph_brings_its_library(tmp_path: Path) -> None:
    html = write_report(
        report(Graph({'data': [{'type': 'bar', 'y': [1, 2]}], 'layout': {}}, 'two bars')), tmp_path
    ).read_text()
    assert html.count('Plotly.newPlot(') > 0
    assert not re.search(r'<(?:script|link)[^>]+(?:src|href)=', html)


def test_markdown_and_json_say_the_same(tmp_path: Path) -> None:
    write_report(report(), tmp_path)
    text = (tmp_path / 'report.md').read_text()
    assert '# A study' in text and '**random weights**' in text
    assert r'| a\|b | 1.235 |' in text and '![all red](pictures/red.png)' in text
    assert text.index('### first') < text.index('two')
    assert '\n\n\n' not in text
    content = json.loads((tmp_path / 'report.json').read_text())
    assert content['facts'] == {'weights': 'demo'} and content['command'] == 'do --it'
    blocks = content['sections'][0]['blocks']
    assert blocks[2]['rows'] == [['name', 'value'], ['a|b', 1.23456], ['none', None]]
    picture = {'image': 'pictures/red.png', 'name': 'pictures/red', 'caption': 'all red'}
    assert blocks[3] == picture


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(SettingError, match='cannot be written'):
        write_report(report(), tmp_path / 'file')
