"""The page of all faults."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from faults import COMMAND, fuzz_cases, page


def test_the_page_is_what_is_declared(request: pytest.FixtureRequest) -> None:
    """docs/reliability.md is that of a run in which all passed."""
    if request.config.option.reliability is not None:
        pytest.skip('it is being written')
    files = sorted(Path(__file__).parent.glob('test_*.py'))
    modules = [importlib.import_module(f'faults.{file.stem}') for file in files]
    tests = [test for one in modules for test in vars(one).values() if hasattr(test, 'faults')]
    cases = fuzz_cases(vars(importlib.import_module('messages.test_fuzz')).values())
    text = page(tests, lambda _: 'passed', cases, 'passed')
    stale = f'stale: run {COMMAND}'
    assert (Path(__file__).parents[2] / 'docs' / 'reliability.md').read_text() == text, stale
