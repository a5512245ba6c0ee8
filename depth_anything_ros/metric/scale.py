"""Whether metric depth is available for a frame, from what, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.metric.alignment import Alignment

__all__ = ['NO_SCALE', 'Scale', 'reason_text']

_NAN = float('nan')
_REASONS = {
    'no_reference': 'no metric reference',
    'too_few_samples': 'too few samples of the reference lie in the image: check its frame and '
    'extrinsics, that sensor and camera look in the same direction, and that depths are metres '
    'between reference.min_depth_m and max_depth_m',
    'no_floor': 'the ground is not visible where the ground plane should be: check '
    'the height and pitch of the camera, in ROS reference.ground_frame, or tilt the camera down',
    'contradicts_network': 'depth ordering of the reference contradicts the network, near is far: '
    'check its frame, units and extrinsics',
    'polarity_unobserved': 'all reference samples lie at one depth: move until several depths are '
    'visible, or set alignment.trust_polarity',
    'ambiguous': 'two different scales fit the reference about equally well: give it more '
    'samples, at more depths, and check for reflections',
    'poor_fit': "the reference does not fit the network's output: check extrinsics and stamps",
    'unobservable_slope': 'the reference does not determine the scale: it has to cover more of '
    'the scene, or several depths',
    'too_old': 'the newest scale is too old: raise alignment.hold_s',
    'jump': 'the reference contradicts the scale of the frames before: check it; if it is right, '
    'the third such frame in succession starts the scale anew, in ROS also ~/reset_alignment',
    'random_weights': 'the network is untrained: its output is meaningless, use trained weights',
    'no_stamp': 'the image has the stamp 0, so no reference can be paired with it: fix its driver',
    'degenerate_network': "the network's output is constant or not finite",
    'no_earlier_frame': 'no earlier image with odometry yet: drive on; check that images come at '
    'least twice a second',
    'too_few_tracks': 'too few points were followed from earlier images: more light and texture, '
    'shorter exposure or more frames a second help',
    'no_motion': 'odometry has not moved far enough since the images that share points with this '
    'one: drive on, and check that odometry is published and moves',
    'too_little_parallax': 'the image hardly changes beside the rotation: drive past nearer '
    'things; if the robot does move, check the units of odometry',
    'tracks_disagree': 'the points in the image do not move as a still world does along the way '
    'of odometry: wait for traffic to pass; check intrinsics, distortion and extrinsics',
    'odometry_disagrees': 'the image turns or moves otherwise than odometry: check the stamps, '
    'odometry.latency_s, odometry.turn_sigma_deg and the extrinsics of the camera',
    'views_disagree': 'earlier images lead to different depths, as under slip or stamps apart: '
    'check the wheels, the clocks and odometry.latency_s',
    'odometry_slips': 'ways by odometry have become longer or shorter than the points in the '
    'image show, as when wheels begin or end to slip: check the wheels and the clocks; lengths '
    'that last for some 10 s of driving are believed',
    'pose_unsure': 'the turn between images is too uncertain for their baseline, as when turning '
    'on the spot: drive straight on',
    'height_disagrees': 'the ground by odometry is not as far below the camera as its height '
    'says: check the wheels for slip, the scale of odometry and reference.camera_height_m',
}


@dataclass(frozen=True, eq=False)
class Scale:
    """The metric scale of one frame.

    `alignment`: the one to use, None without metric depth. `source`: 'reference', 'checkpoint'
    (its training alone) or ''. `reason`: the reason code why this frame's reference was not used,
    '' where it was or where none is due; `message` says it in words. `fit`: the alignment to this
    frame's reference, accepted or not, None without one. `reference_age_s`: stamp of the image
    minus that of the reference used last.
    """

    alignment: Alignment | None
    source: str
    reason: str = ''
    message: str = ''
    fit: Alignment | None = None
    reference_age_s: float = _NAN

    @property
    def valid(self) -> bool:
        """Whether metric depth is available for the frame."""
        return self.alignment is not None

    def values(self) -> dict[str, object]:
        """Return the figures for diagnostics, with units in the keys.

        Scale and shift are those in use; the rest is of this frame's reference.
        """
        in_force, fit = self.alignment, self.fit
        return {
            'metric_valid': self.valid,
            'metric_source': self.source,
            'metric_reason': self.reason,
            'scale': in_force.scale if in_force else _NAN,
            'shift': in_force.shift if in_force else _NAN,
            'inliers': fit.inliers if fit else '',
            'inlier_ratio': fit.inlier_ratio if fit else _NAN,
            'residual': fit.residual if fit else _NAN,
            'reference_age_ms': self.reference_age_s * 1e3,
            'held_out_abs_rel': fit.held_out_abs_rel if fit else _NAN,
            'warning': in_force.warning if in_force else '',
        }


def reason_text(reason: str) -> str:
    """Return a reason of `Alignment`, or 'no_reference', in words, with what to check."""
    return _REASONS.get(reason, reason)


NO_SCALE = Scale(None, '', 'no_reference', reason_text('no_reference'))
"""No metric depth is available, or was asked for."""
