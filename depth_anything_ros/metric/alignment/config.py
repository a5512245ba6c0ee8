"""What the alignment requires, by kind of reference."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import AlignmentParameters
from depth_anything_ros.core.types import ReferenceKind

__all__ = ['KIND_RULES', 'AlignmentConfig', 'KindRules']


@dataclass(frozen=True)
class KindRules:
    """What one kind of reference must provide, and what it may be used for.

    `samples`: least number after gating. `inliers`: least number that fits. `parallax`: its
    points may lie behind what the camera sees. `covers_area`: it covers an area of the image with
    what the camera sees, so that local errors of the network can be corrected there. `trust`:
    that of `observed_error`; beside a row of samples little else is known. `visible`: it measures
    in many places what the camera sees, so that a region of outliers is a fault (on a ground
    plane it is an object). `alike`: relative error that neighbouring samples share, which their
    residuals do not show.
    """

    samples: int
    inliers: int
    parallax: bool = False
    covers_area: bool = False
    trust: float = 0.1
    visible: bool = False
    alike: float = 0.0


KIND_RULES: dict[ReferenceKind, KindRules] = {
    ReferenceKind.DEPTH_IMAGE: KindRules(24, 16, covers_area=True, visible=True),
    ReferenceKind.POINT_CLOUD: KindRules(12, 8, parallax=True, covers_area=True, visible=True),
    ReferenceKind.LASER_SCAN: KindRules(6, 5, parallax=True, trust=0.65, visible=True),
    ReferenceKind.GROUND_PLANE: KindRules(12, 8),
    ReferenceKind.ODOMETRY: KindRules(24, 16, covers_area=True, visible=True, alike=0.03),
}


@dataclass(frozen=True)
class AlignmentConfig(AlignmentParameters):
    """The parameters of the alignment for samples of one `kind`.

    Samples and aligned depth outside `min_depth_m` to `max_depth_m` are unknown. `scale_sigma`:
    relative error that the depths of all samples of all frames share. `zero_is_infinite`: an
    output of 0 is infinitely far, as of a metric checkpoint.
    """

    kind: ReferenceKind = ReferenceKind.POINT_CLOUD
    min_depth_m: float = 0.1
    max_depth_m: float = 80.0
    scale_sigma: float = 0.0
    zero_is_infinite: bool = False

    def __post_init__(self) -> None:
        """Raise SettingError for values that no alignment could satisfy."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == 'scale_sigma' and value == 0.0:
                continue
            if isinstance(value, float) and not (math.isfinite(value) and value > 0.0):
                raise SettingError(f'{field.name} is {value}: it must be a finite number above 0')
        if self.min_depth_m >= self.max_depth_m:
            raise SettingError(
                f'min_depth_m is {self.min_depth_m} and max_depth_m {self.max_depth_m}: the '
                'first must be the smaller'
            )

    @property
    def rules(self) -> KindRules:
        """The rules of this kind of reference."""
        return KIND_RULES[self.kind]

    @property
    def unseen_sigma(self) -> float:
        """Relative error of the samples that residuals do not show."""
        return math.hypot(self.scale_sigma, self.rules.alike)

    @property
    def refines(self) -> bool:
        """Whether local refinement is enabled and the reference allows it."""
        return self.refinement and self.rules.covers_area
