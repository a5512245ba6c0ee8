"""A backend that knows the true depth of the pictures it is shown, and errs as the network does.

For tests and benchmarks of what stands behind the network, so it is not in the table of backends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from depth_anything_ros.backends.base import BackendInfo, NetworkOutput
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.messages.depth_images import depth_from_image
from depth_anything_ros.messages.images import bgr_from_image
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import WeightsFile
from lab.topic_names import TRUTH
from lab.world.degradation import Degradation, degraded

__all__ = ['DegradedTruthBackend', 'degraded_truth_of']


class DegradedTruthBackend:
    """See DepthBackend; answers pictures that it was given the truth of."""

    def __init__(
        self,
        pictures: Iterable[tuple[BgrImage, FloatImage]],
        how: Degradation | None = None,
        seed: int = 0,
    ) -> None:
        """Take (picture, depth along Z in metres) pairs, one after the other in time.

        `how` and `seed` are those of `synthetic.degradation.degraded`.
        """
        self._answers = {
            bgr.tobytes(): degraded(depth_m, how, seed, frame)
            for frame, (bgr, depth_m) in enumerate(pictures)
        }
        weights = WeightsFile(
            None, '', 'degraded_truth', Checkpoint.RELATIVE, 'Apache-2.0', known=True
        )
        self.info = BackendInfo(
            name='degraded_truth',
            variant='degraded_truth',
            device='cpu',
            precision='fp32',
            input_size=0,
            output=NetworkOutput.INVERSE_DEPTH,
            weights=weights,
        )
        self.input_size = 0

    @property
    def output(self) -> NetworkOutput:
        """What the numbers mean."""
        return self.info.output

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return the degraded inverse depth; FrameError for a picture of unknown truth."""
        with (times or StageTimes()).stage('infer'):
            answer = self._answers.get(bgr.tobytes())
        if answer is None:
            raise FrameError('unknown_truth', 'this picture is none of those with known depth')
        return answer

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Do `infer` for each image."""
        return [self.infer(image, times) for image in images]

    def close(self) -> None:
        """Forget the pictures."""
        self._answers.clear()


def degraded_truth_of(path: Path) -> DegradedTruthBackend:
    """Return a network that errs, as the real one does, about the images of a sample bag."""
    with BagReader(path) as reader:
        image = reader.color_topics()[0]
        truths = {
            ns_from_stamp(message.header.stamp): depth_from_image(message)
            for message in (each.read() for each in reader.messages([TRUTH]))
        }
        pictures = (each.read() for each in reader.messages([image]))
        return DegradedTruthBackend(
            (bgr_from_image(each).copy(), _far(truths[ns_from_stamp(each.header.stamp)]))
            for each in pictures
        )


def _far(truth: FloatImage) -> FloatImage:
    """Return the ground truth with the sky, which may be unknown in a message, infinitely far."""
    return np.nan_to_num(truth, nan=np.inf, posinf=np.inf)
