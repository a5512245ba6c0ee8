"""The table of backends: what 'auto' means, and what is imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from depth_anything_ros.backends import registry
from depth_anything_ros.backends.registry import choose_backend, fastest, load, prepare
from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.model.cache import Format, keep_export
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find

DEMO = find('demo', Checkpoint.RELATIVE)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with OpenVINO, and nothing exported."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(registry, '_has_cuda', lambda: False)
    monkeypatch.setattr(registry, 'find_spec', lambda name: name)


@pytest.mark.parametrize('device', ['auto', 'cpu'])
def test_a_cpu_takes_openvino_once_the_network_is_exported(device: str) -> None:
    name, why = fastest(device, DEMO)
    assert name == 'torch' and 'depth_anything export --cache --format openvino' in why
    keep_export(DEMO, Format.OPENVINO, lambda path: path.touch())
    assert fastest(device, DEMO) == ('openvino', 'fastest installed on a CPU')


def test_without_openvino_torch_runs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, 'find_spec', lambda name: None)
    assert fastest('cpu', DEMO) == ('torch', 'openvino, faster on a CPU, is not installed')
    prepare('auto', 'cpu', DEMO)
    chosen = choose_backend(Parameters(backend='auto', variant='demo', device='cpu'))
    assert chosen.name == load(chosen).info.name == 'torch'
    assert 'is not installed' in chosen.why


def test_cuda_takes_torch_and_an_intel_gpu_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_export(DEMO, Format.OPENVINO, lambda path: path.touch())
    assert fastest('cuda:1', DEMO)[0] == 'torch'
    assert fastest('gpu', DEMO)[0] == 'openvino'
    monkeypatch.setattr(registry, '_has_cuda', lambda: True)
    assert fastest('auto', DEMO) == ('torch', 'fastest installed on CUDA')
    assert fastest('cpu', DEMO)[0] == 'openvino'


def test_torch_needs_no_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        raise AssertionError('built')

    monkeypatch.setattr(registry, 'build_export', build)
    prepare('torch', 'cpu', DEMO)
    prepare('auto', 'cuda', DEMO)
    with pytest.raises(AssertionError, match='built'):
        prepare('auto', 'cpu', DEMO)


def test_auto_does_without_an_export_that_fails_and_openvino_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise BackendError('no operator for that')

    monkeypatch.setattr(registry, 'build_export', refuse)
    prepare('auto', 'cpu', DEMO)
    assert 'no operator for that; until then torch runs' in caplog.text
    with pytest.raises(BackendError, match='no operator'):
        prepare('openvino', 'cpu', DEMO)


def test_exporting_without_torch_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, 'depth_anything_ros.model.export', raising=False)
    monkeypatch.setitem(sys.modules, 'torch', None)
    with pytest.raises(BackendError, match='needs torch, which is not installed'):
        prepare('openvino', 'cpu', DEMO)


def test_the_table_imports_no_implementation() -> None:
    code = (
        'import sys; import depth_anything_ros.backends.registry;'
        "sys.exit(bool({'torch', 'cv2', 'openvino', 'onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
