"""Networks in int8, and what they are calibrated on."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from depth_anything_ros.backends.base import BackendSettings
from depth_anything_ros.backends.export_files import build_export, quantize_export
from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.backends.registry import BACKENDS, choose_backend, load
from depth_anything_ros.backends.self_check import disagreement, float32_output, photograph
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.cache import Format, find_export, keep_export
from depth_anything_ros.model.quantization import quantize
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find
from lab.world.world import World

DEMO = find('demo', Checkpoint.RELATIVE)
SETTINGS = BackendSettings(DEMO, 'cpu', 'int8', 126, 1)
FORMATS = {name: row.export_format for name, row in BACKENDS.items() if row.export_format}


@pytest.fixture(scope='module', autouse=True)
def packages() -> None:
    for name in ('nncf', 'onnx', 'onnxruntime', 'openvino'):
        pytest.importorskip(name)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))


@pytest.fixture(scope='module')
def quantized(images: list[BgrImage]) -> dict[Format, Path]:
    """The network in int8, in the cache that tests share."""
    return {form: quantize_export(DEMO, form, images, 126) for form in FORMATS.values()}


@pytest.fixture
def copied_cache(
    quantized: dict[Format, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put what is calibrated apart from that of other tests, beginning with what they have."""
    for path in (build_export(DEMO, Format.OPENVINO), quantized[Format.OPENVINO]):
        # depth_anything_ros/exports/NAME
        shutil.copytree(path.parent, tmp_path.joinpath(*path.parts[-4:-1]))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert find_export(DEMO, Format.OPENVINO)


@pytest.fixture(scope='module')
def images() -> list[BgrImage]:
    return [World('room', seed, size=(320, 240)).picture(0.0)[0] for seed in (0, 1)]


@pytest.fixture(scope='module')
def reference() -> FloatImage:
    return float32_output(SETTINGS)


def _parameters(backend: str, precision: str = 'int8') -> Parameters:
    return Parameters(variant='demo', backend=backend, device='cpu', precision=precision)


@pytest.mark.parametrize(('name', 'form'), FORMATS.items())
def test_int8_is_another_network_that_agrees(
    name: str, form: Format, quantized: dict[Format, Path], reference: FloatImage
) -> None:
    assert quantized[form] == find_export(DEMO, form, int8=True) != build_export(DEMO, form)
    backend = load(choose_backend(_parameters(name)))
    assert (backend.info.name, backend.info.precision) == (name, 'int8')
    assert disagreement(backend, reference) == ''
    # It did multiply in 8 bits.
    assert np.median(np.abs(backend.infer(photograph()) - reference)) > 5e-4 * reference.mean()
    kept = load_backend(_parameters(name))
    assert kept.info.precision == 'int8' and kept.info.notices == ()


@pytest.mark.usefixtures('empty_cache')
@pytest.mark.parametrize('backend', ['auto', *FORMATS])
def test_what_was_not_calibrated_names_the_command(backend: str) -> None:
    said = 'was not calibrated for int8 .*`depth_anything export .*--precision int8 --calibration'
    with pytest.raises(BackendError, match=said):
        fetch_weights(_parameters(backend))
    with pytest.raises(BackendError, match=said):
        load_backend(_parameters(backend))


@pytest.mark.usefixtures('copied_cache')
def test_int8_that_disagrees_steps_aside_for_half_precision() -> None:
    random = build_export(find('demo', Checkpoint.RELATIVE, 'random'), Format.OPENVINO)

    def wrong(path: Path) -> None:
        for suffix in ('.xml', '.bin'):
            shutil.copy(random.with_suffix(suffix), path.with_suffix(suffix))

    # A new calibration takes the place of the last.
    first = find_export(DEMO, Format.OPENVINO, int8=True)
    assert keep_export(DEMO, Format.OPENVINO, wrong, int8=True) == first
    fetch_weights(_parameters('openvino'))
    backend = load_backend(_parameters('openvino'))
    assert backend.info.name == 'openvino' and backend.info.precision in ('bf16', 'fp32')
    (notice,) = backend.info.notices
    assert notice.startswith('openvino int8 disagrees with float32')
    assert notice.endswith(f'openvino {backend.info.precision} runs instead')


def test_torch_says_what_runs_int8() -> None:
    with pytest.raises(SettingError, match="int8 runs on backend 'openvino' or 'onnxruntime'"):
        load(choose_backend(_parameters('torch')))


def test_without_its_package_int8_is_one_line(
    images: list[BgrImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = build_export(DEMO, Format.OPENVINO)
    monkeypatch.setitem(sys.modules, 'nncf', None)
    with pytest.raises(BackendError, match=r'int8 needs nncf.*pip install nncf') as error:
        quantize(exported, Format.OPENVINO, images, 126, tmp_path / 'network.xml')
    assert '\n' not in str(error.value)


def test_int8_may_differ_by_more_than_what_rounds(reference: FloatImage) -> None:
    class Off:
        """Two percent off in a tenth of the pixels, one percent elsewhere."""

        info = load(choose_backend(_parameters('torch', 'fp32'))).info

        def infer(self, bgr: BgrImage) -> FloatImage:
            return (
                np.where(np.arange(bgr.shape[1]) % 10, 1.01, 1.02).astype(np.float32) * reference
            )

    off = Off()
    assert disagreement(off, reference)  # type: ignore[arg-type]
    off.info = replace(off.info, precision='int8')
    assert disagreement(off, reference) == ''  # type: ignore[arg-type]
