"""Metric depth by each reference of a sample bag, behind a network that errs as the real one.

The network is the ground truth in the bag with the errors that Depth Anything V2 has, so what is
judged is the alignment. `depth_anything bag prove` does the same with a real network.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from depth_anything_ros.bag.discovery import color_topics
from depth_anything_ros.bag.prove import Proof, prove
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.cli.options import add_layered_parameters, layered_parameters
from depth_anything_ros.cli.terminal import print_rows
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.messages.depth_images import depth_from_image
from depth_anything_ros.messages.images import bgr_from_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from lab import command
from lab.degraded_truth import DegradedTruthBackend
from lab.topic_names import TRUTH

__all__ = ['degraded_truth_of', 'main']


def degraded_truth_of(path: Path) -> DegradedTruthBackend:
    """Return a network that errs, as the real one does, about the pictures of a sample bag."""
    with BagReader(path) as reader:
        reader.require(TRUTH)
        image = color_topics(reader)[0]
        truths = {
            ns_from_stamp(message.header.stamp): depth_from_image(message)
            for message in (each.read() for each in reader.messages([TRUTH]))
        }
        pictures = (each.read() for each in reader.messages([image]))
        return DegradedTruthBackend(
            (bgr_from_image(each).copy(), _far(truths[ns_from_stamp(each.header.stamp)]))
            for each in pictures
        )


def _far(truth: FloatImage) -> FloatImage:
    """Return the truth with the sky, which may be unknown in a message, infinitely far."""
    return np.nan_to_num(truth, nan=np.inf, posinf=np.inf)


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.prove', __doc__)
    parser.add_argument(
        'bags', metavar='BAG', nargs='+', type=Path, help='from `python -m lab.sample`'
    )
    command.add_json(parser)
    add_layered_parameters(parser, ())
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    parameters = layered_parameters(options, **{'reference.fixed_frame': 'odom'})
    rows: list[Proof] = []
    with tqdm(unit='image', disable=None, leave=False) as bar:
        for bag in options.bags:
            network = degraded_truth_of(bag)
            rows += prove(bag, network, parameters, TRUTH, lambda _: bar.update())
    return print_rows(rows, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
