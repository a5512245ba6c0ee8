"""Every verb of `depth_anything`, and what it imports: half a second of it."""

from __future__ import annotations

import argparse

from depth_anything_ros import __version__
from depth_anything_ros.cli import bag, bench, export, run, tune, weights

__all__ = ['parser']


def parser() -> argparse.ArgumentParser:
    """Declare the verbs and their options."""
    whole = argparse.ArgumentParser(
        prog='depth_anything', description='Depth from one camera with Depth Anything V2.'
    )
    whole.add_argument('--version', action='version', version=__version__)
    verbs = whole.add_subparsers(required=True, metavar='VERB')
    for group in (run, bag, bench, tune, export, weights):
        group.add(verbs)
    return whole
