"""Checks of ROS and of its middleware: a camera's images through shared memory, counted.

`python -m depth_anything_ros.studies.doctor.dds TOPIC` is the camera, in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from depth_anything_ros.settings.share import PROFILE_VARIABLES, profile_variable, share_directory
from depth_anything_ros.studies.doctor.check import Check, Level, fail, guarded, ok, warn

__all__ = ['dds_checks', 'profile_path']

_IMAGES = 60
_RATE_HZ = 30.0
_START_S = 15.0
_SEGMENT_MB = 16
_SHARED = Path('/dev/shm')
_BUFFER = Path('/proc/sys/net/core/rmem_max')
_BUFFER_BYTES = 2**20


def dds_checks() -> Iterator[Check]:
    """Yield the checks of ROS; the loop of images takes about three seconds."""
    try:
        import rclpy  # noqa: F401
    except ImportError as error:
        fix = 'source /opt/ros/$ROS_DISTRO/setup.bash'
        yield Check('ros', Level.FAIL, f'rclpy cannot be imported: {error}', fix)
        return
    yield guarded('ros', _ros)
    yield guarded('profile', _profile)
    yield guarded('shared_memory', _shared_memory)
    yield guarded('socket_buffers', _socket_buffers)
    yield guarded('transport', _transport)


def profile_path() -> Path:
    """Return the Fast DDS profile of this package."""
    return share_directory() / 'config' / 'fastdds.xml'


def _ros() -> Check:
    from rclpy.utilities import get_rmw_implementation_identifier

    text = (
        f'{os.environ.get("ROS_DISTRO", "without ROS_DISTRO")}, '
        f'{get_rmw_implementation_identifier()}, domain {os.environ.get("ROS_DOMAIN_ID", "0")}'
    )
    if os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == 'OFF':
        return fail(
            f'{text}; ROS_AUTOMATIC_DISCOVERY_RANGE=OFF, so no node finds another',
            'unset it, or set it to LOCALHOST or SUBNET',
        )
    return ok(text)


def _profile() -> Check:
    if not _fast_dds():
        return ok('Fast DDS is not in use')
    own = f'export {profile_variable()}={profile_path()}'
    for variable in PROFILE_VARIABLES:
        name = os.environ.get(variable)
        if name and not Path(name).is_file():
            return fail(f'{variable}: {name} does not exist', own)
        if name:
            return ok(name)
    return warn(
        'no Fast DDS profile is set: shared memory of 512 KiB loses images',
        f'{own}, for camera drivers too',
    )


def _shared_memory() -> Check:
    free_mb = shutil.disk_usage(_SHARED).free / 2**20
    text = f'{_SHARED} has {free_mb:.0f} MB left'
    if free_mb < _SEGMENT_MB:
        return fail(
            f'{text}; each process with the profile takes {_SEGMENT_MB}',
            'docker run --shm-size=512m (or --ipc=host); else remove old files fastrtps_* (from '
            'Kilted on fastdds_*) there',
        )
    return ok(text)


def _socket_buffers() -> Check:
    there = int(_BUFFER.read_text())
    text = f'net.core.rmem_max is {there} bytes'
    if there < _BUFFER_BYTES:
        return warn(
            f'{text}: images from other machines may be lost',
            'sudo sysctl -w net.core.rmem_max=2147483647; on one machine only, ignore this',
        )
    return ok(text)


def _transport() -> Check:
    """Receive VGA images at 30 Hz from another process, and count those that are lost."""
    from sensor_msgs.msg import Image

    from depth_anything_ros.ros.listening import listening
    from depth_anything_ros.ros.qos import SENSOR

    topic = f'/depth_anything_doctor_{os.getpid()}'
    received: list[Image] = []
    with listening('depth_anything_doctor') as (node, spin):
        node.create_subscription(Image, topic, received.append, SENSOR)
        command = [sys.executable, '-m', __spec__.name, topic]
        camera = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            end_s = time.monotonic() + _START_S + _IMAGES / _RATE_HZ
            while camera.poll() is None and time.monotonic() < end_s:
                spin(0.1)
            # What is under way when the camera ends.
            spin(0.2)
        finally:
            camera.kill()
            _, errors = camera.communicate()
    if not received:
        last = (errors.decode(errors='replace').strip().splitlines() or [''])[-1]
        return fail(
            f'no image of another process on this machine arrives {last}'.rstrip(),
            'look at the lines above; firewall, ROS_DOMAIN_ID and RMW_IMPLEMENTATION',
        )
    lost = max(0, _IMAGES - len(received))
    text = f'{lost} of {_IMAGES} VGA images lost at {_RATE_HZ:.0f} Hz'
    fix = 'see profile and shared_memory above; else this machine is too busy'
    if lost > _IMAGES // 2:
        return fail(text, fix)
    return warn(text, fix) if lost else ok(text)


def _fast_dds() -> bool:
    from rclpy.utilities import get_rmw_implementation_identifier

    return 'fastrtps' in get_rmw_implementation_identifier()


def _send(topic: str) -> None:
    """Send the images once somebody listens."""
    import numpy as np
    from sensor_msgs.msg import Image

    from depth_anything_ros.messages.images import fill_image
    from depth_anything_ros.ros.listening import listening
    from depth_anything_ros.ros.qos import SENSOR

    with listening('depth_anything_doctor_camera') as (node, spin):
        publisher = node.create_publisher(Image, topic, SENSOR)
        message = Image()
        fill_image(message, np.zeros((480, 640, 3), np.uint8), 'bgr8')
        end_s = time.monotonic() + _START_S
        while not publisher.get_subscription_count():
            if time.monotonic() > end_s:
                raise SystemExit('no subscriber was found')
            spin(0.05)
        # Discovery is one-sided: the other end may not know this one yet.
        spin(0.5)
        for _ in range(_IMAGES):
            publisher.publish(message)
            spin(1.0 / _RATE_HZ)


if __name__ == '__main__':
    _send(sys.argv[1])
