"""`doctor`: what keeps the package from working on this machine, and how to fix it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from depth_anything_ros.cli.options import add_parameters, parameters_of
from depth_anything_ros.cli.parser import Parser
from depth_anything_ros.reports.text import plain_json
from depth_anything_ros.studies.doctor.check import Check, Level

__all__ = ['declare']

_TOPICS = ('rectified', 'reference.type', 'reference.fixed_frame', 'reference.extrinsics')


def declare(doctor: Parser) -> None:
    """Declare the options."""
    doctor.add_argument('--json', action='store_true', help='print JSON')
    topics = doctor.add_argument_group('topics', 'Checked with --topics, as the node uses them.')
    topics.add_argument(
        '--topics', action='store_true', help="check a camera's topics, and nothing else"
    )
    for name, default, text in (
        ('image', '/camera/image_raw', 'default: %(default)s'),
        ('camera-info', '', 'default: camera_info beside the image'),
        ('reference', '', 'depth image, cloud, scan or odometry'),
    ):
        topics.add_argument(f'--{name}-topic', metavar='TOPIC', default=default, help=text)
    add_parameters(topics, _TOPICS, {})
    doctor.set_defaults(verb=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    found: list[Check] = []
    for check in _checks(options):
        found.append(check)
        if not options.json:
            print(f'{check.level.value:4}  {check.name:15} {check.text}', flush=True)
            if check.fix:
                print(f'{"":21} fix: {check.fix}', flush=True)
    if options.json:
        print(plain_json(found))
    return 1 if any(check.level is Level.FAIL for check in found) else 0


def _checks(options: argparse.Namespace) -> Iterator[Check]:
    if options.topics:
        from depth_anything_ros.studies.doctor.topics import topic_checks

        parameters = parameters_of(options)
        yield from topic_checks(
            options.image_topic, options.camera_info_topic, options.reference_topic, parameters
        )
        return
    from depth_anything_ros.studies.doctor.dds import dds_checks
    from depth_anything_ros.studies.doctor.host import host_checks
    from depth_anything_ros.studies.doctor.network import network_checks

    yield from host_checks()
    yield from dds_checks()
    yield from network_checks()
