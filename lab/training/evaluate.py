"""Judge the shipped `demo` weights on held-out scenes.

Run `python -m lab.training.evaluate [--json]`: AbsRel and delta1 of rooms and
roads, scale and shift fitted per picture, beside those of the best map that does not look.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from depth_anything_ros.model.releases import PACKAGED
from lab.training.card import score_table
from lab.training.metrics import held_out_scores
from lab.training.network import load_demo, predictor

__all__ = ['main']


def main(argv: Sequence[str] | None = None) -> int:
    """Print the held-out figures of both families."""
    parser = argparse.ArgumentParser(prog='evaluate_demo', description=__doc__)
    parser.add_argument('--weights', type=Path, default=PACKAGED['demo'])
    parser.add_argument('--images', type=int, default=100, help='pictures per family')
    parser.add_argument('--json', action='store_true')
    given = parser.parse_args(argv)
    scores = held_out_scores(predictor(load_demo(given.weights)), given.images)
    print(json.dumps([asdict(score) for score in scores]) if given.json else score_table(scores))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
