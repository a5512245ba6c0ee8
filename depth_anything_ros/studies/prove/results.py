"""What a bag proved: a row for each reference and judge, and what plots show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.studies.prove.figures import Figures
from depth_anything_ros.studies.prove.limits import ProofLimits

__all__ = ['FrameRow', 'Proof', 'ReferenceResult', 'WorstFrame', 'failures']


@dataclass(frozen=True)
class Proof:
    """What one reference gave by one judge.

    `judge`: 'held out', a topic, or 'ground truth'. `images`: those of the bag, of which
    `published` is the share with metric depth, and `judged` the number that was judged. `refused`:
    frames of each reason. `abs_rel`, `bias`, `delta1`, `within_1_sigma`, `within_2_sigma`,
    `outliers`, `trust_m`: see Figures. `flicker`: core.flicker, NaN where no pixels hold still.
    `tae_percent`: core.temporal_alignment. `ms_p50`, `ms_p95`: of an image on this machine, to
    depth and sigma; `period_ms`: between images of the bag.
    """

    bag: str
    network: str
    reference: str
    judge: str
    images: int
    judged: int
    published: float
    abs_rel: float
    bias: float
    delta1: float
    within_1_sigma: float
    within_2_sigma: float
    outliers: float
    noise: float
    trust_m: float
    flicker: float
    scale_jitter_percent: float
    tae_percent: float
    ms_p50: float
    ms_p95: float
    period_ms: float
    refused: Mapping[str, int]


@dataclass(frozen=True)
class FrameRow:
    """One image: its stamp in seconds from the first, and why it has no metres, '' if it has.

    `abs_rel` by judge, with the judge's noise. NaN for what is not known.
    """

    time_s: float
    stamp_ns: int
    reason: str
    abs_rel: Mapping[str, float]
    scale: float = math.nan
    flicker: float = math.nan
    tae: float = math.nan


@dataclass(frozen=True, eq=False)
class WorstFrame:
    """A frame to look at: its error by the first judge, and a picture."""

    abs_rel: float
    stamp_ns: int
    picture: BgrImage


@dataclass(frozen=True, eq=False)
class ReferenceResult:
    """One replay of a bag with one reference: a proof and figures for each judge."""

    proofs: tuple[Proof, ...]
    figures: tuple[Figures, ...]
    frames: tuple[FrameRow, ...]
    worst: tuple[WorstFrame, ...]
    left_out: tuple[str, ...]


def failures(proof: Proof, limits: ProofLimits) -> Iterator[str]:
    """Return a line for each limit that a row does not keep; for no judge only what needs none."""
    where = f'{proof.bag} {proof.reference}, judged by {proof.judge}'
    for limit in fields(limits):
        value, most = getattr(proof, limit.name), getattr(limits, limit.name)
        minimum = limit.metadata['minimum']
        # Of what was never published or judged, NaN, `published` and `judged` tell.
        if value < most if minimum else abs(value) > most:
            side = 'below' if minimum else 'beyond'
            yield f'{where}: {limit.name} is {value:.4g}, {side} {most:g}'
    if proof.published and not proof.judged and proof.judge:
        yield f'{where}: nothing was judged'
