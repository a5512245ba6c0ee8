"""The node with networks of others, by their cards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diagnostic_msgs.msg import DiagnosticStatus
from onnx_networks import EdgeNetwork, KnownDepth, write_onnx
from rig import Rig, values_of
from sensor_msgs.msg import CameraInfo, Image

from depth_anything_ros.messages.images import bgr_from_image

RAW = '/depth_anything/relative/raw'
DEPTH = '/depth_anything/depth/image'

pytest.importorskip('onnx')
pytest.importorskip('openvino')
pytest.importorskip('onnxruntime')


def test_an_edge_network_runs_by_its_card(tmp_path: Path) -> None:
    network = EdgeNetwork().eval()
    assert 5.5e6 < sum(each.numel() for each in network.parameters()) < 6.5e6
    write_onnx(network, tmp_path / 'edge.onnx', torch.rand(1, 3, 64, 96))
    card = tmp_path / 'edge.yaml'
    card.write_text(
        'family: onnx\noutput: relative_inverse_depth\nlicence: CC-BY-NC-4.0\n'
        'input: {size: 64, multiple: 32}\n'
    )
    with Rig({'weights': str(card), 'backend': 'auto', 'precision': 'fp32'}) as rig:
        rig.listen(Image, RAW)
        rig.until_state('active')
        rig.until_answered(RAW)
        raw = rig.received[RAW][-1]
        found = np.frombuffer(raw.data, np.float32).reshape(raw.height, raw.width)
        assert found.shape == (120, 160) and np.ptp(found) > 0
        model = rig.until(lambda: rig.diagnostics('model'))
        assert model.level == DiagnosticStatus.OK, model.message
        values = values_of(model)
        assert (values['variant'], values['backend']) == ('edge', 'openvino')
        assert (values['checkpoint'], values['input_size']) == ('relative_inverse_depth', '64')


def test_metres_that_depend_on_the_focal_length_need_camera_info(tmp_path: Path) -> None:
    """Depth 1 m to 10 m at a focal length of 50 pixels of the network's input."""
    write_onnx(KnownDepth('metric_depth'), tmp_path / 'net.onnx', torch.rand(1, 3, 60, 80))
    card = tmp_path / 'net.yaml'
    card.write_text(
        'family: onnx\noutput: metric_depth\nfocal_constant: 50\n'
        'input: {size: 60, multiple: 2, values: zero_to_one}\n'
    )
    with Rig({'weights': str(card), 'backend': 'auto', 'precision': 'fp32'}) as rig:
        rig.listen(Image, RAW)
        rig.listen(Image, DEPTH)
        rig.until_state('active')
        rig.until_answered(RAW)
        rig.until(lambda: values_of(rig.status()).get('metric_reason') == 'no_camera_info')
        assert not rig.received[DEPTH]
        assert rig.status().level == DiagnosticStatus.WARN
        assert 'camera_info' in rig.status().message
        info = CameraInfo(width=160, height=120)
        focal_px = 200.0
        info.k = [focal_px, 0.0, 80.0, 0.0, focal_px, 60.0, 0.0, 0.0, 1.0]
        info.p = [focal_px, 0.0, 80.0, 0.0, 0.0, focal_px, 60.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        image = rig.image()

        def send() -> bool:
            info.header.frame_id = image.header.frame_id
            rig.publish(info, 'camera_info')
            rig.publish(rig.image())
            return bool(rig.received[DEPTH])

        rig.until(send)
        found = rig.received[DEPTH][-1]
        depth_m = np.frombuffer(found.data, np.float32).reshape(found.height, found.width)
        shown = bgr_from_image(image).astype(np.float64).mean(2) / 255.0
        # The input is half as wide as the image: 100 pixels of focal length.
        expected = 100.0 / 50.0 * (1.0 + 9.0 * shown)
        assert np.nanmedian(np.abs(depth_m / expected - 1.0)) < 0.02
