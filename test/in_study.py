"""`depth_anything study` in this process."""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.cli.verbs import parser

__all__ = ['study']


def study(verb: str, source: Path, out: Path, *words: str) -> int:
    """Return the status; DepthAnythingError is not caught."""
    options = parser().parse_args(['study', verb, str(source), '--out', str(out), *words])
    status: int = options.verb(options)
    return status
