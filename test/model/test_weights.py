"""Which file is run, and every way in which it is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fake_hub import release

from depth_anything_ros.core.errors import SettingError, WeightsError
from depth_anything_ros.model import hub, releases, weights, weights_file
from depth_anything_ros.model.releases import RELEASES, Release, release_for, release_of_sha256
from depth_anything_ros.model.variants import VARIANTS, Checkpoint
from depth_anything_ros.model.weights_file import WeightsFile

RELATIVE, INDOOR = Checkpoint.RELATIVE, Checkpoint.METRIC_INDOOR


def _row(variant: str, checkpoint: Checkpoint, content: bytes, licence: str) -> Release:
    name = f'depth_anything_v2_{checkpoint.value}_{variant}.pth'
    return release(content, licence, variant, checkpoint.value, file=name)


BYTES = {('vits', RELATIVE): b'small', ('vitb', RELATIVE): b'base', ('vits', INDOOR): b'indoor'}
ROWS = tuple(
    _row(variant, checkpoint, content, 'CC-BY-NC-4.0' if variant == 'vitb' else 'Apache-2.0')
    for (variant, checkpoint), content in BYTES.items()
)
VITS = ROWS[0]


@pytest.fixture(autouse=True)
def _own_cache_and_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    monkeypatch.setattr(releases, 'RELEASES', ROWS)


@pytest.fixture
def real_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, 'RELEASES', RELEASES)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path at which the hub's cache is made to hold the file, once it is written."""
    path = tmp_path / 'hub' / VITS.file
    path.parent.mkdir()
    monkeypatch.setattr(hub, 'cached', lambda row: path if path.exists() else None)
    return path


def _find(text: str, variant: str = 'vits', checkpoint: Checkpoint = RELATIVE) -> object:
    return weights.find(variant, checkpoint, text)


@pytest.mark.usefixtures('real_manifest')
def test_the_manifest_names_each_released_file_once() -> None:
    downloaded = [row for row in RELEASES if row.repo_id]
    assert len({row.sha256 for row in downloaded}) == len({row.file for row in downloaded}) == 9
    for row in downloaded:
        assert row.variant in VARIANTS
        assert (len(row.sha256), len(row.revision)) == (64, 40)
        assert row.file == Path(row.file).name
        assert row.non_commercial == (row.variant != 'vits')
        # A float32 for each parameter, and under 200 kB of names and records of the zip.
        parameters = {'vits': 24_785_089, 'vitb': 97_470_785, 'vitl': 335_315_649}[row.variant]
        assert 0 < row.size_bytes - 4 * parameters < 200_000
        assert release_of_sha256(row.sha256) is row
        assert release_for(row.variant, row.checkpoint) is row
    assert release_for('vitg', RELATIVE) is None


def test_random_only_when_asked_for() -> None:
    file = weights.find('vitg', RELATIVE, 'random')
    assert (file.path, file.sha256, file.known, file.random) == (None, '', False, True)
    assert 'random weights' in file.notices()[0]
    assert file.parameters == ('vitg', RELATIVE, 'random')


@pytest.mark.parametrize('as_folder', [False, True])
def test_a_released_file_is_known_wherever_it_lies(tmp_path: Path, as_folder: bool) -> None:
    path = tmp_path / VITS.file
    path.write_bytes(b'small')
    file = weights.find('vits', RELATIVE, str(tmp_path if as_folder else path))
    assert file == WeightsFile(path, VITS.sha256, VITS, known=True)
    assert file.notices() == ()
    assert file.parameters == ('vits', RELATIVE, '')


def test_a_released_file_is_known_under_any_name(tmp_path: Path) -> None:
    (tmp_path / 'mine.pth').write_bytes(b'base')
    file = weights.find('vitb', RELATIVE, str(tmp_path / 'mine.pth'))
    assert file.known
    assert file.notices() == (
        'vitb relative weights are for non-commercial use only: CC-BY-NC-4.0',
    )


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'a.pth').write_bytes(b'small')
    assert weights.find('vits', RELATIVE, '~/a.pth').path == tmp_path / 'a.pth'


def test_a_file_of_ones_own_is_accepted_and_said(tmp_path: Path) -> None:
    (tmp_path / 'own.pth').write_bytes(b'trained here')
    file = weights.find('vitg', RELATIVE, str(tmp_path / 'own.pth'))
    assert not file.known and not file.random and not file.card.licence
    assert file.sha256 == hashlib.sha256(b'trained here').hexdigest()
    assert 'unknown checkpoint' in file.notices()[0]
    assert file.parameters == ('vitg', RELATIVE, str(tmp_path / 'own.pth'))


def _refused(tmp_path: Path, text: str, **wanted: object) -> str:
    with pytest.raises(WeightsError) as error:
        _find(text, **wanted)  # type: ignore[arg-type]
    message = str(error.value)
    assert '\n' not in message
    return message


@pytest.mark.parametrize(
    ('content', 'fix'),
    [
        (b'base', 'variant to vitb and checkpoint to relative'),
        (b'indoor', 'checkpoint to metric_indoor'),
    ],
)
def test_another_released_file_is_refused_by_its_bytes(
    tmp_path: Path, content: bytes, fix: str
) -> None:
    (tmp_path / 'x.pth').write_bytes(content)
    message = _refused(tmp_path, str(tmp_path / 'x.pth'))
    assert 'not vits relative' in message and fix in message


def test_a_relative_file_is_refused_for_metric(tmp_path: Path) -> None:
    (tmp_path / 'x.pth').write_bytes(b'small')
    message = _refused(tmp_path, str(tmp_path / 'x.pth'), checkpoint=INDOOR)
    assert 'the released vits relative file' in message and 'checkpoint to relative' in message


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.title)
def test_a_released_name_with_other_bytes_is_damaged(tmp_path: Path, row: Release) -> None:
    (tmp_path / row.file).write_bytes(b'cut')
    message = _refused(tmp_path, str(tmp_path / row.file))
    assert f'3 of {row.size_bytes} bytes' in message and 'delete it' in message
    assert f'`{row.fetch_command}`' in message and 'rename it' in message


def test_paths_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / 'empty.pth').touch()
    (tmp_path / 'dangling.pth').symlink_to(tmp_path / 'gone')
    for text, said in {
        str(tmp_path / 'gone.pth'): 'No such file or directory',
        str(tmp_path / 'dangling.pth'): 'No such file or directory',
        str(tmp_path / 'empty.pth' / 'x.pth'): 'Not a directory',
        'a\0b': 'null',
        'x' * 300: 'File name too long',
        '~nosuchuser/x.pth': 'home directory',
        str(tmp_path / 'empty.pth'): 'is empty',
        str(tmp_path): f'holds no {VITS.file}',
        '/dev/null': 'is not a file',
    }.items():
        assert said in _refused(tmp_path, text), text
    assert 'set weights to the file in it' in _refused(tmp_path, str(tmp_path), variant='vitl')


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read everything, so the refusal is acted.
    def denied(path: Path) -> str:
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(weights_file, 'sha256_of', denied)
    (tmp_path / 'x.pth').write_bytes(b'small')
    message = _refused(tmp_path, str(tmp_path / 'x.pth'))
    assert 'cannot read' in message and 'Permission denied; give this user' in message


def test_find_takes_the_cached_file(cached: Path) -> None:
    cached.write_bytes(b'small')
    assert weights.find('vits', RELATIVE).path == cached


def test_find_says_the_command_when_nothing_is_cached(tmp_path: Path, cached: Path) -> None:
    message = _refused(tmp_path, '')
    assert '`depth_anything weights fetch --variant vits --checkpoint relative`' in message
    assert 'and try again, or set weights to the file' in message


def test_find_refuses_a_damaged_cached_file(tmp_path: Path, cached: Path) -> None:
    cached.write_bytes(b'smal')
    message = _refused(tmp_path, '')
    assert '4 of 5 bytes' in message and VITS.fetch_command in message


@pytest.mark.parametrize(('content', 'force'), [(None, False), (b'smal', True), (b'', True)])
def test_fetch_downloads_what_is_missing_or_damaged(
    cached: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, force: bool
) -> None:
    calls = []

    def download(row: Release, on_progress: object, *, force: bool) -> Path:
        calls.append(force)
        cached.write_bytes(b'small')
        return cached

    monkeypatch.setattr(hub, 'download', download)
    if content is not None:
        cached.write_bytes(content)
    assert weights.fetch('vits', RELATIVE).path == cached
    assert weights.locate('vits', RELATIVE, allow_download=True).known
    assert calls == [force]


def test_locate_downloads_only_when_allowed_and_no_path_is_given(
    tmp_path: Path, cached: Path
) -> None:
    with pytest.raises(WeightsError, match='not in the cache'):
        weights.locate('vits', RELATIVE)
    with pytest.raises(WeightsError, match='cannot find'):
        weights.locate('vits', RELATIVE, str(tmp_path / 'no'), True)
    assert weights.locate('vits', RELATIVE, 'random', True).random


@pytest.mark.usefixtures('real_manifest')
@pytest.mark.parametrize('call', [weights.find, weights.fetch])
def test_vitg_was_never_released(call: object) -> None:
    with pytest.raises(WeightsError) as error:
        call('vitg', RELATIVE)  # type: ignore[operator]
    assert 'vitg was announced and never released: choose variant vits, vitb, vitl' in str(
        error.value
    )


@pytest.mark.parametrize('call', [weights.find, weights.fetch])
def test_an_unknown_variant_is_a_setting(call: object) -> None:
    with pytest.raises(SettingError, match='vitx'):
        call('vitx', RELATIVE)  # type: ignore[operator]


def test_the_demo_weights_are_in_the_package_and_small() -> None:
    for download in (False, True):
        found = weights.locate('demo', RELATIVE, '', download)
        assert found.known
        assert found.path is not None
        assert found.path.stat().st_size <= 4 * 2**20
        assert 'not for robots' in found.notices()[0]
    with pytest.raises(WeightsError, match='demo has no released metric_indoor'):
        weights.find('demo', INDOOR)
