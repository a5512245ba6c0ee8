"""Two nodes with a network of fixed delay: ours, and one as it is written in a hurry.

`python -m lab.claims.slow_nodes ours|naive SECONDS --ros-args ...`
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image

from depth_anything_ros import node
from depth_anything_ros.backends.base import BackendInfo, NetworkOutput
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find

__all__ = ['NAIVE_DEPTH', 'NAIVE_OUTPUT', 'FixedDelay', 'main']

NAIVE_DEPTH = 10
"""The queue of every tutorial."""

NAIVE_OUTPUT = '/naive/image'


class FixedDelay:
    """Stands for a network that takes `delay_s` for an image at full size; see DepthBackend."""

    def __init__(self, delay_s: float, parameters: Parameters) -> None:
        self._delay_s = delay_s
        checkpoint = Checkpoint(parameters.checkpoint)
        self.info = BackendInfo(
            name='fixed_delay',
            variant=parameters.variant,
            device='cpu',
            precision='fp32',
            input_size=parameters.input_size,
            output=NetworkOutput.INVERSE_DEPTH,
            weights=find(parameters.variant, checkpoint, parameters.weights),
        )
        self.input_size = parameters.input_size

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return the green channel, later."""
        with (times or StageTimes()).stage('infer'):
            # Sleeping frees the interpreter, as a network does, and costs the other node nothing.
            time.sleep(self._delay_s * (self.input_size / self.info.input_size) ** 2)
        return bgr[..., 1].astype(np.float32)

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Do `infer` for each image, one after the other."""
        return [self.infer(image, times) for image in images]

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


def main(arguments: Sequence[str]) -> int:
    """Run the node that the first argument names, with the delay of the second."""
    which, seconds, *rest = arguments
    return _NODES[which](float(seconds), [which, *rest])


def _ours(delay_s: float, arguments: list[str]) -> int:
    node.load_backend = partial(FixedDelay, delay_s)  # type: ignore[attr-defined]
    return node.main(arguments)


def _naive(delay_s: float, arguments: list[str]) -> int:
    rclpy.init(args=arguments)
    naive = rclpy.create_node('naive')
    publisher = naive.create_publisher(Image, NAIVE_OUTPUT, NAIVE_DEPTH)

    def answer(image: Image) -> None:
        time.sleep(delay_s)
        publisher.publish(image)

    naive.create_subscription(Image, 'image', answer, NAIVE_DEPTH)
    try:
        rclpy.spin(naive)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
    return 0


_NODES: dict[str, Callable[[float, list[str]], int]] = {'ours': _ours, 'naive': _naive}

if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
