"""What `depth_anything bag prove` says without ground truth, beside the ground truth of the bag.

Behind a network that errs as the real one: the truth in a sample bag with the errors that Depth
Anything V2 has; or behind any other, with --variant. `judged`: by the samples held out. `true`:
the true error of that very depth, at the very places; `ratio` is of the two. `in_use`: the true
error there with the whole reference in the alignment. `everywhere`: that over the whole image,
also where the reference does not see.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.bag.discovery import color_topics
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.replay import ReplayedImage
from depth_anything_ros.cli.options import NETWORK, add_layered_parameters, layered_parameters
from depth_anything_ros.cli.terminal import load, print_rows
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import FloatImage, Ints
from depth_anything_ros.messages.depth_images import depth_from_image
from depth_anything_ros.messages.images import bgr_from_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.studies.prove.judged import Judged
from depth_anything_ros.studies.prove.run import HELD_OUT, Asked, prove
from lab import command
from lab.degraded_truth import DegradedTruthBackend
from lab.topic_names import TRUTH

__all__ = ['degraded_truth_of', 'main']


@dataclass(frozen=True)
class Row:
    """Mean |error| / depth of one reference of one bag; see the top of this file."""

    bag: str
    reference: str
    images: int
    judged: float
    true: float
    ratio: float
    in_use: float
    everywhere: float


def degraded_truth_of(path: Path) -> DegradedTruthBackend:
    """Return a network that errs, as the real one does, about the pictures of a sample bag."""
    truths = _truths(path)
    with BagReader(path) as reader:
        image = color_topics(reader)[0]
        pictures = (each.read() for each in reader.messages([image]))
        return DegradedTruthBackend(
            (bgr_from_image(each).copy(), _far(truths[ns_from_stamp(each.header.stamp)]))
            for each in pictures
        )


def _truths(path: Path) -> dict[int, FloatImage]:
    """Return true depth by stamp."""
    with BagReader(path) as reader:
        reader.require(TRUTH)
        return {
            ns_from_stamp(message.header.stamp): depth_from_image(message)
            for message in (each.read() for each in reader.messages([TRUTH]))
        }


def _far(truth: FloatImage) -> FloatImage:
    """Return the truth with the sky, which may be unknown in a message, infinitely far."""
    return np.nan_to_num(truth, nan=np.inf, posinf=np.inf)


def _compared(
    path: Path,
    network: DepthBackend,
    parameters: Parameters,
    reference: str,
    on_image: Callable[[], object],
) -> Row:
    truths = _truths(path)
    places: dict[int, Ints] = {}
    errors: dict[str, list[float]] = {'true': [], 'in_use': []}

    def add(name: str, image: ReplayedImage, pixels: Ints) -> None:
        assert image.frame is not None
        assert image.frame.depth_m is not None
        x, y = pixels.T
        true = truths[image.frame.stamp_ns][y, x]
        # Sky beside the sample may be unknown, or infinite.
        true = np.where(np.isfinite(true), true, np.nan)
        relative = np.abs(image.frame.depth_m[y, x] - true) / true
        errors[name].append(float(np.nanmean(relative)))

    def held_out(image: ReplayedImage, judged: Mapping[str, Judged]) -> None:
        on_image()
        if HELD_OUT in judged and image.frame is not None:
            places[image.frame.stamp_ns] = judged[HELD_OUT].pixels
            add('true', image, places[image.frame.stamp_ns])

    def whole(image: ReplayedImage, judged: Mapping[str, Judged]) -> None:
        on_image()
        if judged and image.frame is not None and image.frame.stamp_ns in places:
            add('in_use', image, places[image.frame.stamp_ns])

    (found,) = prove(path, network, parameters, Asked(references=(reference,)), held_out)
    by_truth = Asked(references=(reference,), ground_truth=TRUTH)
    (known,) = prove(path, network, parameters, by_truth, whole)
    proof = found.proofs[0]
    true, in_use = (float(np.mean(errors[name])) for name in ('true', 'in_use'))
    return Row(
        path.name,
        proof.reference,
        proof.judged,
        proof.abs_rel,
        true,
        proof.abs_rel / true,
        in_use,
        known.proofs[0].abs_rel,
    )


def main(args: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    parser = command.parser_of('lab.claims.prove', __doc__)
    parser.add_argument(
        'bags', metavar='BAG', nargs='+', type=Path, help='from `python -m lab.sample`'
    )
    command.add_json(parser)
    add_layered_parameters(parser, NETWORK)
    return command.run(parser, args, _print)


def _print(options: argparse.Namespace) -> int:
    parameters = layered_parameters(options, **{'reference.fixed_frame': 'odom'})
    network = load(parameters) if 'variant' in vars(options) else None
    rows: list[Row] = []
    with tqdm(unit='image', disable=None, leave=False) as bar:
        for bag in options.bags:
            backend = network or degraded_truth_of(bag)
            for reference in ('point_cloud', 'depth_image'):
                rows.append(_compared(bag, backend, parameters, reference, bar.update))
    return print_rows(rows, options.json)


if __name__ == '__main__':
    raise SystemExit(main())
