"""What a fault is, as a declaration, and docs/reliability.md as a rendering of all of them.

Each is counted and told, and the next good frame works. One node takes nearly all of them one
after the other, so each must leave it well. A `Fault` declares what is published, counted and
said; its test holds the node to exactly that.

`pytest test/faults test/messages/test_fuzz.py --reliability FILE` writes the page.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NODE = '/depth_anything/'
RELATIVE, RAW, COLOR = (NODE + f'relative/{name}' for name in ('image', 'raw', 'image_color'))
DEPTH, DEPTH_INFO, SIGMA = (NODE + f'depth/{name}' for name in ('image', 'camera_info', 'sigma'))
POINTS, STATS = NODE + 'points', NODE + 'frame_stats'

NOTHING: frozenset[str] = frozenset()
NO_METRES = frozenset({RELATIVE, STATS})
ALL = NO_METRES | {DEPTH, DEPTH_INFO, SIGMA, POINTS}

COMMAND = (
    'python -m pytest test/faults test/messages/test_fuzz.py --reliability docs/reliability.md'
)

_WORDS = {NOTHING: 'nothing', NO_METRES: 'relative', ALL: 'all'}
_INTRODUCTION = """\
One node meets these faults one after the other, and another one the full disk. During a fault
nothing else is published and nothing else is counted than what stands here. After each, a good
frame with its reference is answered on every topic, its depth agrees with the truth, every image
that came in was answered or is counted under a reason, and `~/status` is OK again. What is
counted stands in `/diagnostics`, what is said in `~/status`: see [topics.md](topics.md). The test
subscribes to these outputs:"""

Test = Callable[..., None]


@dataclass(frozen=True)
class Fault:
    """A fault in plain words, and all that a node makes of it; `cause` is for its test alone.

    `published` are the topics that answer the image. `held` are those while the scale of an
    earlier frame is held, None where that changes nothing. `counted` are keys of /diagnostics,
    of which one counts each such image; no other grows. `said` is text of ~/status.
    """

    name: str
    published: frozenset[str]
    counted: tuple[str, ...] = ()
    said: str = ''
    held: frozenset[str] | None = None
    cause: Any = None


def faults(*declared: Fault) -> Callable[[Test], Test]:
    """Run a test with each of these as `fault`, and list them under its docstring."""

    def decorate(test: Test) -> Test:
        test.faults = declared  # type: ignore[attr-defined]
        cases = [pytest.param(fault, id=fault.name) for fault in declared]
        return pytest.mark.parametrize('fault', cases)(test)

    return decorate


def fuzz_cases(tests: Iterable[Test]) -> int:
    """How many examples the tests that say so in `cases` try, over all their parameters."""
    return sum(
        test.cases  # type: ignore[attr-defined]
        * math.prod(
            len(mark.args[1])
            for mark in getattr(test, 'pytestmark', [])
            if mark.name == 'parametrize'
        )
        for test in tests
        if hasattr(test, 'cases')
    )


def page(tests: Iterable[Test], result: Callable[[str], str], cases: int, fuzz: str) -> str:
    """Render the faults of `tests`; `result` gives what came of one, by its name in pytest."""
    parts = [
        '# Reliability',
        f'Written by `{COMMAND}`.',
        _INTRODUCTION,
        '\n'.join(f'- *{word}*: {_listed(topics)}' for topics, word in _WORDS.items() if topics),
    ]
    for test in tests:
        rows = [
            '| fault | published | counted | said | result |',
            '|---|---|---|---|---|',
        ]
        for fault in test.faults:  # type: ignore[attr-defined]
            said = f'`{fault.said}`' if fault.said else 'nothing'
            came = result(f'{test.__name__}[{fault.name}]')
            cells = (fault.name, _published(fault), _counted(fault), said, came)
            rows.append(f'| {" | ".join(cells)} |')
        parts += [f'## {(inspect.getdoc(test) or "").rstrip(".")}', '\n'.join(rows)]
    parts += [
        '## Whatever a message holds, its reader gives what it promises or refuses it',
        f'{cases:,} arbitrary messages, pictures and references, each in bounded time and memory\n'
        f'(`test/messages/test_fuzz.py`): {fuzz}.',
    ]
    return '\n\n'.join(parts) + '\n'


def _published(fault: Fault) -> str:
    told = _topics(fault.published)
    if fault.held is not None:
        told += f'; while a scale is held, {_topics(fault.held)}'
    return told


def _topics(topics: frozenset[str]) -> str:
    if topics in _WORDS:
        return _WORDS[topics]
    return f'{_WORDS[NO_METRES]}, {_listed(topics - NO_METRES)}'


def _listed(topics: frozenset[str]) -> str:
    return ', '.join(f'`{topic.replace(NODE, "~/")}`' for topic in sorted(topics))


def _counted(fault: Fault) -> str:
    return ' or '.join(f'`{key}`' for key in fault.counted) or 'nothing'


class PageWriter:
    """A plugin of pytest that writes the page from the results of its run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of what a test's set-up, call and end came to."""
        if report.when == 'call' or not report.passed:
            before = self._outcomes.get(report.nodeid)
            self._outcomes[report.nodeid] = 'failed' if before == 'failed' else report.outcome

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was run, and only that."""
        tests = dict.fromkeys(item.function for item in session.items)  # type: ignore[attr-defined]
        told = [
            self._outcomes.get(item.nodeid, 'not run')
            for item in session.items
            if hasattr(item.function, 'cases')  # type: ignore[attr-defined]
        ]
        by_name = {node.rpartition('::')[2]: told for node, told in self._outcomes.items()}
        text = page(
            [test for test in tests if hasattr(test, 'faults')],
            lambda name: by_name.get(name, 'not run'),
            fuzz_cases(tests),
            ', '.join(sorted(set(told))) or 'not run',
        )
        self._path.write_text(text)
