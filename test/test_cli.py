"""The command line: what it prints, and with which status it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from rosbags.highlevel import AnyReader

from depth_anything_ros import cli
from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.model import hub
from depth_anything_ros.model.cache import Format, find_export
from depth_anything_ros.model.manifest import release_for
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find
from lab.topic_names import TRUTH

VERBS = [
    'demo',
    'run',
    'bench',
    'export',
    'tune',
    'prove',
    'bag sample',
    'bag process',
    'bag compare',
    'weights list',
    'weights fetch',
    'weights verify',
]


@pytest.mark.parametrize('verb', VERBS)
def test_every_verb_describes_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*verb.split(), '--help'])
    assert ended.value.code == 0
    assert 'usage: depth_anything ' + verb in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ('', 'VERB'),
        ('nonsense', 'nonsense'),
        ('demo --seconds -1', 'not a positive number'),
        ('demo --variant vitx', 'vitx'),
        ('bag sample OUT --size 640', 'give it as 640x480'),
        ('bench --size 0x480', '0x480 is no size'),
        ('tune --budget-ms 50 --size 640x0', '640x0 is no size'),
    ],
)
def test_bad_usage_is_status_2(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ('bag sample OUT --scene moon', 'moon'),
        ('bag sample OUT --storage tape', 'tape'),
        ('bench alignment --scenes 0', 'give 1 or more'),
        ('bench polarity --drives 0', 'give 1 or more'),
        ('bench bag --pairs 0', 'give 1 or more'),
        ('weights fetch --variant vitg', 'never released'),
        ('run missing.jpg OUT', 'missing.jpg does not exist'),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments.split()) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if 'depth_anything:' in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / 'OUT').exists()


@pytest.mark.parametrize('module', ['argparse', 'cv2'])
def test_ctrl_c_during_the_imports_is_one_line(module: str) -> None:
    code = (
        'import sys\n'
        'class Interrupt:\n'
        '    def find_spec(name, path=None, target=None):\n'
        '        if name == sys.argv[1]:\n'
        '            raise KeyboardInterrupt\n'
        'sys.modules.pop(sys.argv[1], None)\n'
        'sys.meta_path.insert(0, Interrupt)\n'
        'from depth_anything_ros.cli import main\n'
        'sys.exit(main(["bag", "compare", "x", "y"]))\n'
    )
    command = [sys.executable, '-c', code, module]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (130, 'depth_anything: interrupted\n')


def test_truth_without_a_name_is_that_of_sample_bags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(['bag', 'compare', '--help'])
    said = ' '.join(capsys.readouterr().out.split())
    assert f'(without a name: {TRUTH})' in said
    assert 'every topic of A but /rosout, /parameter_events and /events/...' in said


def test_weights_list_as_json_and_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['weights', 'list', '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row['variant'] for row in rows} == {'vits', 'vitb', 'vitl', 'vitg'}
    assert all(row['path'] is None for row in rows)
    assert cli.main(['weights', 'list']) == 0
    assert capsys.readouterr().out.count('\n') == len(rows) + 1


@pytest.mark.parametrize(
    ('arguments', 'status'),
    [
        ('', 0),
        ('--checkpoint relative', 0),
        ('--variant vits', 1),
        ('--variant vits --checkpoint relative', 1),
        ('--weights own.pth', 1),
        ('--weights empty', 1),
        ('--weights depth_anything_v2_vits.pth', 1),
    ],
)
def test_weights_verify_fails_for_what_is_named_and_not_as_released(
    arguments: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'own.pth').write_bytes(b'own')
    (tmp_path / 'depth_anything_v2_vits.pth').write_bytes(b'own')
    (tmp_path / 'empty').mkdir()
    assert cli.main(['weights', 'verify', *arguments.split()]) == status


@pytest.mark.parametrize('named', [[], ['--variant', 'vits', '--checkpoint', 'relative']])
def test_weights_verify_checks_what_is_in_the_cache(
    named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / 'depth_anything_v2_vits.pth'
    release = release_for('vits', Checkpoint.RELATIVE)
    assert release is not None
    monkeypatch.setattr(hub, 'cached', lambda row: file if row == release else None)
    file.write_bytes(b'not as released')
    assert cli.main(['weights', 'verify', *named]) == 1
    for module in ('inventory', 'weights'):
        name = f'depth_anything_ros.model.{module}.sha256_of'
        monkeypatch.setattr(name, lambda path, use_record: release.sha256)
    assert cli.main(['weights', 'verify', *named]) == 0


def test_weights_verify_says_that_it_takes_any(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(['weights', 'verify', '--help'])
    said = ' '.join(capsys.readouterr().out.split())
    assert said.count('Default: any.') == 2
    assert 'None' not in said


def test_the_demo_ends_in_a_picture_of_what_the_node_answered(tmp_path: Path) -> None:
    arguments = ['demo', '--seconds', '0.5', '--rate', '10', '--device', 'cpu']
    done = subprocess.run(
        [sys.executable, '-m', 'depth_anything_ros.cli', *arguments, '--out', str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    assert 'images sent         10' in done.stdout
    sheet = cv2.imread(str(tmp_path / 'demo.png'))
    assert sheet.shape[0] > 1000
    assert sheet.shape[1] > 300
    with AnyReader([tmp_path / 'depth_room']) as reader:
        assert reader.message_count > 0


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ('', 'give the file to write, OUT, or --cache'),
        ('a.xml --cache', 'give the file to write, OUT, or --cache, not both'),
        ('--cache --size 640x480', '--size has no use with --cache'),
        ('a.pth', 'a.pth is no name for openvino: let it end in .xml'),
        ('a.onnx --format openvino', 'let it end in .xml'),
        ('/nowhere/a/b.onnx --variant demo', 'cannot write /nowhere/a/b.onnx'),
    ],
)
def test_an_export_that_cannot_be_is_one_line(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('onnx')
    assert cli.main(['export', *arguments.split()]) == 2
    error = capsys.readouterr().err.splitlines()
    assert said in error[-1]


def test_export_writes_a_network_that_onnx_runtime_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip('onnxruntime')
    out = tmp_path / 'demo.onnx'
    assert cli.main(['export', str(out), '--variant', 'demo', '--size', '640x480']) == 0
    printed = capsys.readouterr()
    assert printed.out == f'{out}\n' and 'not for robots' in printed.err
    session = onnxruntime.InferenceSession(out, providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape == [1, 3, 126, 168]


def test_export_fills_the_cache_that_the_backends_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip('openvino')
    arguments = ['export', '--cache', '--variant', 'demo', '--weights', 'random']
    assert cli.main(arguments) == 0
    weights = find('demo', Checkpoint.RELATIVE, 'random')
    assert capsys.readouterr().out == f'{find_export(weights, Format.OPENVINO)}\n'


def test_export_in_int8_takes_images(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ('openvino', 'nncf'):
        pytest.importorskip(name)
    picture = tmp_path / 'picture.png'
    cv2.imwrite(str(picture), photograph())
    arguments = ['export', '--variant', 'demo', '--precision', 'int8', '--calibration']
    assert cli.main([*arguments, str(picture), '--cache']) == 0
    path = find_export(find('demo', Checkpoint.RELATIVE), Format.OPENVINO, int8=True)
    assert capfd.readouterr().out == f'{path}\n'
    out = tmp_path / 'demo.xml'
    assert cli.main([*arguments, str(picture), str(out)]) == 0
    assert 'FakeQuantize' in out.read_text()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ('--calibration folder', '--calibration is for --precision int8'),
        ('--precision int8 --size 64x48', '--size has no use with --precision int8'),
    ],
)
def test_export_refuses_what_would_have_no_effect(
    arguments: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ['export', '--variant', 'demo', str(tmp_path / 'demo.xml'), *arguments.split()]
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
