"""Every parameter, in every state: it applies, or is refused with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import DescribeParameters
from rclpy.qos import DurabilityPolicy, QoSProfile
from rig import Rig

from depth_anything_ros.core.parameters import Change, entries, flatten

# A value for each that is allowed and is not the default, nor what the rig starts with.
OTHER = {
    'variant': 'vitl',
    'checkpoint': 'metric_indoor',
    'weights': '/elsewhere.pth',
    'allow_download': False,
    'device': 'cuda:1',
    'backend': 'openvino',
    'precision': 'fp32',
    'input_size': 252,
    'threads': 2,
    'cameras': [''],
    'image_transport': 'compressed',
    'rectified': False,
    'max_image_age_s': 3.5,
    'max_image_megapixels': 2.0,
    'autostart': True,
    'output.max_side': 320,
    'output.jpeg_quality': 50,
    'output.depth_encoding': '16UC1',
    'output.compressed_depth_max_m': 20.0,
    'output.compressed_depth_quantization': 100.0,
    'relative.normalization': 'minmax',
    'relative.smoothing_s': 0.0,
    'color.map': 'jet',
    'reference.type': 'laser_scan',
    'reference.sync_tolerance_s': 0.5,
    'reference.fixed_frame': 'odom',
    'reference.min_depth_m': 0.5,
    'reference.max_depth_m': 30.0,
    'reference.camera_height_m': 1.2,
    'reference.ground_frame': 'floor',
    'reference.extrinsics': '0.1 0 0.2 -1.57 0 -1.57',
    'alignment.hold_s': 1.5,
    'alignment.max_residual': 0.2,
    'alignment.max_relative_sigma': 0.4,
    'alignment.edge_share': 0.2,
    'alignment.network_sigma': 0.1,
    'alignment.shift_share': 0.3,
    'alignment.drift': 0.1,
    'alignment.refinement': True,
    'alignment.trust_polarity': True,
    'metric.prior_relative_sigma': 0.3,
    'odometry.latency_s': 0.02,
    'odometry.scale_sigma': 0.05,
    'odometry.position_sigma_m': 0.01,
    'odometry.turn_sigma_deg': 1.0,
    'cloud.stride': 4,
    'cloud.voxel_m': 0.05,
    'cloud.color': False,
    'cloud.sigma': True,
    'cloud.edge_filter': 0.0,
    'cloud.min_range_m': 0.3,
    'cloud.max_range_m': 20.0,
    'cloud.height_frame': 'base_link',
    'cloud.min_height_m': -0.1,
    'cloud.max_height_m': 2.0,
    'cloud.max_relative_sigma': 0.2,
    'scan.frame': 'floor',
    'scan.min_height_m': 0.2,
    'scan.max_height_m': 1.0,
    'scan.floor_slope_rad': 0.03,
    'scan.min_range_m': 0.5,
    'scan.max_range_m': 5.0,
    'scan.step_rad': 0.02,
    'scan.max_relative_sigma': 0.1,
    'overload.policy': 'downscale',
    'overload.target_hz': 5.0,
    'diagnostics.period_s': 2.0,
    'diagnostics.stale_after_s': 9.0,
    'diagnostics.max_latency_s': 0.25,
    'diagnostics.min_output_hz': 3.0,
    'health.enabled': False,
    'health.dark_below': 10.0,
    'health.blown_out_above': 0.5,
    'health.blurred_below': 0.3,
}

ALLOWED = {
    Change.LIVE: {'unconfigured', 'inactive', 'active'},
    Change.INACTIVE: {'unconfigured', 'inactive'},
    Change.UNCONFIGURED: {'unconfigured'},
    Change.START: set(),
}


def test_the_table_is_complete() -> None:
    assert list(OTHER) == [entry.name for entry in entries()]


CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
STEPS = {'unconfigured': [], 'inactive': [CONFIGURE], 'active': [CONFIGURE, ACTIVATE]}


@pytest.mark.parametrize('state', STEPS)
def test_each_applies_or_is_refused_with_the_reason(state: str) -> None:
    with Rig({'autostart': False}) as rig:
        for transition in STEPS[state]:
            assert rig.change_state(transition)
        rig.until_state(state)
        for entry in entries():
            accepted, reason = rig.set_parameter(entry.name, OTHER[entry.name])
            assert accepted == (state in ALLOWED[entry.change]), (entry.name, reason)
            if not accepted:
                assert entry.name in reason or 'read-only' in reason
            in_force = flatten(rig.node.parameters)[entry.name]
            assert (in_force == OTHER[entry.name]) == accepted, entry.name


@pytest.mark.parametrize(
    ('name', 'state'),
    [('reference.type', 'active'), ('variant', 'active'), ('variant', 'inactive')],
)
def test_the_transitions_that_a_refusal_names_let_it_change(name: str, state: str) -> None:
    with Rig({'autostart': False}) as rig:
        for transition in STEPS[state]:
            assert rig.change_state(transition)
        _, reason = rig.set_parameter(name, OTHER[name])
        node, steps = re.search(r'ros2 lifecycle set (\S+) (.+)$', reason).groups()
        assert node == rig.node.get_fully_qualified_name()
        for step in steps.split(', then '):
            assert rig.change_state(getattr(Transition, f'TRANSITION_{step.upper()}'))
        assert rig.set_parameter(name, OTHER[name])[0]


def test_values_out_of_range_are_refused_and_change_nothing() -> None:
    wrong = {'variant': 'vitx', 'input_size': 1, 'relative.smoothing_s': -1.0, 'color.map': ''}
    with Rig({'autostart': False}) as rig:
        before = rig.node.parameters
        for name, value in wrong.items():
            accepted, reason = rig.set_parameter(name, value)
            assert not accepted
            assert reason
        assert rig.node.parameters == before


def test_a_whole_number_is_taken_for_a_float() -> None:
    with Rig({'autostart': False}) as rig:
        assert rig.set_parameter('alignment.hold_s', 2) == (True, '')
        assert rig.node.parameters.alignment.hold_s == 2.0
        assert rig.node.get_parameter('alignment.hold_s').value == 2.0


def test_what_is_no_parameter_is_named_in_the_log() -> None:
    unknown = {'vraiant': 'demo', 'hold_s': 1.0}
    with Rig({'autostart': False, **unknown, 'qos_overrides./image.depth': 3}) as rig:
        kept = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        rig.listen(Log, '/rosout', kept)
        rig.until(lambda: any('hold_s' in each.msg for each in rig.received['/rosout']))
        told = [each.msg for each in rig.received['/rosout'] if 'no parameter' in each.msg]
    assert told == [
        "there is no parameter 'vraiant': did you mean 'variant'?",
        "there is no parameter 'hold_s': did you mean 'alignment.hold_s'?",
    ]


@pytest.mark.parametrize(
    ('text', 'fits'),
    [
        ('depth_node: {ros__parameters: {threads: 1}}', False),
        ('/robot/depth_anything: {ros__parameters: {threads: 1}}', False),
        ('/**: {ros__parameters: {threads: 1}}', True),
    ],
)
def test_a_file_of_which_no_section_fits_is_named_in_the_log(
    tmp_path: Path, text: str, fits: bool
) -> None:
    path = tmp_path / 'p.yaml'
    path.write_text(text)
    arguments = ['--params-file', str(path)]
    with Rig({'autostart': False, 'vraiant': 'demo'}, arguments) as rig:
        kept = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        rig.listen(Log, '/rosout', kept)
        # Said after it.
        rig.until(lambda: any('vraiant' in each.msg for each in rig.received['/rosout']))
        told = [each.msg for each in rig.received['/rosout'] if 'no section' in each.msg]
    assert len(told) == (not fits)
    assert all(f'no section of {path} matches node /depth_anything' in each for each in told)


def test_descriptions_read_well() -> None:
    names = [entry.name for entry in entries()]
    with Rig({'autostart': False}) as rig:
        request = DescribeParameters.Request(names=names)
        for entry, told in zip(
            entries(),
            rig.call(DescribeParameters, 'describe_parameters', request).descriptors,
            strict=True,
        ):
            assert told.description == entry.description
            assert entry.allowed in told.additional_constraints
            assert 'may change' in told.additional_constraints
