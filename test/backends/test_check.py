"""`weights check`: what a file is, what its card lacks, and whether it runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_networks import KnownDepth, write_onnx

import depth_anything_ros as da
from depth_anything_ros import cli
from depth_anything_ros.core.preprocess import network_input
from depth_anything_ros.model.network import random_network
from depth_anything_ros.model.variants import VARIANTS

METRIC = 'family: depth_anything_v2\nvariant: demo\noutput: metric_depth\nmax_depth_m: 150\n'
CPU = ['--device', 'cpu', '--threads', '1', '--json']


def _checked(path: Path, *arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    capsys.readouterr()
    status = cli.main(['weights', 'check', str(path), *CPU, *arguments])
    return status, {row['name']: row['value'] for row in json.loads(capsys.readouterr().out)}


def _fine_tune(folder: Path) -> Path:
    state = random_network(VARIANTS['demo'], 150.0).state_dict()
    lightning = {'state_dict': {f'model.{name}': value for name, value in state.items()}}
    torch.save(lightning, folder / 'own.ckpt')
    return folder / 'own.ckpt'


def test_a_checkpoint_with_and_without_its_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _fine_tune(tmp_path)
    demo = ('--variant', 'demo', '--checkpoint', 'metric_outdoor')
    status, facts = _checked(path, *demo, capsys=capsys)
    assert status == 1 and 'runs' not in facts
    assert 'max_depth_m: METRES' in facts['problem']
    # What can be seen is said nevertheless.
    assert facts['layout'] == "published names, under 'state_dict', behind 'model.'"
    assert facts['content'].endswith('2.1 M parameters')
    assert facts['shapes'] == 'patches [144, 3, 14, 14], 6 blocks, head [24, 32, 48, 64] to 32'
    (tmp_path / 'own.yaml').write_text(METRIC)
    status, facts = _checked(path, capsys=capsys)
    assert status == 0 and facts['card'] == str(tmp_path / 'own.yaml')
    assert facts['max_depth_m'] == '150.0'
    assert facts['licence'] == 'not stated: ask whoever trained it'
    assert facts['runs'].startswith('torch on cpu: metres of ')
    low, high = (float(word) for word in facts['runs'].split()[5:8:2])
    assert 60 < low < high < 90


def test_python_gives_the_metres_of_a_fine_tune_to_150_m(tmp_path: Path) -> None:
    _fine_tune(tmp_path)
    (tmp_path / 'own.yaml').write_text(METRIC)
    image = torch.randint(0, 256, (126, 168, 3), dtype=torch.uint8).numpy()
    weights = str(tmp_path / 'own.yaml')
    with da.load(weights=weights, device='cpu', backend='torch', precision='fp32') as model:
        frame = model(image)
        assert model.info.weights.card.max_depth_m == 150.0
    with torch.inference_mode():
        own = random_network(VARIANTS['demo'], 150.0)
        expected = own(torch.from_numpy(network_input(image, (126, 168)))[None])[0].numpy()
    assert frame.depth_m is not None
    # Beyond reference.max_depth_m it is unknown.
    known = np.isfinite(frame.depth_m)
    assert np.array_equal(known, expected <= 80.0) and known.mean() > 0.5
    error = np.abs(frame.depth_m / expected - 1.0)[known].max()
    print(f'150 m: largest error {error:.1e}')
    assert error < 1e-3


def test_an_onnx_file_with_and_without_its_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    path = write_onnx(KnownDepth('metric_depth'), tmp_path / 'net.onnx', torch.rand(1, 3, 48, 64))
    status, facts = _checked(path, capsys=capsys)
    assert status == 1 and 'write the card' in facts['problem']
    assert facts['input'] == "picture [1, 3, 'h', 'w'], tensor(float)"
    text = 'family: onnx\noutput: metric_depth\nmax_depth_m: 10\nlicence: MIT\n'
    (tmp_path / 'net.yaml').write_text(
        text + 'input: {values: zero_to_one, size: 48, multiple: 2}'
    )
    status, facts = _checked(path, '--backend', 'onnxruntime', capsys=capsys)
    assert status == 0 and facts['licence'] == 'MIT'
    low, high = (float(word) for word in facts['runs'].split()[5:8:2])
    assert 1 <= low < 5 < high <= 10


def test_a_card_that_is_wrong_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'a.yaml').write_text('family: onnx\n')
    status, facts = _checked(tmp_path / 'a.yaml', capsys=capsys)
    assert status == 1 and 'output is missing' in facts['problem']
    assert cli.main(['weights', 'check', str(tmp_path / 'none.yaml'), *CPU]) == 2
    assert 'cannot find the weights' in capsys.readouterr().err
