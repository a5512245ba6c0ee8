"""What is timed: one configuration for each row."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from depth_anything_ros.backends.base import AUTO
from depth_anything_ros.backends.registry import BACKENDS
from depth_anything_ros.core.errors import SettingError, WeightsError
from depth_anything_ros.core.parameters import Parameters, parameters_from_flat
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.variants import VARIANTS, Checkpoint
from depth_anything_ros.model.weights import card_of, find
from depth_anything_ros.model.weights_file import RANDOM, described_file, given_path

__all__ = [
    'Configuration',
    'Engine',
    'card_of_network',
    'grid',
    'named_networks',
    'weights_here',
    'with_weights',
]


@dataclass(frozen=True)
class Engine:
    """What runs a network, and in which arithmetic."""

    backend: str
    precision: str = AUTO

    @classmethod
    def read(cls, text: str) -> Engine:
        """Read 'torch' or 'torch:bf16'; SettingError for a name that is not known."""
        backend, _, precision = text.partition(':')
        if backend not in BACKENDS:
            raise SettingError(
                f"'{text}' names no backend: give {', '.join(BACKENDS)}, with a precision as in "
                'torch:bf16'
            )
        engine = cls(backend, precision or AUTO)
        try:
            parameters_from_flat({'precision': engine.precision})
        except SettingError as err:
            raise SettingError(f"'{text}' names no engine: {err}") from err
        return engine


@dataclass(frozen=True)
class Configuration:
    """One network, as parameters of the node, and how many images it gets at once.

    `variant` is the name of the card where `weights` is one, which says what the network is.
    `calibration` is the bag, folder or video that int8 is calibrated on; '' takes the network
    that was calibrated before, in the user's cache.
    """

    variant: str
    backend: str
    precision: str = AUTO
    input_size: int = 518
    batch: int = 1
    threads: int = 0
    device: str = AUTO
    weights: str = ''
    calibration: str = ''

    @property
    def engine(self) -> Engine:
        """Return what runs it."""
        return Engine(self.backend, self.precision)

    @property
    def is_random(self) -> bool:
        """Return whether the weights are random: good for speed only."""
        return RANDOM in (self.weights, card_of_network(self.variant, self.weights).file)

    def parameters(self) -> Parameters:
        """Return the parameters of a node that runs it; weights are never downloaded."""
        given = asdict(self)
        del given['batch'], given['calibration']
        given |= {'variant': _asked_variant(self.variant), 'allow_download': False}
        given['weights'] = weights_here(given['variant'], self.weights)
        return parameters_from_flat(given)

    def by(self, engine: Engine) -> Configuration:
        """Return the same network, an image at a time, run by `engine`."""
        return replace(self, backend=engine.backend, precision=engine.precision, batch=1)


def grid(
    variants: Sequence[str],
    input_sizes: Sequence[int],
    threads: Sequence[int],
    backends: Sequence[str],
    precisions: Sequence[str],
    batches: Sequence[int],
    device: str = AUTO,
    weights: str = '',
    calibration: str = '',
) -> list[Configuration]:
    """Return every combination once; those that share a baseline come one after the other."""
    every = [
        Configuration(
            variant,
            backend,
            precision,
            card_of_network(variant, weights).pinned_size or size,
            batch,
            count,
            device,
            weights,
            calibration,
        )
        for variant, size, count, backend, precision, batch in itertools.product(
            variants, input_sizes, threads, backends, precisions, batches
        )
    ]
    # A variant that is pinned to one size has that whatever is asked for.
    return list(dict.fromkeys(every))


def named_networks(weights: str, variants: Sequence[str]) -> Sequence[str]:
    """Return `variants`, or the name of the card where `weights` is a file with a card."""
    if weights in ('', RANDOM):
        return variants
    file = described_file(given_path(weights))
    return variants if file is None or file.card_path is None else [Path(weights).stem]


def card_of_network(variant: str, weights: str) -> Card:
    """Return the card of the network of a `Configuration` or a row of these values."""
    return card_of(_asked_variant(variant), Checkpoint.RELATIVE, weights)


def _asked_variant(variant: str) -> str:
    return variant if variant in VARIANTS else Parameters().variant


def with_weights(
    configurations: Sequence[Configuration],
) -> tuple[list[Configuration], dict[str, str]]:
    """Return the networks with their weights decided, and for each variant which they are."""
    chosen, described = [], {}
    for one in configurations:
        here = weights_here(one.variant, one.weights)
        chosen.append(replace(one, weights=here))
        missing = f'{here}, as the released ones are not in the cache' if here else 'released'
        described[one.variant] = one.weights or missing
    return chosen, described


def weights_here(variant: str, weights: str) -> str:
    """Return `weights`; for '' where the released ones are not on disk, 'random'.

    Nothing is downloaded for the sake of a figure: speed does not depend on the values. Raises
    WeightsError for a path that is not there.
    """
    if weights:
        if weights != RANDOM:
            given_path(weights)
        return weights
    try:
        find(variant, Checkpoint.RELATIVE)
    except WeightsError:
        return RANDOM
    return ''
