"""Every command of the laboratory: what it prints of itself, and what it refuses."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    'lab.demo',
    'lab.sample',
    *(
        f'lab.claims.{path.stem}'
        for path in sorted((ROOT / 'lab' / 'claims').glob('*.py'))
        if 'command.parser_of' in path.read_text()
    ),
]


@pytest.mark.parametrize('name', COMMANDS)
def test_a_command_describes_itself(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    main = importlib.import_module(name).main
    with pytest.raises(SystemExit) as ended:
        main(['--help'])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f'usage: python -m {name}')
    assert max(map(len, lines)) <= 80
    assert len(lines) < 75
    with pytest.raises(SystemExit) as ended:
        main(['--nonsense'])
    assert ended.value.code == 2


def test_no_claim_is_without_a_command() -> None:
    for claim in ('accuracy', 'alignment', 'bag', 'cameras', 'error_model', 'gpu', 'metric'):
        assert f'lab.claims.{claim}' in COMMANDS
    for claim in (
        'node',
        'overload',
        'polarity',
        'prove',
        'services',
        'soak',
        'stages',
        'startup',
    ):
        assert f'lab.claims.{claim}' in COMMANDS
