"""The network as a file that OpenVINO or an ONNX runtime loads.

By default it takes any batch and any size whose sides are multiples of 14, as the network does
in torch; on a CPU that is as fast as a network of one size. Input 'image': float32 (N, 3, h, w),
RGB, normalised as core.preprocess does. Output 'inverse_depth': (N, h, w), or metres for a metric
checkpoint.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import MethodType

import torch
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.core.packages import missing
from depth_anything_ros.model.cache import Format
from depth_anything_ros.model.network.checkpoint import network_of
from depth_anything_ros.model.network.vit import (
    INTERPOLATION_OFFSET,
    TRAINING_GRID,
    VisionTransformer,
)
from depth_anything_ros.model.variants import PATCH_PX
from depth_anything_ros.model.weights_file import WeightsFile

__all__ = ['export']

_EXAMPLE = (2, 3, 4 * PATCH_PX, 5 * PATCH_PX)
"""Batch, channels, height and width all differ, so that a trace cannot confuse them."""

_OPSET = 17
"""The oldest ONNX operators that hold a layer normalisation."""

_REACH = 3
"""Cells beyond the border that a cubic kernel can reach."""


def export(
    weights: WeightsFile, form: Format, path: Path, size: tuple[int, int] | None = None
) -> None:
    """Write the network of `weights` to `path`; OpenVINO puts a .bin beside it.

    size: (h, w) of the input for a network that takes one image of that size only.

    Raises OSError where the file cannot be written, BackendError where a package is missing or
    the network cannot be exported, WeightsError for weights that cannot be loaded.
    """
    network = network_of(weights).requires_grad_(False)
    network.pretrained.positions = MethodType(_positions, network.pretrained)  # type: ignore[method-assign]
    example = torch.zeros(_EXAMPLE if size is None else (1, 3, *size))
    try:
        with warnings.catch_warnings():
            # A trace warns that it fixes checks of the shape, which core.preprocess ensures.
            warnings.simplefilter('ignore')
            traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
            _WRITERS[form](traced, example, path, size)
    except ModuleNotFoundError as err:
        needed = missing(f'exporting {weights.name} to {form.value}', err.name or form.value)
        raise BackendError(f"{needed}, or choose backend 'torch'") from err
    except (ImportError, RuntimeError, TypeError, ValueError) as err:
        detail = (str(err).splitlines() or [type(err).__name__])[0]
        raise BackendError(
            f'{weights.name} cannot be exported to {form.value} ({detail}): install the'
            " versions that constraints.txt names, or choose backend 'torch'"
        ) from err


def _write_openvino(
    traced: torch.jit.ScriptModule, example: Tensor, path: Path, size: tuple[int, int] | None
) -> None:
    # openvino.convert_model also works, and takes several times as long.
    from depth_anything_ros.model.quiet_openvino import save  # isort: skip
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework('pytorch')
    # A variable of its own: the front end does not keep it alive.
    decoder = TorchScriptPythonDecoder(traced, example_input=(example,))
    model = frontend.convert(frontend.load(decoder))
    model.inputs[0].set_names({'image'})
    model.outputs[0].set_names({'inverse_depth'})
    if size is not None:
        model.reshape([1, 3, *size])
    save(model, path)


def _write_onnx(
    traced: torch.jit.ScriptModule, example: Tensor, path: Path, size: tuple[int, int] | None
) -> None:
    import onnx  # noqa: F401  a missing one: torch would not raise ModuleNotFoundError

    # The newer exporter takes half a minute for the smallest variant, and onnxscript.
    any_size = {'image': {0: 'n', 2: 'h', 3: 'w'}, 'inverse_depth': {0: 'n', 1: 'h', 2: 'w'}}
    torch.onnx.export(
        traced,
        (example,),
        path,
        dynamo=False,
        input_names=['image'],
        output_names=['inverse_depth'],
        opset_version=_OPSET,
        dynamic_axes=any_size if size is None else {},
    )


_WRITERS = {Format.OPENVINO: _write_openvino, Format.ONNX: _write_onnx}


def _positions(transformer: VisionTransformer, rows: int, columns: int) -> Tensor:
    """Return `VisionTransformer.positions`, in steps that a trace can follow.

    Torch's own interpolation takes its scale as a number, which a trace would fix. Cubic
    interpolation is linear in the values and separable: two products of matrices.
    """
    row, column = torch.arange(rows).float(), torch.arange(columns).float()
    trained = (row[-1] == TRAINING_GRID - 1) & (column[-1] == TRAINING_GRID - 1)
    offset = INTERPOLATION_OFFSET * (1.0 - trained.float())
    embedding = transformer.pos_embed
    grid = embedding[:, 1:].reshape(1, TRAINING_GRID, TRAINING_GRID, -1).permute(0, 3, 1, 2)
    # torch repeats the border.
    grid = functional.pad(grid, (_REACH,) * 4, mode='replicate')
    resized = _cubic_weights(row, offset) @ grid @ _cubic_weights(column, offset).T
    return torch.cat((embedding[:, :1], resized.flatten(2).transpose(1, 2)), dim=1)


def _cubic_weights(cell: Tensor, offset: Tensor) -> Tensor:
    """Return the weight (cells, padded cells) of every stored cell in every wanted one."""
    scale = (cell[-1] + 1 + offset) / TRAINING_GRID
    at = (cell + 0.5) / scale - 0.5
    stored = torch.arange(-_REACH, TRAINING_GRID + _REACH).float()
    return _cubic(at[:, None] - stored)


def _cubic(distance: Tensor) -> Tensor:
    """Return Keys' cubic convolution kernel with torch's a = -0.75."""
    a, x = -0.75, distance.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x <= 1, near, far * (x < 2).float())
