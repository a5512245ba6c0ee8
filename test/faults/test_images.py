"""Images, raw and compressed, that are none."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from rig import picture
from sensor_msgs.msg import Image

from depth_anything_ros.messages.images import fill_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from faults import NO_METRES, RELATIVE, Fault, faults
from faults.refusals import changed, check_refused, cut, refused
from faults.robot import Robot


def lengthened(message: Any) -> None:
    message.data = message.data + array('B', b'\xa5')


def one_pixel(message: Image) -> None:
    fill_image(message, np.array([[[200, 10, 50]]], np.uint8), 'bgr8')


@faults(
    refused('a step too short', 'bad_step', 'step is 3 bytes', changed(step=3)),
    refused('a huge step', 'bad_data_size', 'with step 4294967295', changed(step=2**32 - 1)),
    refused('half the data', 'bad_data_size', 'data hold 28800 bytes', cut),
    refused('a byte too many', 'bad_data_size', 'data hold 57601 bytes', lengthened),
    refused('a video encoding', 'bad_encoding', "encoding 'h264'", changed(encoding='h264')),
    refused('a depth image', 'depth_image', 'reference:=', changed(encoding='32FC1')),
    refused('no size', 'empty_image', '0 x 0 pixels', changed(width=0, height=0)),
    refused('no data', 'empty_image', 'has no data', changed(data=array('B'))),
    refused(
        '100 megapixels',
        'image_too_large',
        '10000 x 10000 pixels, more than the limit of 64000000',
        changed(width=10_000, height=10_000, step=30_000),
    ),
    refused(
        'the largest size that can be told',
        'image_too_large',
        '4294967295 x 4294967295 pixels',
        changed(width=2**32 - 1, height=2**32 - 1),
    ),
    refused('one pixel', 'constant_image', 'sees nothing', one_pixel),
)
def test_a_bad_image_is_silence_with_a_name(robot: Robot, fault: Fault) -> None:
    """An image that is none is not answered; two of them are an ERROR."""
    check_refused(robot, fault, fault.cause)


JPEG = bytearray(cv2.imencode('.jpg', picture())[1].tobytes())
SIZE = JPEG.index(b'\xff\xc0') + 5
HALF = len(JPEG) // 2
SCRAMBLED = JPEG[:HALF] + bytes(byte ^ 0x55 for byte in JPEG[HALF:-2]) + JPEG[-2:]
TILES = {256: 16, 257: 16, 322: 12_000, 323: 12_000}  # width and length of image and tile
TILED = struct.pack('<4sIH', b'II*\0', 8, len(TILES)) + b''.join(
    struct.pack('<HHII', tag, 4, 1, side) for tag, side in TILES.items()
)
TIFF = cv2.imencode('.tiff', picture())[1].tobytes()
# Minutes in a decoder: 64 megapixels, read anew by each of 4,000 scans.
PROGRESSIVE = cv2.imencode('.jpg', picture(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
LAST = PROGRESSIVE.rindex(b'\xff\xda')
SIDES = PROGRESSIVE.index(b'\xff\xc2') + 5
SCANS = (
    PROGRESSIVE[:SIDES]
    + struct.pack('>HH', 8000, 8000)
    + PROGRESSIVE[SIDES + 4 : LAST]
    + PROGRESSIVE[LAST:-2] * 4000
    + PROGRESSIVE[-2:]
)
JP2 = b'\0\0\0\x0cjP  \r\n\x87\n' + bytes(1000)


def holding(data: bytes) -> Callable[[Any], None]:
    """Return a cause that puts these data into a compressed image."""
    return changed(format='jpeg', data=array('B', data))


@faults(
    refused('half a JPEG', 'bad_compressed', 'before its end marker', holding(JPEG[:HALF])),
    refused('ten bytes of a JPEG', 'bad_compressed', 'no whole header', holding(JPEG[:10])),
    refused(
        'a JPEG without its tables',
        'bad_compressed',
        'no whole header',
        holding(JPEG[:2] + JPEG[JPEG.index(b'\xff\xda') :]),
    ),
    refused('zeros for a JPEG', 'bad_compressed', '00 00 00 00', holding(bytes(len(JPEG)))),
    refused('no bytes for a JPEG', 'empty_image', 'has no data', holding(b'')),
    refused(
        'a JPEG that promises 4290 megapixels',
        'image_too_large',
        '65500 x 65500 pixels',
        holding(JPEG[:SIZE] + struct.pack('>HH', 65500, 65500) + JPEG[SIZE + 4 :]),
    ),
    refused('a JPEG of 4,000 scans', 'too_many_scans', 'more than 100 scans', holding(SCANS)),
    refused('half a TIFF', 'bad_compressed', 'no whole header', holding(TIFF[: len(TIFF) // 2])),
    refused(
        'a TIFF of 16 x 16 pixels in one tile of 144 megapixels',
        'image_too_large',
        '12000 x 12000 pixels',
        holding(TILED),
    ),
    refused(
        'a format whose header is not read, JPEG 2000',
        'bad_compressed',
        'no whole header of a JPEG, PNG, TIFF, WebP, BMP or GIF',
        holding(JP2),
    ),
)
def test_a_bad_compressed_image_is_silence_with_a_name(
    compressed_robot: Robot, fault: Fault
) -> None:
    """A compressed image that cannot be decoded is not answered; two of them are an ERROR."""
    check_refused(compressed_robot, fault, fault.cause)


@faults(
    Fault(
        'a JPEG with broken pixels between whole headers',
        NO_METRES,
        ('refused_no_reference',),
        'no_reference',
        cause=holding(SCRAMBLED),
    )
)
def test_broken_pixels_are_a_picture(compressed_robot: Robot, fault: Fault) -> None:
    """Of broken pixels between whole headers libjpeg makes a picture, which is answered."""
    robot = compressed_robot
    message = robot.image(robot.tick())
    fault.cause(message)
    with robot.counting(fault):
        robot.ask(message)
        robot.says(fault)
    robot.good()
    assert robot.published(ns_from_stamp(message.header.stamp)) == fault.published


@faults(
    *(
        Fault(
            f'an image of {width} x {height} pixels',
            NO_METRES,
            ('refused_bad_camera_info',),
            'is for 160 x 120',
            cause=(width, height),
        )
        for width, height in ((2000, 4), (4, 2000))
    )
)
def test_an_extreme_aspect_is_answered_without_metres(robot: Robot, fault: Fault) -> None:
    """An image of extreme aspect is answered, without metres where camera_info is for another."""
    message = robot.image(robot.tick())
    fill_image(message, picture(*fault.cause), 'bgr8')
    stamp_ns = ns_from_stamp(message.header.stamp)
    with robot.counting(fault):
        robot.ask(message)
        robot.says(fault)
    robot.good()
    answer = robot.find(RELATIVE, stamp_ns)
    assert (answer.width, answer.height) == fault.cause
    assert robot.published(stamp_ns) == fault.published
