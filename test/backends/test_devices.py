"""How device and precision become what OpenVINO and ONNX Runtime call them, on any machine."""

from __future__ import annotations

import pytest

from depth_anything_ros.core.errors import BackendError, SettingError

CPU, CUDA, TENSORRT = (f'{name}ExecutionProvider' for name in ('CPU', 'CUDA', 'Tensorrt'))


@pytest.mark.parametrize(
    ('name', 'available', 'expected'),
    [
        ('auto', ['CPU', 'GPU'], 'CPU'),
        ('cpu', ['CPU'], 'CPU'),
        ('gpu', ['CPU', 'GPU'], 'GPU'),
        ('gpu:0', ['CPU', 'GPU'], 'GPU.0'),
        ('gpu:1', ['CPU', 'GPU.0', 'GPU.1'], 'GPU.1'),
    ],
)
def test_openvino_names_its_devices(name: str, available: list[str], expected: str) -> None:
    openvino = pytest.importorskip('depth_anything_ros.backends.openvino')
    assert openvino.choose_device(name, available) == expected


def test_openvino_has_no_gpu_to_give() -> None:
    openvino = pytest.importorskip('depth_anything_ros.backends.openvino')
    for name, available in (('gpu', ['CPU']), ('gpu:1', ['CPU', 'GPU'])):
        with pytest.raises(BackendError, match='is not there'):
            openvino.choose_device(name, available)
    for name in ('cuda', 'gpu:', 'gpu:x', 'GPU'):
        with pytest.raises(SettingError, match='give auto, cpu, gpu or gpu:N'):
            openvino.choose_device(name, ['CPU', 'GPU'])


@pytest.mark.parametrize(
    ('name', 'device', 'capabilities', 'expected'),
    [
        ('auto', 'CPU', {'FP32', 'INT8'}, 'fp32'),
        ('auto', 'CPU', {'FP32', 'BF16', 'FP16'}, 'bf16'),
        ('auto', 'GPU', {'FP32', 'FP16'}, 'fp16'),
        ('fp16', 'CPU', {'FP32', 'FP16'}, 'fp16'),
    ],
)
def test_openvino_takes_half_precision_where_the_device_has_it(
    name: str, device: str, capabilities: set[str], expected: str
) -> None:
    openvino = pytest.importorskip('depth_anything_ros.backends.openvino')
    assert openvino.choose_precision(name, device, capabilities) == expected
    with pytest.raises(SettingError, match='bf16 is not what this CPU computes in: choose fp32'):
        openvino.choose_precision('bf16', 'CPU', {'FP32', 'INT8'})


@pytest.mark.parametrize(
    ('device', 'available', 'expected'),
    [
        ('auto', [CPU], (CPU, None)),
        ('auto', [TENSORRT, CUDA, CPU], (CUDA, None)),
        ('cpu', [CUDA, CPU], (CPU, None)),
        ('cuda:1', [TENSORRT, CUDA, CPU], (CUDA, 1)),
        ('tensorrt', [TENSORRT, CUDA, CPU], (TENSORRT, None)),
    ],
)
def test_a_device_is_a_provider(
    device: str, available: list[str], expected: tuple[str, int | None]
) -> None:
    onnxruntime = pytest.importorskip('depth_anything_ros.backends.onnxruntime')
    assert onnxruntime.choose_provider(device, available) == expected


def test_tensorrt_keeps_its_engines_and_takes_half_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    onnxruntime = pytest.importorskip('depth_anything_ros.backends.onnxruntime')
    monkeypatch.setenv('XDG_CACHE_HOME', '/cache')
    assert onnxruntime.choose_precision('auto', 'tensorrt') == 'fp16'
    assert onnxruntime.choose_precision('auto', 'cuda') == 'fp32'
    with pytest.raises(SettingError, match=r'fp16.*on cpu: choose fp32 or int8'):
        onnxruntime.choose_precision('fp16', 'cpu')
    assert onnxruntime._provider_options('tensorrt', 1, 'fp16') == {
        'device_id': '1',
        'trt_fp16_enable': 'True',
        'trt_engine_cache_enable': 'True',
        'trt_engine_cache_path': '/cache/depth_anything_ros/tensorrt',
    }
    assert onnxruntime._provider_options('cuda', None, 'fp32') == {}
