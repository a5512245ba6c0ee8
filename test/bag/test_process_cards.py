"""A bag through a network whose metres depend on the focal length, by its card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from drive import IMAGE, INFO, Drive, drive
from onnx_networks import KnownDepth, write_onnx
from written_bag import write_bag

from depth_anything_ros.bag.jobs import process_bags
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.messages.stamps import ns_from_stamp


@pytest.fixture(scope='module')
def room() -> Drive:
    return drive('room', seconds=0.5)


@pytest.mark.parametrize('with_info', [True, False])
def test_its_metres_need_camera_info(room: Drive, tmp_path: Path, with_info: bool) -> None:
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    write_onnx(KnownDepth('metric_depth'), tmp_path / 'net.onnx', torch.rand(1, 3, 48, 64))
    (tmp_path / 'net.yaml').write_text(
        'family: onnx\noutput: metric_depth\nfocal_constant: 50\ninput: {size: 48, multiple: 2}\n'
    )
    topics = (IMAGE, INFO) if with_info else (IMAGE,)
    # camera_info is received before its image.
    recorded = [
        (topic, ns_from_stamp(message.header.stamp) + (topic == IMAGE), message)
        for topic, _, message in room.messages
        if topic in topics
    ]
    bag = write_bag(tmp_path / 'room', sorted(recorded, key=lambda each: each[1]))
    settings = {'weights': str(tmp_path / 'net.yaml'), 'backend': 'onnxruntime', 'device': 'cpu'}
    (summary,) = process_bags([bag], tmp_path / 'out', parameters_from_flat(settings))
    assert summary.frames == summary.images > 0
    if with_info:
        assert summary.metric == summary.frames and not summary.no_metres
    else:
        assert summary.metric == 0
        (reason,) = summary.no_metres
        assert (reason.name, reason.count) == ('no_camera_info', summary.frames)
