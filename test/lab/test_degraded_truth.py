"""True depth with the network's errors, through the pipeline and through the running node."""

from __future__ import annotations

import numpy as np
import pytest
from rig import Rig
from sensor_msgs.msg import Image

from depth_anything_ros import node as node_module
from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.estimator.stream import DepthStream
from lab.degraded_truth import DegradedTruthBackend
from lab.world.world import World

WORLD = World('room', seed=3, size=(160, 120))
PICTURES = [WORLD.picture(time_s) for time_s in (0.0, 0.5)]


def test_it_answers_the_pictures_it_knows_and_no_other() -> None:
    backend: DepthBackend = DegradedTruthBackend(PICTURES)
    pipeline = DepthStream(backend, Parameters())
    for index, (bgr, depth_m) in enumerate(PICTURES):
        inverse_depth = pipeline.process(bgr, index).inverse_depth
        # Errors of 6 % and a scale and shift leave the order of near and far.
        assert np.corrcoef(inverse_depth.ravel(), 1.0 / depth_m.ravel())[0, 1] > 0.95
    with pytest.raises(FrameError, match='known depth'):
        backend.infer(PICTURES[0][0][::-1].copy())
    backend.close()


def test_the_node_publishes_its_very_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = DegradedTruthBackend(PICTURES)
    expected = backend.infer(PICTURES[0][0])
    monkeypatch.setattr(node_module, 'load_backend', lambda parameters: backend)
    topic = '/depth_anything/relative/raw'
    with Rig() as rig:
        rig.listen(Image, topic)
        rig.until_state('active')
        answer = rig.until_answered(topic, lambda: rig.image(PICTURES[0][0]))
        raw = np.frombuffer(answer.data, np.float32).reshape(answer.height, answer.width)
        np.testing.assert_array_equal(raw, expected)
