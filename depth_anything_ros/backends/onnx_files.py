"""An ONNX file of any network behind the interface of our own: axes, types, one image a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depth_anything_ros.backends.frames import Run
from depth_anything_ros.core.errors import BackendError, WeightsError
from depth_anything_ros.core.input_format import Layout, SizeRule
from depth_anything_ros.core.packages import missing
from depth_anything_ros.core.types import FloatImage
from depth_anything_ros.model.weights_file import WeightsFile

__all__ = ['onnx_facts', 'run_of_file']


def onnx_facts(path: Path) -> list[tuple[str, str]]:
    """Return names and shapes of inputs and outputs of an ONNX file, by ONNX Runtime.

    BackendError where that is not installed or cannot load the file.
    """
    try:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    except ModuleNotFoundError as err:
        raise BackendError(missing('reading an ONNX file', 'onnxruntime')) from err
    # Its exceptions have no common base class.
    except Exception as err:
        reason = str(err).splitlines()[0]
        raise BackendError(f'ONNX Runtime cannot load {path} ({reason})') from err
    return [
        (kind, f'{each.name} {list(each.shape)}, {each.type}')
        for kind, several in (('input', session.get_inputs()), ('output', session.get_outputs()))
        for each in several
    ]


def run_of_file(
    weights: WeightsFile,
    shapes: Sequence[Sequence[object]],
    dtype: npt.DTypeLike,
    call: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
) -> Run:
    """Return what runs a batch (N, 3, h, w) through an ONNX file; its first output is depth.

    shapes: of the inputs of the network; what is no whole number may have any size.
    dtype: type of its input.
    call: runs it on one image, in its own axes and type.

    WeightsError where the file is not what its card says.
    """
    _check_input(weights, shapes)
    last = weights.card.input.layout == Layout.NHWC

    def run(batch: FloatImage) -> FloatImage:
        images = batch.transpose(0, 2, 3, 1) if last else batch
        images = np.ascontiguousarray(images, dtype)
        return np.stack([_map(_called(image[None])) for image in images])

    def _called(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        try:
            return call(image)
        except MemoryError:
            raise
        # The exceptions of the runtimes have no common base class.
        except Exception as err:
            why = (str(err).strip().splitlines() or [type(err).__name__])[-1]
            raise BackendError(
                f'{weights.path} does not run on an input of {list(image.shape)} ({why}): if'
                f' it takes other sizes, say which in card {weights.card_path}, such as by'
                ' input.multiple'
            ) from err

    def _map(output: npt.NDArray[Any]) -> FloatImage:
        found = np.squeeze(np.asarray(output))
        if found.ndim != 2:
            raise WeightsError(
                f'the first output of {weights.path} is {list(output.shape)} for one image: a'
                ' card is for networks that give one value per pixel'
            )
        return np.asarray(found, np.float32)

    return run


def _check_input(weights: WeightsFile, shapes: Sequence[Sequence[object]]) -> None:
    form = weights.card.input
    where = f'card {weights.card_path}'
    if len(shapes) != 1 or len(shapes[0]) != 4:
        listed = ', '.join(str(list(shape)) for shape in shapes)
        raise WeightsError(
            f'{weights.path} takes {listed}: a card is for networks that take one image of four'
            ' axes'
        )
    shape = list(shapes[0])
    last = form.layout == Layout.NHWC
    other = shape[1 if last else 3]
    channels = shape.pop(3 if last else 1)
    if channels != 3 and (isinstance(channels, int) or other == 3):
        raise WeightsError(
            f'{where}: input.layout is {form.layout}, and {weights.path} takes {list(shapes[0])}:'
            ' there would be no 3 channels; give the other layout'
        )
    fixed = tuple(side for side in shape[1:] if isinstance(side, int))
    is_fixed = form.rule == SizeRule.FIXED
    if len(fixed) == 2 and not (is_fixed and (form.height, form.width) == fixed):
        raise WeightsError(
            f'{where}: input.rule is {form.rule}, and {weights.path} takes {fixed[1]} x'
            f' {fixed[0]} only: give rule: fixed, width: {fixed[1]}, height: {fixed[0]}'
        )
