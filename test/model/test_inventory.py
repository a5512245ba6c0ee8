"""What `weights list` and `weights verify` report."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_hub import release

from depth_anything_ros.core.errors import SettingError, WeightsError
from depth_anything_ros.model import hub, releases
from depth_anything_ros.model.checksum import sha256_of
from depth_anything_ros.model.inventory import FileState, list_rows, verify
from depth_anything_ros.model.releases import RELEASES, Release

ROWS = tuple(
    release(name.encode(), 'Apache-2.0', name, file=f'{name}.pth') for name in ('vits', 'vitb')
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that stands for the hub's cache."""
    folder = tmp_path / 'hub'
    folder.mkdir()

    def cached(row: Release) -> Path | None:
        path = folder / row.file
        return path if path.exists() else None

    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    monkeypatch.setattr(hub, 'cached', cached)
    monkeypatch.setattr(releases, 'RELEASES', ROWS)
    return folder


def _states(**options: object) -> list[tuple[str, FileState]]:
    return [(row.variant, row.state) for row in verify(**options)]  # type: ignore[arg-type]


def test_the_list_has_every_file_and_what_was_announced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, 'RELEASES', RELEASES)
    (folder / 'depth_anything_v2_vits.pth').touch()
    rows = list_rows()
    assert [row.sha256 for row in rows[:-1]] == [row.sha256 for row in RELEASES]
    assert [row.path is not None for row in rows] == [True] + (len(rows) - 1) * [False]
    assert [row.released for row in rows] == (len(rows) - 1) * [True] + [False]
    assert rows[-1].variant == 'vitg'
    for row in rows[:-1]:
        assert row.source.startswith('https://') and row.licence and row.output


def test_each_cached_file_is_checked(folder: Path) -> None:
    (folder / 'vitb.pth').write_bytes(b'vitb')
    assert _states() == [('vits', FileState.MISSING), ('vitb', FileState.OK)]
    (folder / 'vits.pth').write_bytes(b'vit')
    rows = verify('vits')
    assert [row.state for row in rows] == [FileState.BAD]
    assert '3 of 4 bytes' in rows[0].message


def test_hashes_anew_whatever_is_recorded(folder: Path) -> None:
    import os

    path = folder / 'vits.pth'
    path.write_bytes(b'vits')
    sha256_of(path)
    before = path.stat()
    path.write_bytes(b'rots')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert _states(variant='vits') == [('vits', FileState.BAD)]


def test_a_given_file_is_named_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / 'some.pth'
    path.write_bytes(b'vitb')
    assert _states(weights=str(path)) == [('vitb', FileState.OK)]
    assert _states(weights=str(path), variant='vits') == [('vits', FileState.BAD)]
    path.write_bytes(b'own')
    assert _states(weights=str(path)) == [('', FileState.UNKNOWN)]
    path.write_bytes(b'')
    assert _states(weights=str(path)) == [('', FileState.BAD)]


def test_a_folder_is_checked_for_released_files(tmp_path: Path) -> None:
    (tmp_path / 'vitb.pth').write_bytes(b'vitb')
    assert _states(weights=str(tmp_path)) == [('vits', FileState.MISSING), ('vitb', FileState.OK)]


def test_arguments_that_cannot_be_used_are_raised(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match='No such file'):
        verify(weights=str(tmp_path / 'no'))
    with pytest.raises(SettingError, match='vitx'):
        verify('vitx')
    with pytest.raises(SettingError, match='no weights of vitg can be downloaded;'):
        verify('vitg')
    with pytest.raises(SettingError, match=r'no weights of demo .*they are inside the package'):
        verify('demo')
