"""What the processor is said to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from depth_anything_ros.core import processor


@pytest.mark.parametrize(
    ('cpus', 'siblings', 'threads'),
    [
        ([0], ['0'], 1),
        ([0, 1], ['0', '1'], 2),
        ([0, 1, 2, 3], ['0-1', '0-1', '2-3', '2-3'], 2),
        ([0, 1, 2, 3], ['0', '1', '2', '3'], 3),
        ([1, 3], ['0', '1', '2', '3'], 2),  # the container has two of four
        ([0, 1, 2, 3], [], 3),  # the kernel does not tell
    ],
)
def test_one_core_of_more_than_two_is_left_to_the_robot(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cpus: list[int],
    siblings: list[str],
    threads: int,
) -> None:
    for cpu, text in enumerate(siblings):
        folder = tmp_path / f'cpu{cpu}' / 'topology'
        folder.mkdir(parents=True)
        (folder / 'thread_siblings_list').write_text(text + '\n')
    monkeypatch.setattr(processor, '_CPUS', tmp_path)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(cpus))
    assert processor.default_threads() == threads


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('flags\t\t: fpu avx512f avx512_bf16 amx_tile\n', True),
        ('flags\t\t: fpu amx_bf16\n', True),
        ('flags\t\t: fpu avx512f\n', False),
        ('Features\t: fp asimd bf16\n', False),
        ('', False),
    ],
)
def test_bfloat16_is_read_from_the_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: bool
) -> None:
    (tmp_path / 'cpuinfo').write_text(text)
    monkeypatch.setattr(processor, '_INFO', tmp_path / 'cpuinfo')
    assert processor.multiplies_bfloat16() is expected
    monkeypatch.setattr(processor, '_INFO', tmp_path / 'missing')
    assert processor.multiplies_bfloat16() is False
