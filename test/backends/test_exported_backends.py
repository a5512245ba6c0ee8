"""OpenVINO and ONNX Runtime behind our protocol, held against torch in float32."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_anything_ros import cli
from depth_anything_ros.backends.base import DepthBackend, NetworkOutput
from depth_anything_ros.backends.loading import fetch_weights
from depth_anything_ros.backends.registry import choose_backend, load, prepare
from depth_anything_ros.core.errors import BackendError, FrameError, SettingError
from depth_anything_ros.core.parameters import Parameters, parameters_from_flat
from depth_anything_ros.core.processor import multiplies_bfloat16
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.model.cache import Format, find_export
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find

NAMES = ['openvino', 'onnxruntime']
FORMS = [('openvino', Format.OPENVINO), ('onnxruntime', Format.ONNX)]


def _backend(name: str, **changes: object) -> DepthBackend:
    """Return a backend, exporting its network first; without it the test is skipped."""
    pytest.importorskip(name)
    settings = {'variant': 'demo', 'device': 'cpu', 'precision': 'fp32', 'input_size': 126}
    parameters = Parameters(backend=name, **(settings | changes))  # type: ignore[arg-type]
    weights = find(parameters.variant, Checkpoint(parameters.checkpoint), parameters.weights)
    prepare(name, 'cpu', weights)
    return load(choose_backend(parameters))


@pytest.fixture(scope='module', params=NAMES)
def backend(request: pytest.FixtureRequest) -> DepthBackend:
    return _backend(request.param)


@pytest.fixture(scope='module')
def expected() -> Callable[[BgrImage], np.ndarray]:
    return _backend('torch').infer


def _picture(width: int = 160, height: int = 120, seed: int = 0) -> BgrImage:
    """Smooth blobs with edges between: no flat image, and no noise alone."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), min(width, height) / 12)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX), np.uint8)


def _difference(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Return the median and the 99th percentile of the difference, of the range of `expected`."""
    assert found.shape == expected.shape and found.dtype == np.float32
    error = np.abs(found - expected) / np.ptp(expected)
    return float(np.median(error)), float(np.percentile(error, 99))


@pytest.mark.parametrize(
    ('width', 'height'), [(160, 120), (120, 160), (126, 126), (900, 20), (20, 900), (33, 47)]
)
def test_any_size_gives_what_torch_gives(
    backend: DepthBackend,
    expected: Callable[[BgrImage], np.ndarray],
    width: int,
    height: int,
) -> None:
    image = _picture(width, height)
    median, p99 = _difference(backend.infer(image), expected(image))
    # Rounding of float32 in another order, on values near the size of their range.
    assert median < 1e-5 and p99 < 1e-4


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize(
    ('variant', 'checkpoint'),
    [('vits', 'relative'), ('demo', 'metric_outdoor')],
)
def test_random_weights_give_what_torch_gives(name: str, variant: str, checkpoint: str) -> None:
    changes = {'variant': variant, 'weights': 'random', 'checkpoint': checkpoint, 'input_size': 70}
    tested = _backend(name, **changes)
    assert tested.info.output is _backend('torch', **changes).info.output
    image = _picture()
    median, p99 = _difference(tested.infer(image), _backend('torch', **changes).infer(image))
    assert median < 1e-4 and p99 < 1e-3  # random weights spread over 2 % of their mean


@pytest.mark.skipif(not multiplies_bfloat16(), reason='needs a CPU with bfloat16')
def test_bfloat16_is_near_float32_and_chosen_by_itself(
    expected: Callable[[BgrImage], np.ndarray],
) -> None:
    rounded = _backend('openvino', precision='auto')
    assert rounded.info.precision == 'bf16'
    median, p99 = _difference(rounded.infer(_picture()), expected(_picture()))
    # 8 bits of mantissa.
    assert 0 < median < 0.01 and p99 < 0.03


def test_a_batch_gives_what_single_frames_give_in_their_order(backend: DepthBackend) -> None:
    images = [_picture(seed=0), _picture(90, 120, seed=1), _picture(seed=2)]
    for image, found in zip(images, backend.infer_batch(images), strict=True):
        alone = backend.infer(image)
        np.testing.assert_allclose(found, alone, atol=1e-5 * np.ptp(alone))
    assert backend.infer_batch([]) == []


def test_an_answer_is_not_overwritten_by_the_next(backend: DepthBackend) -> None:
    # At the network's own size nothing is resized, and so nothing copied by that.
    first = backend.infer(_picture(126, 126, seed=0))
    kept = first.copy()
    backend.infer(_picture(126, 126, seed=1))
    np.testing.assert_array_equal(first, kept)


def test_a_frame_has_three_stages(backend: DepthBackend) -> None:
    times = StageTimes()
    backend.infer(_picture(), times)
    assert set(times.ms) == {'preprocess', 'infer', 'postprocess'}


@pytest.mark.parametrize('name', NAMES)
def test_the_info_says_what_runs(name: str) -> None:
    info = _backend(name, input_size=518).info
    assert (info.name, info.device, info.precision, info.why) == (name, 'cpu', 'fp32', '')
    assert info.input_size == 126 and info.output is NetworkOutput.INVERSE_DEPTH


def test_what_is_no_image_is_refused_and_the_next_frame_runs(backend: DepthBackend) -> None:
    with pytest.raises(FrameError):
        backend.infer(np.zeros((48, 64, 4), np.uint8))
    backend.infer(_picture())


@pytest.mark.parametrize('name', NAMES)
def test_a_closed_backend_says_so(name: str) -> None:
    closed = _backend(name)
    closed.close()
    closed.close()
    with pytest.raises(BackendError, match=f'{name} backend was closed'):
        closed.infer(_picture())


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        ({'precision': 'fp8'}, 'fp8'),
        ({'device': 'tpu:x'}, 'tpu:x'),
        ({'variant': 'vits', 'weights': 'random', 'input_size': 5}, 'input_size 5'),
    ],
)
def test_a_bad_setting_is_refused_by_name(
    name: str, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(SettingError, match=named):
        _backend(name, **changes)


@pytest.mark.parametrize(
    ('name', 'device', 'said'),
    [
        ('openvino', 'gpu:7', r'OpenVINO sees CPU.*set device to cpu'),
        ('onnxruntime', 'tensorrt', r'among the providers .*cpu.*install onnxruntime-gpu'),
    ],
)
def test_a_missing_device_is_named(name: str, device: str, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        _backend(name, device=device)


@pytest.mark.parametrize(('name', 'form'), FORMS)
def test_a_network_that_was_not_exported_names_the_command(
    name: str, form: Format, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    command = (
        f'depth_anything export --cache --format {form.value} --variant vits'
        ' --checkpoint metric_indoor --weights random'
    )
    with pytest.raises(BackendError, match=f'run `{command}` and try again'):
        load(
            choose_backend(
                Parameters(
                    backend=name,
                    variant='vits',
                    weights='random',
                    device='cpu',
                    input_size=126,
                    checkpoint='metric_indoor',
                )
            )
        )


@pytest.mark.parametrize('name', NAMES)
def test_the_command_that_exports_helps(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    parameters = Parameters(variant='demo', backend=name, device='cpu', input_size=126)
    with pytest.raises(BackendError) as caught:
        load(choose_backend(parameters))
    (command,) = re.findall('run `depth_anything (.*)` and try again', str(caught.value))
    assert cli.main(shlex.split(command)) == 0
    assert load(choose_backend(parameters)).info.name == name


@pytest.mark.parametrize(('name', 'form'), FORMS)
def test_a_file_that_the_runtime_refuses_is_named(
    name: str, form: Format, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    _backend(name)
    path = find_export(find('demo', Checkpoint.RELATIVE), form)
    assert path is not None
    (broken := path.with_name(f'broken{form.suffix}')).write_text('nonsense')
    monkeypatch.setattr(
        'depth_anything_ros.backends.export_files.find_export', lambda *_, **__: broken
    )
    with pytest.raises(BackendError, match=f'cannot load {broken}.*delete that folder') as error:
        _backend(name)
    assert '\n' not in str(error.value)


FROM_CACHE = """
import sys
import numpy as np
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.estimator.stream import DepthStream

parameters = parameters_from_flat({'variant': 'demo', 'device': 'cpu', 'backend': sys.argv[1]})
fetch_weights(parameters)
backend = load_backend(parameters)
image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
assert backend.info.name == sys.argv[2], backend.info
DepthStream(backend, parameters).process(image, 0)
assert 'torch' not in sys.modules
"""


@pytest.mark.parametrize(('asked', 'runs'), [('auto', 'openvino'), ('onnxruntime', 'onnxruntime')])
def test_from_the_cache_torch_is_never_imported(asked: str, runs: str) -> None:
    pytest.importorskip(runs)
    fetch_weights(parameters_from_flat({'variant': 'demo', 'device': 'cpu', 'backend': asked}))
    subprocess.run([sys.executable, '-c', FROM_CACHE, asked, runs], check=True, timeout=120)


_TWO_IN_TURN = """
import gc, os, signal
import depth_anything_ros as da

signal.signal(signal.SIGINT, lambda *_: print('heard'))
one, two = (da.load('demo', backend='openvino', device='cpu') for _ in range(2))
del one
gc.collect()
del two
gc.collect()
os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_after_two_networks_of_openvino_is_no_crash() -> None:
    """Where the processor has AVX-512, each Core of OpenVINO replaces the stack for signals."""
    pytest.importorskip('openvino')
    done = subprocess.run(
        [sys.executable, '-c', _TWO_IN_TURN], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, 'heard\n'), done.stderr
