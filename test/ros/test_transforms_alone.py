"""Transforms where tf2_ros is missing, and where the messages of /tf are missing as well."""

from __future__ import annotations

import math
import sys
import types
from typing import Any

import pytest
from listener import Logger, S, item, listener

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import IDENTITY
from depth_anything_ros.ros.transforms import NoTransforms, OwnTransforms, create_transforms


def test_without_the_messages_lookups_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for package in ('tf2_ros', 'tf2_msgs', 'tf2_msgs.msg'):
        monkeypatch.setitem(sys.modules, package, None)
    with listener() as node:
        _look_up_without(node)


def _look_up_without(node: Any) -> None:
    transforms = create_transforms(node)
    assert isinstance(transforms, NoTransforms)
    (line,) = node.lines
    assert 'tf2_msgs' in line
    assert transforms.lookup_through('camera', 0, '/camera', 0, '') is IDENTITY
    for fixed_frame in ('', 'odom'):
        with pytest.raises(FrameError, match='install ros-') as caught:
            transforms.lookup_through('camera', 0, 'lidar', 0, fixed_frame)
        assert caught.value.reason == 'no_transform'
    transforms.clear()
    transforms.close()


def test_a_bad_transform_is_told_once_and_endless_new_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand, so that it runs where tf2_msgs is missing."""
    messages = types.ModuleType('tf2_msgs.msg')
    messages.TFMessage = object
    monkeypatch.setitem(sys.modules, 'tf2_msgs', types.ModuleType('tf2_msgs'))
    monkeypatch.setitem(sys.modules, 'tf2_msgs.msg', messages)
    logger, hear, gone = Logger(), {}, []
    node = types.SimpleNamespace(
        create_subscription=lambda _, topic, callback, __: hear.setdefault(topic, callback),
        destroy_subscription=gone.append,
        get_logger=lambda: logger,
    )
    transforms = OwnTransforms(node)
    bad = item('base', 'bad', math.nan)
    for _ in range(3):
        hear['/tf'](types.SimpleNamespace(transforms=[bad, item('base', 'good', 1.0, S)]))
    (line,) = logger.lines
    assert line.startswith('transform on /tf refused: ')
    assert transforms.lookup('base', 'good', S).translation.tolist() == [1, 0, 0]
    for number in range(100):
        looped = item('base', 'base', float(number))
        looped.transform.rotation.w = 2.0 + number
        hear['/tf_static'](types.SimpleNamespace(transforms=[looped]))
    # Enough to see what is wrong; the rest would only fill the log.
    assert len(logger.lines) == 10
    transforms.close()
    assert len(gone) == 2
