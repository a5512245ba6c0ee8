"""Transforms where tf2_ros is missing."""

from __future__ import annotations

import sys

import pytest
from listener import listener

from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.geometry.transforms import IDENTITY
from depth_anything_ros.ros.tf_listener import NoTransforms, create_transforms


def test_without_tf2_a_lookup_says_what_to_install_and_nothing_else_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    with listener() as node:
        transforms = create_transforms(node)
        assert isinstance(transforms, NoTransforms)
        assert node.lines == []
    assert transforms.lookup_through('camera', 0, '/camera', 0, '') is IDENTITY
    for fixed_frame in ('', 'odom'):
        with pytest.raises(FrameError, match='install ros-') as caught:
            transforms.lookup_through('camera', 0, 'lidar', 0, fixed_frame)
        assert caught.value.reason == 'no_transform'
    transforms.clear()
    transforms.close()
