"""The pages: links lead somewhere, commands parse, examples run, every reason is explained."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'depth_anything_ros'
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').glob('*.md'), *PACKAGE.rglob('*.md')])

FENCE = re.compile(r'^```(\w*)\n(.*?)^```', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\[[^][]*\]\(([^)\s]+)\)')
SEAM = re.compile(r"\.\.\.|<[^>]*>|'[^']*'|[0-9.]+|: |, | for | by ")
HEADING = re.compile(r'^#+ +(.*)', re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub('', page.read_text())


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    titles = [re.sub(r'[`*]', '', title).strip().lower() for title in HEADING.findall(prose(page))]
    return {re.sub(r'[^\w\- ]', '', title).replace(' ', '-') for title in titles}


def commands() -> Iterator[tuple[str, str, bool]]:
    """Return page, text, and whether it is in a block, of every `depth_anything` command."""
    for page in PAGES:
        blocks = [text for kind, text in FENCE.findall(page.read_text()) if kind in ('', 'bash')]
        lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
        inline = re.findall(r'`([^`]+)`', prose(page))
        for line, in_block in [*((x, True) for x in lines), *((x, False) for x in inline)]:
            found = re.match(r'\s*(depth_anything\s+[a-z].*)', line, re.DOTALL)
            if found is not None:
                yield name(page), ' '.join(found[1].split()), in_block


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_links_and_anchors_exist(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if re.match(r'\w+://', link):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_is_in_the_readme() -> None:
    listed = LINK.findall((ROOT / 'README.md').read_text())
    assert {name(page) for page in (ROOT / 'docs').glob('*.md')} <= set(listed)


def test_the_texts_that_troubleshooting_explains_are_said() -> None:
    """Each part of them between placeholders and where texts are joined, from three words on."""
    said = '\n'.join(
        ''.join(part.value if isinstance(part, ast.Constant) else '\n' for part in node.values)
        if isinstance(node, ast.JoinedStr)
        else str(node.value)
        for module in PACKAGE.rglob('*.py')
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.JoinedStr | ast.Constant)
    )
    rows = re.findall(r'^\|(.*?)\|', (ROOT / 'docs' / 'troubleshooting.md').read_text(), re.M)
    quoted = [
        part for row in rows for text in re.findall('`([^`]+)`', row) for part in SEAM.split(text)
    ]
    pieces = {piece.strip() for piece in quoted if piece.strip().count(' ') >= 2}
    assert len(pieces) > 30
    assert [piece for piece in sorted(pieces) if piece not in said] == []


def test_commands_parse(capsys: pytest.CaptureFixture[str]) -> None:
    from depth_anything_ros.cli.verbs import parser

    refused = []
    found = list(commands())
    assert len(found) > 20
    for page, command, in_block in found:
        words = shlex.split(command, comments=True)[1:]
        try:
            parser().parse_args(words)
        except SystemExit as end:
            if end.code == 0:  # --help
                continue
            error = capsys.readouterr().err.strip().splitlines()[-1]
            # In running text a verb may be named without what it needs.
            if in_block or 'arguments are required' not in error:
                refused.append(f'{page}: {command}: {error}')
    assert not refused, '\n'.join(refused)


def test_laboratory_scripts_exist() -> None:
    for page in PAGES:
        for module in re.findall(r'python -m (lab(?:\.[a-z_]+)+)(?!\.?\w)', page.read_text()):
            path = ROOT / module.replace('.', '/')
            assert path.with_suffix('.py').exists() or (path / '__main__.py').exists(), (
                f'{name(page)}: {module}'
            )


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of docs/python.md, one after the other, without network access."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    page = ROOT / 'docs' / 'python.md'
    namespace: dict[str, Any] = {}
    for kind, text in FENCE.findall(page.read_text()):
        if kind == 'python':
            exec(compile(text, name(page), 'exec'), namespace)
    assert (tmp_path / 'depth.png').stat().st_size > 1000
    assert namespace['scan'] is not None


def test_every_reason_is_explained() -> None:
    """docs/troubleshooting.md says what to do for each code that users can see."""
    sources = {path: path.read_text() for path in PACKAGE.rglob('*.py')}
    codes = {
        code
        for text in sources.values()
        for code in re.findall(r"FrameError\(\s*'([a-z_]+)'", text)
    }
    worded = (PACKAGE / 'metric' / 'scale.py', PACKAGE / 'ros' / 'diagnostics.py')
    for path in worded:
        found = re.findall(r"^    '([a-z_]+)': '", sources[path], re.MULTILINE)
        assert found, path
        codes |= set(found)
    explained = (ROOT / 'docs' / 'troubleshooting.md').read_text()
    assert not {code for code in codes if f'`{code}`' not in explained}


def test_files_of_the_architecture_exist() -> None:
    text = (ROOT / 'docs' / 'architecture.md').read_text()
    paths = re.findall(r'`([a-z_/]+(?:\.py|/))`', text)
    assert len(paths) > 20
    assert not [path for path in paths if not any((at / path).exists() for at in (PACKAGE, ROOT))]
