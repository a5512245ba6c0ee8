"""What the alignment of scale demands, by the kind of its reference."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.types import ReferenceKind

__all__ = ['KIND_RULES', 'AlignmentConfig', 'KindRules', 'OrderingRules']


@dataclass(frozen=True)
class OrderingRules:
    """What it takes to believe that the nearer of two samples has the greater inverse depth.

    `informative_change`: log change of depth from which the network must see which of two is
    nearer. `share`: of such pairs that must agree in a frame. `frames`: that must do so before
    the first metres. `most_doubt`: frames that at most have to agree after contradictions.
    """

    informative_change: float
    share: float
    frames: int
    most_doubt: int


@dataclass(frozen=True)
class KindRules:
    """What one kind of reference must bring, and what it is fit for.

    `samples`: least number after gating (of readings, for a range cone). `inliers`: least
    number that fits. `inlier_ratio`: least share that fits, with 97.5 % confidence.
    `parallax`: its points may lie behind what the camera sees. `spreads`: it covers an area of
    the image with what the camera sees, so that it may correct the network there. `trust`: that
    of `observed_error`; beside a row or a spot little else is known. `visible`: it measures in
    many places what the camera sees, so that a region of outliers is a fault; something may stand
    on a plane.
    """

    samples: int
    inliers: int
    inlier_ratio: float
    ordering: OrderingRules
    parallax: bool = False
    spreads: bool = False
    trust: float = 0.1
    visible: bool = False


# The network's error differs between two places by 10 %, and outliers make pairs agree by chance:
# 30 % of them leave a share of 0.75.
_IN_SPACE = OrderingRules(0.15, 0.6, 1, 8)
# The readings of a cone share their place, one stray stays among them for ten frames, and a
# negated one agrees for as long as it crosses an edge.
_IN_TIME = OrderingRules(0.1, 0.8, 3, 80)

KIND_RULES: dict[ReferenceKind, KindRules] = {
    ReferenceKind.DEPTH_IMAGE: KindRules(24, 16, 0.4, _IN_SPACE, spreads=True, visible=True),
    ReferenceKind.POINT_CLOUD: KindRules(
        12, 8, 0.4, _IN_SPACE, parallax=True, spreads=True, visible=True
    ),
    ReferenceKind.LASER_SCAN: KindRules(
        6, 5, 0.4, _IN_SPACE, parallax=True, trust=0.65, visible=True
    ),
    ReferenceKind.RANGE: KindRules(5, 4, 0.4, _IN_TIME, trust=0.65),
    ReferenceKind.GROUND_PLANE: KindRules(12, 8, 0.4, _IN_SPACE),
}


@dataclass(frozen=True)
class AlignmentConfig:
    """Thresholds of the alignment.

    `kind`: what the samples are. `min_depth_m`, `max_depth_m`: samples and aligned depth
    outside are unknown. `hold_s`: how long an alignment may be used after its reference.
    `max_residual`: median |log error| of the samples above which a fit is refused.
    `max_relative_sigma`: standard deviation over depth, at the median pixel, above which the
    reference is said to leave the slope open. `edge_share`: samples are dropped where the
    inverse depth around them varies by more than this share of its spread over the image.
    `network_sigma`: log error of the network that is assumed until samples say more.
    `shift_share`: standard deviation of the shift while no sample tells, as a share of the
    inverse depth of the far end of the scene. `drift`: log change of the level between network
    and metres in one second. `refinement`: correct local errors of the network as well.
    `trust_polarity`: publish before any two samples told that nearer is more inverse depth.
    """

    kind: ReferenceKind = ReferenceKind.POINT_CLOUD
    min_depth_m: float = 0.1
    max_depth_m: float = 80.0
    hold_s: float = 0.5
    max_residual: float = 0.15
    max_relative_sigma: float = 0.25
    edge_share: float = 0.15
    network_sigma: float = 0.06
    shift_share: float = 0.2
    drift: float = 0.05
    refinement: bool = False
    trust_polarity: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no alignment could satisfy."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not (math.isfinite(value) and value > 0.0):
                raise SettingError(f'{field.name} is {value}: it must be a finite number above 0')
        if self.min_depth_m >= self.max_depth_m:
            raise SettingError(
                f'min_depth_m is {self.min_depth_m} and max_depth_m {self.max_depth_m}: the '
                'first must be the smaller'
            )

    @property
    def rules(self) -> KindRules:
        """Return the rules of this kind of reference."""
        return KIND_RULES[self.kind]

    @property
    def refines(self) -> bool:
        """Return whether local refinement is asked for and the reference allows it."""
        return self.refinement and self.rules.spreads
