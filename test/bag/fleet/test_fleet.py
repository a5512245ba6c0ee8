"""Bags of a fleet by workers of Ray: found, processed, retried, skipped, compared."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import cast

import fsspec
import pytest

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.bag.fleet import run
from depth_anything_ros.bag.fleet.claim import claimed
from depth_anything_ros.bag.fleet.page import remarks, write_page
from depth_anything_ros.bag.fleet.places import FleetBag, find_bags, output_folder
from depth_anything_ros.bag.fleet.run import Cluster, run_fleet
from depth_anything_ros.bag.fleet.worker import BagWorker, FleetResult, compared_with
from depth_anything_ros.bag.jobs import process_bags
from depth_anything_ros.bag.plan import ProcessOptions
from depth_anything_ros.bag.summary import BagState
from depth_anything_ros.bag.writing import BagWriter
from depth_anything_ros.cli import main
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import parameters_from_flat
from lab.sample import write_sample_bag

# One thread, as a fleet runs: it decides about the last bits.
FAST = parameters_from_flat(
    {'variant': 'demo', 'weights': 'random', 'device': 'cpu', 'threads': 1}
)
HOW = ProcessOptions(outputs=('relative',))


@pytest.fixture(scope='module')
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four bags in two folders, one of them a lone file, and one that is not a bag."""
    folder = tmp_path_factory.mktemp('bags')
    for number, name in enumerate(('mon/a', 'mon/b', 'tue/a')):
        write_sample_bag(folder / name, seconds=0.5, size=(96, 64), seed=number)
    next((folder / 'mon/b').glob('*.mcap')).rename(folder / 'tue/lone.mcap')
    (folder / 'mon/b/metadata.yaml').unlink()
    (folder / 'tue/bad.mcap').write_bytes(b'no bag at all' * 100)
    return folder


@pytest.fixture(scope='module')
def one_by_one(bags: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('alone')
    for bag in find_bags([str(bags)], str(folder)):
        if bag.name != 'tue/bad':
            process_bags([Path(bag.source)], Path(bag.out), FAST, HOW)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_bags_are_found_at_any_depth_by_names_that_lead_nowhere_else(
    bags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_bags([str(bags)], '/out/')
    names = ['mon/a', 'tue/a', 'tue/bad', 'tue/lone']
    assert [(each.name, each.out) for each in found] == [(n, f'/out/{n}') for n in names]
    assert found[0].source == str(bags / 'mon/a')
    # Of earlier runs.
    assert [each.name for each in find_bags([str(bags)], f'{bags}/tue')] == ['mon/a']
    with pytest.raises(SettingError, match=r'mon/a and .*tue/a would both become /out/a'):
        find_bags([str(bags / 'mon/a'), str(bags / 'tue/a')], '/out')
    with pytest.raises(SettingError, match='nowhere does not exist'):
        find_bags([str(bags / 'nowhere')], '/out')
    outer = bags / 'tue/metadata.yaml'
    outer.write_text('')
    with pytest.raises(SettingError, match=r'tue/a would lie inside of that of .*tue: move'):
        find_bags([str(bags)], '/out')
    outer.unlink()
    for nothing in (bags / 'mon/b', bags / 'mon/a/metadata.yaml'):
        with pytest.raises(SettingError, match=f'{nothing} holds no bag'):
            find_bags([str(nothing)], '/out')
    with pytest.raises(SettingError, match=r'nope://a.*give a path, or a URL'):
        find_bags(['nope://a'], '/out')
    # Of protocols that need a package of their own.
    monkeypatch.setitem(sys.modules, 's3fs', None)
    with pytest.raises(SettingError, match=r's3://a: Install s3fs'):
        find_bags(['s3://a'], '/out')
    memory = fsspec.filesystem('memory')
    memory.pipe(
        {f'/odd/robot.bags/{name}': b'' for name in ('x.mcap', 'y.db3.zstd', 'x.mcap.md5')}
    )
    assert [each.name for each in find_bags(['memory://odd'], '/out')] == [
        'robot.bags/x',
        'robot.bags/y',
    ]
    memory.rm('/odd', recursive=True)
    memory.pipe('/evil/a/../../b.mcap', b'')
    with pytest.raises(SettingError, match=r'leads out of its folder'):
        find_bags(['memory://evil'], '/out')
    memory.rm('/evil', recursive=True)


def test_object_storage_gets_the_same_bytes_as_a_folder(bags: Path, one_by_one: Path) -> None:
    memory = fsspec.filesystem('memory')
    memory.put(f'{bags}/mon/a', '/bags/a', recursive=True)
    (bag,) = find_bags(['memory://bags'], 'memory://out')
    assert bag == FleetBag('a', 'memory:///bags/a', 'memory://out/a')
    memory.pipe('/out/a.partial/of_a_run_before.mcap', b'')
    worker = BagWorker(FAST, HOW, [compared_with(str(one_by_one / 'mon'))])
    first, again = worker.process(bag), worker.process(bag)
    assert (first.summary.state, first.failures) == (BagState.DONE, ())
    assert first.values()['summary']['out'] == 'memory://out/a'
    assert again.summary.state is BagState.WAS_THERE
    assert again.summary.remarks == ['not judged, as its output was there']
    assert not memory.exists('/out/a.partial')
    for path in (one_by_one / 'mon/a').iterdir():
        assert memory.cat(f'/out/a/{path.name}') == path.read_bytes()
    memory.rm('/out', recursive=True)
    memory.rm('/bags', recursive=True)


def test_a_bag_that_is_stopped_keeps_what_there_is_and_starts_again(
    bags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = find_bags([str(bags / 'mon/a')], str(tmp_path / 'out'))[0]
    worker = BagWorker(FAST, HOW)
    worker.stop('SIGTERM')
    assert worker.process(bag).summary.why == 'stopped by SIGTERM before it began'
    # A worker that was lost in the middle.
    (tmp_path / 'out/.fleet-12345678-a/a.writing').mkdir(parents=True)
    # Of about 70 messages.
    problems = iter([''] * 40 + ['full'])
    monkeypatch.setattr(BagWriter, 'disk_space_problem', lambda _: next(problems))
    why = BagWorker(FAST, HOW).process(bag).summary.why
    left = 'holds what there is, and this command starts this bag again'
    assert why == f'full; {bag.out}.partial {left}'
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['a.partial']
    monkeypatch.undo()
    result = BagWorker(FAST, HOW, [compared_with(str(bags / 'tue'))]).process(bag)
    assert result.summary.good
    assert not result.good
    assert 'abs_rel is beyond' in ' '.join(result.failures)
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['a']


def test_what_is_missing_of_a_bag_to_compare_with_is_told(
    one_by_one: Path, tmp_path: Path
) -> None:
    out = one_by_one / 'mon/a'
    (file,) = shutil.copytree(out, tmp_path / 'a').glob('*.mcap')
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    bag = FleetBag('a', 'in/a', str(out))
    found = compared_with(str(tmp_path))(bag, out, out, cast('DepthBackend', None), FAST)
    assert f'left out: {tmp_path}/a: {file.name} ends in the middle' in ' '.join(found.failures)


def test_a_worker_that_was_thought_to_be_lost_moves_no_half_bag(tmp_path: Path) -> None:
    bag = FleetBag('a', 'in/a', str(tmp_path / 'a'))
    late, now = output_folder(bag), output_folder(bag)
    late.__enter__().mkdir()
    out = now.__enter__()
    out.mkdir()
    late.__exit__(None, None, None)
    assert out.exists() and not Path(bag.out).exists()
    now.__exit__(None, None, None)
    assert [path.name for path in tmp_path.iterdir()] == ['a']


def test_what_is_in_the_way_is_said_before_the_work_and_stays(
    bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = bags / 'mon/a', tmp_path / 'out'
    (out / 'a').mkdir(parents=True)
    (out / 'a/notes.txt').write_text('mine')
    (bag,) = find_bags([str(source)], str(out))
    summary = BagWorker(FAST, HOW).process(bag).summary
    assert summary.why == f'{out}/a is already there: give another name or remove it'
    assert files(out) == {'a/notes.txt': b'mine'}
    page = out / 'a/notes.txt'
    options = ['--report', str(page), '--variant', 'demo', '--address', '127.0.0.1:1']
    assert main(['bag', 'fleet', str(source), str(out), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f'depth_anything: {page} cannot be written: File exists'


class NoCredentialsError(Exception):
    """Named as that of botocore."""


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (NoCredentialsError('Unable to\nlocate'), 'Unable to locate; set AWS_ACCESS_KEY_ID'),
        (FileNotFoundError('no such bucket'), 'no such bucket; check the name of the bucket'),
        (PermissionError('Access Denied'), 'Access Denied; its user has to be allowed to list'),
        (ConnectionRefusedError(111, 'Connection refused'), 'Connection refused; check the net'),
        (OSError(28, 'No space left'), 'No space left; free some space, or set TMPDIR'),
        (KeyError(), 'KeyError(); check the network, and the keys'),
    ],
)
def test_object_storage_that_does_not_answer_is_one_line(
    bags: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    memory = fsspec.filesystem('memory')
    memory.put(f'{bags}/mon/a', '/bags/a', recursive=True)
    (bag,) = find_bags(['memory://bags'], 'memory://out')
    with monkeypatch.context() as patch:
        for name in ('exists', 'pipe_file'):
            patch.setattr(type(memory), name, fail)
        with pytest.raises(
            SettingError, match=rf'^memory://bags cannot be read: {re.escape(line)}'
        ):
            find_bags(['memory://bags'], '/out')
        with (
            pytest.raises(SettingError, match=r'^memory://out cannot be written: '),
            claimed('memory://out'),
        ):
            raise AssertionError
        why = BagWorker(FAST, HOW).process(bag).summary.why
    assert why.startswith(f'memory://out/a cannot be read: {line}')
    memory.rm('/bags', recursive=True)


HOLD = """
import sys
from depth_anything_ros.bag.fleet.claim import claimed
with claimed(sys.argv[1]):
    print(flush=True)
    sys.stdin.read()
"""


def test_one_fleet_at_a_time_writes_into_a_folder(
    bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = str(tmp_path / 'out'), str(tmp_path / 'page')
    command = [sys.executable, '-c', HOLD, out]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        first.stdout.readline()
        assert main(['bag', 'fleet', str(bags / 'mon/a'), out, '--report', page]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        name = f'another fleet writes into {out}: process {first.pid} on {socket.gethostname()} '
        assert line.startswith(f'depth_anything: {name}since 20')
        with claimed(str(tmp_path / 'other')):
            pass
        first.kill()
    for _ in range(2):
        with claimed(out):
            pass
    assert files(tmp_path) == {}


def test_what_is_compared_with_is_looked_for_once_before_the_work(
    bags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    good = str(tmp_path / 'good')
    assert main(['bag', 'fleet', str(bags), str(out), '--compare', good]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f'depth_anything: {good} does not exist: check the path'
    assert not out.exists()
    bag = FleetBag('a', str(bags / 'mon/a'), str(out))
    with pytest.raises(SettingError, match=r'^memory://good/a does not exist: check the path$'):
        compared_with('memory://good')(bag, out, out, cast(DepthBackend, None), FAST)


def kill_workers() -> None:
    for process in Path('/proc').glob('[0-9]*'):
        try:
            title = (process / 'cmdline').read_bytes()
        except OSError:
            continue
        if title.startswith(b'ray::BagWorker'):
            os.kill(int(process.name), signal.SIGKILL)


def test_a_killed_worker_costs_no_bag_and_finished_ones_are_skipped(
    bags: Path, one_by_one: Path, tmp_path: Path
) -> None:
    found = find_bags([str(bags)], str(tmp_path / 'out'))
    results: list[FleetResult] = []

    def on_result(result: FleetResult) -> None:
        results.append(result)
        write_page(results, len(found), tmp_path / 'page', 'the command', {})
        if len(results) == 1:
            kill_workers()

    run_fleet(found, FAST, HOW, Cluster(workers=2), on_result)
    states = {each.bag.name: each.summary.state for each in results}
    assert states.pop('tue/bad') is BagState.FAILED
    assert set(states.values()) == {BagState.DONE}
    assert files(tmp_path / 'out') == files(one_by_one)
    bad = [text for text, is_bad in remarks(results).items() if is_bad]
    assert len(bad) == 1
    assert bad[0].startswith('tue/bad: bag ')
    page = (tmp_path / 'page/report.md').read_text()
    assert '3 done, 1 failed' in page
    assert '| tue/lone | done | 5 | 5 |' in page


def test_a_cluster_without_room_or_answer_is_said(
    bags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_bags([str(bags / 'mon')], '/out')
    with pytest.raises(SettingError, match=r'no Ray cluster at 127\.0\.0\.1:1: '):
        run_fleet(found, FAST, HOW, Cluster('127.0.0.1:1'), lambda _: None)
    monkeypatch.setattr(run.ray, 'cluster_resources', lambda: {'CPU': 2.0})
    with pytest.raises(SettingError, match=r'1 workers on 1 CPUs and 2 GPUs .* do not fit'):
        run._started(Cluster(gpus=2), (FAST, HOW, ()), len(found))
