"""A backend that knows the true depth of its pictures, and errs as the network does.

For tests and benchmarks of what stands behind the network, so it is not in the table of backends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from depth_anything_ros.backends.base import BackendInfo, NetworkOutput
from depth_anything_ros.core.errors import FrameError
from depth_anything_ros.core.input_format import InputFormat
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.weights_file import WeightsFile
from lab.world.degradation import Degradation, degraded

__all__ = ['DegradedTruthBackend']


class DegradedTruthBackend:
    """See DepthBackend; processes only pictures whose ground truth it was given."""

    def __init__(
        self,
        pictures: Iterable[tuple[BgrImage, FloatImage]],
        how: Degradation | None = None,
        seed: int = 0,
    ) -> None:
        """Take (picture, depth along Z in metres) pairs, one after the other in time.

        `how` and `seed` are those of `lab.world.degradation.degraded`.
        """
        self._inverse_depths = {
            bgr.tobytes(): degraded(depth_m, how, seed, frame)
            for frame, (bgr, depth_m) in enumerate(pictures)
        }
        card = Card(
            family='onnx',
            output='relative_inverse_depth',
            input=InputFormat(rule='fixed', width=1, height=1),
        )
        weights = WeightsFile(None, '', card, known=True)
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

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Return the degraded inverse depth; FrameError for a picture of unknown truth."""
        with (times or StageTimes()).stage('infer'):
            inverse_depth = self._inverse_depths.get(bgr.tobytes())
        if inverse_depth is None:
            raise FrameError('unknown_truth', 'this picture is none of those with known depth')
        return inverse_depth

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Do `infer` for each image."""
        return [self.infer(image, times) for image in images]

    def close(self) -> None:
        """Forget the pictures."""
        self._inverse_depths.clear()
