"""Exported networks on disk, with a writer that needs no network."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from depth_anything_ros.model import cache
from depth_anything_ros.model.cache import Format, find_export, keep_export
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import WeightsFile, find

DEMO = find('demo', Checkpoint.RELATIVE)


class Writer:
    """Writes what an exporter would, and counts how often."""

    def __init__(self, *failures: OSError) -> None:
        self.failures = list(failures)
        self.paths: list[Path] = []

    def __call__(self, path: Path) -> None:
        self.paths.append(path)
        path.write_text('network')
        path.with_suffix('.bin').write_bytes(b'weights' * 1000)
        if self.failures:
            raise self.failures.pop()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(cache, '_unkept', {})
    return tmp_path / 'depth_anything_ros' / 'exports'


def test_what_is_kept_is_found_and_not_written_again(folder: Path) -> None:
    write = Writer()
    assert find_export(DEMO, Format.OPENVINO) is None
    path = keep_export(DEMO, Format.OPENVINO, write)
    assert path.parent.parent == folder and path.read_text() == 'network'
    assert find_export(DEMO, Format.OPENVINO) == path
    assert keep_export(DEMO, Format.OPENVINO, write) == path
    assert len(write.paths) == 1


def test_another_network_runtime_or_format_is_another_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = WeightsFile(Path('a.pth'), '0' * 64, DEMO.card, known=False)
    several = [
        DEMO,
        theirs,
        find('demo', Checkpoint.RELATIVE, 'random'),
        find('demo', Checkpoint.METRIC_INDOOR, 'random'),
        find('vits', Checkpoint.RELATIVE, 'random'),
    ]
    paths = {keep_export(each, form, Writer()) for each in several for form in Format}
    assert len(paths) == len(several) * len(Format)

    monkeypatch.setattr(cache, 'version', lambda package: 'another')
    assert find_export(DEMO, Format.OPENVINO) is None


def _truncate(entry: Path) -> None:
    whole = (entry / 'network.bin').read_bytes()
    (entry / 'network.bin').write_bytes(whole[:-1])


def _flip(entry: Path) -> None:
    content = bytearray((entry / 'network.bin').read_bytes())
    content[5] ^= 1
    (entry / 'network.bin').write_bytes(content)


def _lose(entry: Path) -> None:
    (entry / 'network.bin').unlink()


def _scribble(entry: Path) -> None:
    (entry / 'sha256.json').write_text('{"network')


def _nest(entry: Path) -> None:
    (entry / 'sha256.json').write_text('[' * 100_000)


def _number(entry: Path) -> None:
    (entry / 'sha256.json').write_text('{"network.bin": 5, "": null}')


@pytest.mark.parametrize(
    'damage', [_truncate, _flip, _lose, _scribble, _nest, _number, shutil.rmtree]
)
def test_a_damaged_entry_is_written_anew(damage: object, folder: Path) -> None:
    path = keep_export(DEMO, Format.OPENVINO, Writer())
    damage(path.parent)  # type: ignore[operator]
    assert find_export(DEMO, Format.OPENVINO) is None
    assert keep_export(DEMO, Format.OPENVINO, Writer()) == path
    assert find_export(DEMO, Format.OPENVINO) == path


def test_half_an_entry_is_never_seen_and_goes_with_the_next(folder: Path) -> None:
    def killed(path: Path) -> None:
        path.write_text('half')
        assert find_export(DEMO, Format.OPENVINO) is None
        shutil.copytree(path.parent, path.parent.with_name(path.parent.stem + 'x.tmp'))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_export(DEMO, Format.OPENVINO, killed)
    assert find_export(DEMO, Format.OPENVINO) is None
    assert list(folder.glob('*.tmp'))
    path = keep_export(DEMO, Format.OPENVINO, Writer())
    assert [each for each in folder.iterdir() if each.is_dir()] == [path.parent]


def test_without_room_it_lasts_as_long_as_the_process(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write = Writer(OSError(errno.ENOSPC, 'No space left on device'))
    path = keep_export(DEMO, Format.OPENVINO, write)
    assert folder not in path.parents and path.read_text() == 'network'
    (record,) = caplog.records
    assert 'No space left' in record.getMessage() and '\n' not in record.getMessage()
    assert find_export(DEMO, Format.OPENVINO) == path
    assert not list(folder.glob('*.tmp'))


def test_a_cache_that_cannot_be_written_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / 'file').touch()  # root may write into any folder, but not below a file
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    write = Writer()
    path = keep_export(DEMO, Format.ONNX, write)
    assert path.suffix == '.onnx' and find_export(DEMO, Format.ONNX) == path
    assert [record.levelname for record in caplog.records] == ['WARNING']
    assert str(tmp_path / 'file') in caplog.text


def test_a_user_without_a_home_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', 'not/absolute')
    assert keep_export(DEMO, Format.ONNX, Writer()).exists()
    assert 'XDG_CACHE_HOME' in caplog.text


PROCESS = """
import sys
from depth_anything_ros.model.cache import Format, keep_export
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find

def write(path):
    print('writing', flush=True)
    sys.stdin.readline()
    path.write_text('network')

print(keep_export(find('demo', Checkpoint.RELATIVE), Format.ONNX, write))
"""


def test_two_processes_write_it_once(folder: Path) -> None:
    def started() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, '-c', PROCESS], stdin=pipe, stdout=pipe, text=True
        )

    with started() as first:
        assert first.stdout is not None
        assert first.stdout.readline() == 'writing\n'
        with started() as second:
            # The first holds the lock until it is told to go on; the second, whenever it comes
            # to it, finds the entry.
            written, _ = first.communicate('go on\n', timeout=60.0)
            found, _ = second.communicate('go on\n', timeout=60.0)
    assert first.returncode == second.returncode == 0
    assert found == written == f'{find_export(DEMO, Format.ONNX)}\n'
