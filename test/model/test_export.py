"""The network in files of other runtimes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.model import export as export_module
from depth_anything_ros.model.cache import Format
from depth_anything_ros.model.export import export
from depth_anything_ros.model.network import random_network
from depth_anything_ros.model.network.vit import TRAINING_GRID
from depth_anything_ros.model.variants import Checkpoint, get_variant
from depth_anything_ros.model.weights import find

RANDOM = find('demo', Checkpoint.RELATIVE, 'random')


@pytest.mark.parametrize(
    'grid', [(TRAINING_GRID, TRAINING_GRID), (TRAINING_GRID, 49), (9, 12), (1, 90), (148, 148)]
)
def test_the_position_embedding_is_the_one_of_the_network(grid: tuple[int, int]) -> None:
    transformer = random_network(get_variant('demo')).pretrained
    with torch.inference_mode():
        expected = transformer.positions(*grid)
        found = export_module._positions(transformer, *grid)
    # Positions in float32 where torch has float64.
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_openvino_of_one_size_is_fixed(tmp_path: Path) -> None:
    openvino = pytest.importorskip('openvino')
    path = tmp_path / 'network.xml'
    export(RANDOM, Format.OPENVINO, path, (126, 168))
    model = openvino.Core().read_model(path)
    assert list(model.input('image').shape) == [1, 3, 126, 168]
    assert list(model.output('inverse_depth').shape) == [1, 126, 168]


@pytest.mark.parametrize('size', [None, (126, 168)])
def test_onnx_has_the_shapes_that_were_asked_for(
    tmp_path: Path, size: tuple[int, int] | None
) -> None:
    onnxruntime = pytest.importorskip('onnxruntime')
    path = tmp_path / 'network.onnx'
    export(find('demo', Checkpoint.METRIC_INDOOR, 'random'), Format.ONNX, path, size)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    (image,), (inverse_depth,) = session.get_inputs(), session.get_outputs()
    assert (image.name, inverse_depth.name) == ('image', 'inverse_depth')
    assert image.shape == (['n', 3, 'h', 'w'] if size is None else [1, 3, *size])
    (metres,) = session.run(None, {'image': np.zeros((1, 3, 126, 168), np.float32)})
    assert metres.shape == (1, 126, 168) and 0 < metres.min() < metres.max() < 20


@pytest.mark.parametrize('form', list(Format))
def test_a_file_that_cannot_be_written_is_an_os_error(tmp_path: Path, form: Format) -> None:
    pytest.importorskip(form.runtime)
    (tmp_path / 'file').touch()
    with pytest.raises(OSError):
        export(RANDOM, form, tmp_path / 'file' / f'network{form.suffix}')


@pytest.mark.parametrize('form', list(Format))
def test_a_missing_package_is_one_line(
    form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = {Format.OPENVINO: 'openvino', Format.ONNX: 'onnx'}[form]
    monkeypatch.setitem(sys.modules, package, None)
    said = f'exporting demo to {form.value} needs {package}.*pip install {package}'
    with pytest.raises(BackendError, match=said) as error:
        export(RANDOM, form, tmp_path / f'network{form.suffix}')
    assert '\n' not in str(error.value)
