"""How long the package takes to import, and `depth_anything --help` to print."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depth_anything_ros.cli.options import require_some
from depth_anything_ros.cli.terminal import print_rows
from lab import command

__all__ = ['HEAVY', 'StartupTime', 'main', 'measure_startup']

HEAVY = ('torch', 'cv2', 'rclpy')
"""What neither may import."""

_BARE = 'pass'
_CODES = {
    'import depth_anything_ros': ('import depth_anything_ros', 0.1),
    'depth_anything --help': (
        'from depth_anything_ros import cli\ntry: cli.main(["--help"])\nexcept SystemExit: pass',
        0.3,
    ),
}


@dataclass(frozen=True)
class StartupTime:
    """Seconds of a process, as a median; `own_s` is without those of Python itself.

    Each process runs in turn with one that imports nothing, and `own_s` is the median of the
    differences. `heavy` names the modules of `HEAVY` that were imported.
    """

    what: str
    rounds: int
    p50_s: float
    own_s: float
    budget_s: float
    heavy: str


def measure_startup(rounds: int) -> list[StartupTime]:
    """Run each process `rounds` times, in turn with one that imports nothing."""
    codes = (_BARE, *(code for code, _ in _CODES.values()))
    taken: dict[str, list[float]] = {code: [] for code in codes}
    for _ in range(rounds):
        for code, times_s in taken.items():
            start_s = time.perf_counter()
            _run(code)
            times_s.append(time.perf_counter() - start_s)
    return [
        StartupTime(
            what,
            rounds,
            float(np.median(taken[code])),
            float(np.median(np.subtract(taken[code], taken[_BARE]))),
            budget_s,
            _heavy_imports(code),
        )
        for what, (code, budget_s) in _CODES.items()
    ]


def _heavy_imports(code: str) -> str:
    """Return which of `HEAVY` the code imports."""
    listing = f'{code}\nimport sys\nprint(*sorted(set({HEAVY!r}) & sys.modules.keys()))'
    return _run(listing).split('\n')[-2]


def _run(code: str) -> str:
    """Return what a new Python prints that runs `code`."""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return done.stdout


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where something heavy was imported."""
    parser = command.parser_of('lab.claims.startup', __doc__)
    parser.add_argument('--rounds', type=int, metavar='N', default=20, help='default: %(default)s')
    command.add_json(parser)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    require_some(options, 'rounds')
    rows = measure_startup(options.rounds)
    print_rows(rows, options.json)
    return 1 if any(row.heavy for row in rows) else 0


if __name__ == '__main__':
    raise SystemExit(main())
