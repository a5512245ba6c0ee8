"""The command line: what it prints, and with which status it ends."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import cv2
import pytest

from depth_anything_ros import cli
from depth_anything_ros.backends.registry import choose_backend, load
from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.bag.compare_results import GROUND_TRUTH
from depth_anything_ros.cli import terminal
from depth_anything_ros.cli.exit_status import exit_status
from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.model import hub
from depth_anything_ros.model.cache import Format, find_export
from depth_anything_ros.model.releases import release_for
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find
from lab.claims.startup import HEAVY
from lab.sample import write_sample_bag
from lab.topic_names import TRUTH

ROOT = Path(__file__).resolve().parents[1]
VERBS = [
    'run',
    'bag',
    'bag process',
    'bag compare',
    'bag prove',
    'bench',
    'bench network',
    'bench start',
    'bench profile',
    'study',
    'study dissect',
    'study variants',
    'study colormaps',
    'study distribution',
    'study accuracy',
    'study ensemble',
    'study tta',
    'tune',
    'export',
    'weights',
    'weights list',
    'weights fetch',
    'weights verify',
]


@pytest.mark.parametrize('verb', ['', *VERBS])
def test_every_verb_describes_itself(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    with pytest.raises(SystemExit) as ended:
        cli.main([*verb.split(), '--help'])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f'usage: depth_anything {verb}'.rstrip())
    assert max(map(len, lines)) <= 80
    # Two screens of a terminal.
    assert len(lines) < 75


@pytest.mark.parametrize('verb', VERBS)
def test_an_unknown_option_is_an_error_of_its_verb(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = {'run': 'IN OUT', 'bag process': 'IN OUT', 'bag compare': 'A B', 'bag prove': 'A'}
    needed |= {'tune': '--budget-ms 9'}
    needed |= {verb: 'IN --out OUT' for verb in VERBS if verb.startswith('study ')}
    words = [*verb.split(), *needed.get(verb, '').split(), '--nonsense']
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert f'depth_anything {verb}' in capsys.readouterr().err.splitlines()[-1]


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal.progress('part') as show:
        show(1, 4)
    assert not capsys.readouterr().err
    monkeypatch.setattr(terminal, '_EVERY_S', -1.0)
    with terminal.progress('part') as show:
        show(1, 4, 'vits')
    assert re.fullmatch(r'part 1 of 4, 00:\d\d left vits\n', capsys.readouterr().err)


def test_an_option_is_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(['weights', 'list', '--js'])
    assert 'unrecognized arguments: --js' in capsys.readouterr().err


def test_bench_alone_is_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(['bench', '--frames', 'some'])
    assert 'depth_anything bench network: error: argument --frames' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(['bench', 'soak'])
    assert "invalid choice: 'soak'" in capsys.readouterr().err


@pytest.mark.parametrize('code', ['import depth_anything_ros', 'cli.main(["--help"])'])
def test_nothing_heavy_is_imported_for_a_start(code: str) -> None:
    program = f'try:\n    {code}\nexcept SystemExit:\n    pass\n'
    if 'cli' in code:
        program = f'from depth_anything_ros import cli\n{program}'
    program += f'import sys\nprint("imported:", *set({HEAVY!r}) & sys.modules.keys())'
    command = [sys.executable, '-c', program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'imported:'


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (
            ImportError("cannot import name 'Reader9'", name='rosbags.rosbag2'),
            f"rosbags {version('rosbags')} is too old (cannot import name 'Reader9'): "
            'pip install --upgrade rosbags',
        ),
        (
            ImportError("cannot import name 'x'", name='cv2'),
            'pip install --upgrade opencv-python-headless',
        ),
        (ImportError('libx.so: failed to map segment', name='_C'), 'memory ran out'),
        (ModuleNotFoundError('no', name='abacus'), 'abacus, which is not installed: pip install'),
        (ModuleNotFoundError('no', name='sensor_msgs'), 'is not installed: source ROS 2'),
        (ModuleNotFoundError('no', name='rosbags.new'), 'pip install --upgrade rosbags'),
    ],
)
def test_a_package_that_is_missing_or_too_old_is_one_line(
    error: ImportError, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert exit_status('depth_anything', fail) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_fault_of_our_own_imports_is_no_advice() -> None:
    def fail() -> int:
        raise ImportError('a circle', name='depth_anything_ros.core')

    with pytest.raises(ImportError, match='a circle'):
        exit_status('depth_anything', fail)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ('', 'VERB'),
        ('nonsense', 'nonsense'),
        ('tune --budget-ms -1', 'not a positive number'),
        ('run IN OUT --variant vitx', 'vitx'),
        ('bench --size 640', 'give it as 640x480'),
        ('run IN OUT --smoothing -1', 'argument --smoothing: -1.0: it must lie in 0 to'),
        ('run IN OUT --save color,depth', "'depth': choose from color, side_by_side"),
        ('run IN OUT --varient demo', 'did you mean --variant?'),
        ('bag process IN --outputs relative OUT', '--outputs takes all that follow: give them'),
        ('tune --budget-ms abc', 'abc is not a positive number'),
        ('study dissect IN --out OUT --points 1', '1 is not a point: give it as 0.5,0.5'),
        ('bench --size 0x480', '0x480 is not a size'),
        ('tune --budget-ms 50 --size 640x0', '640x0 is not a size'),
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
        ('bench --frames 0', 'give 1 or more'),
        ('bench --precision int8 --calibration none', '--calibration none does not exist'),
        (
            'export OUT.xml --precision int8',
            'give --calibration a bag, a folder of images or a video',
        ),
        ('weights fetch --variant vitg', 'never released'),
        ('run missing.jpg OUT', 'missing.jpg does not exist'),
        ('weights fetch --variant demo', 'the weights of demo are inside the package'),
        ('export there.onnx --variant demo', 'there.onnx exists: name another file, or remove it'),
        ('bench --plot there.png', '--plot there.png exists: name another file, or remove it'),
        ('bag prove missing', 'bag missing does not exist: check the path'),
        ('bag prove bag --out bag/page', '--out bag/page lies in what is read'),
        ('study colormaps bag --variant demo --out bag', '--out bag is what is read'),
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
    for name in ('there.onnx', 'there.png'):
        Path(name).touch()
    Path('bag').mkdir()
    assert cli.main(arguments.split()) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if 'depth_anything:' in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / 'OUT').exists()


def test_memory_that_runs_out_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise MemoryError

    assert exit_status('depth_anything', fail) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'memory ran out' in line


@pytest.mark.parametrize('closed', ['2>&-', '<&- 2>&-', '>&- 2>&-', '>&- 2>&- <&-'])
def test_nothing_is_written_into_a_file_in_place_of_a_closed_stderr(
    tmp_path: Path, closed: str
) -> None:
    path = tmp_path / 'kept'
    code = (
        'import os, sys\n'
        'from depth_anything_ros.cli.exit_status import exit_status\n'
        'def command():\n'
        f'    file = open({str(path)!r}, "w")\n'
        '    os.write(2, b"rubbish")\n'
        '    print("rubbish", file=sys.stderr)\n'
        '    return 3 if file.fileno() > 2 else 4\n'
        'sys.exit(exit_status("x", command))\n'
    )
    script = tmp_path / 'script.py'
    script.write_text(code)
    done = subprocess.run(
        f'{sys.executable} {script} {closed}', shell=True, check=False, timeout=60
    )
    assert done.returncode == 3
    assert path.read_text() == ''


def test_ctrl_c_during_the_imports_of_the_node_is_silent() -> None:
    code = (
        'import os, signal, sys\n'
        'class Interrupt:\n'
        '    def find_spec(name, path=None, target=None):\n'
        '        if name == "rclpy":\n'
        '            os.kill(os.getpid(), signal.SIGINT)\n'
        'from depth_anything_ros.start import depth_node\n'
        'sys.meta_path.insert(0, Interrupt)\n'
        'sys.exit(depth_node())\n'
    )
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, '')


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


def test_ground_truth_without_a_name_is_that_of_sample_bags(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        cli.main(['bag', 'compare', '--help'])
    said = ' '.join(capsys.readouterr().out.split())
    assert GROUND_TRUTH == TRUTH
    assert f'(without a name: {TRUTH})' in said
    assert 'every topic of A but /rosout, /parameter_events and /events/...' in said


def test_prove_judges_a_bag_and_its_limits_are_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag, out = tmp_path / 'room', tmp_path / 'out'
    write_sample_bag(bag, 'room', 0.5, 10.0, (160, 120))
    network = '--variant demo --device cpu --threads 1 --set reference.fixed_frame=odom'
    arguments = ['bag', 'prove', str(bag), *network.split(), '--reference', '/lidar/points']
    assert cli.main([*arguments, '--json', '--out', str(out)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row['judge'] for row in rows] == ['held out', '/depth_camera/depth/image_raw']
    assert {row['images'] for row in rows} == {5}
    assert {'index.html', 'report.md', 'report.json'} <= {path.name for path in out.iterdir()}
    by_truth = [*arguments, '--ground-truth']
    assert cli.main([*by_truth, '--abs-rel', '0.0001']) == 1
    *_, line = capsys.readouterr().out.splitlines()
    assert line.startswith('FAIL  room /lidar/points, judged by ground truth: abs_rel is 0.')
    assert line.endswith('beyond 0.0001')
    assert cli.main([*by_truth, '/depth']) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert 'has no topic /depth: it has' in line


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
    for module in ('inventory', 'weights_file'):
        name = f'depth_anything_ros.model.{module}.sha256_of'
        monkeypatch.setattr(name, lambda path, use_record=True: release.sha256)
    assert cli.main(['weights', 'verify', *named]) == 0


def test_weights_verify_says_that_it_takes_any(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(['weights', 'verify', '--help'])
    said = ' '.join(capsys.readouterr().out.split())
    assert said.count('Default: any.') == 2
    assert 'None' not in said


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ('', 'give the file to write, OUT, or --cache'),
        ('a.xml --cache', 'give the file to write, OUT, or --cache, not both'),
        ('--cache --size 640x480', '--size has no use with --cache'),
        ('a.pth', 'a.pth is not a name for openvino: let it end in .xml'),
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


def test_export_in_int8_takes_images(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('openvino', 'nncf'):
        pytest.importorskip(name)
    picture = tmp_path / 'picture.png'
    cv2.imwrite(str(picture), photograph())
    calibrated_on: list[int] = []

    def quantize(exported: Path, _: Format, images: Sequence[BgrImage], __: int, to: Path) -> None:
        """Stand for what test_quantization.py runs: write the network as it is."""
        calibrated_on.append(len(images))
        for suffix in ('.xml', '.bin'):
            shutil.copy(exported.with_suffix(suffix), to.with_suffix(suffix))

    monkeypatch.setattr('depth_anything_ros.model.quantization.quantize', quantize)
    arguments = ['export', '--variant', 'demo', '--precision', 'int8', '--calibration']
    out = tmp_path / 'demo.xml'
    assert cli.main([*arguments, str(picture), str(out)]) == 0
    assert calibrated_on == [1] and out.is_file()
    capfd.readouterr()
    # As a node without it says.
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    asked = Parameters(variant='demo', backend='openvino', device='cpu', precision='int8')
    with pytest.raises(BackendError) as caught:
        load(choose_backend(asked))
    (command,) = re.findall('run `depth_anything (.*)` and try again', str(caught.value))
    assert cli.main(command.replace('FOLDER_OR_BAG', str(picture)).split()) == 0
    assert load(choose_backend(asked)).info.precision == 'int8'
    path = find_export(find('demo', Checkpoint.RELATIVE), Format.OPENVINO, int8=True)
    assert capfd.readouterr().out == f'{path}\n'


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
