from __future__ import annotations

import json

import pytest

from lab.claims import film


def test_a_film_that_is_killed_and_resumed_is_the_film_that_was_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Two parts of a hundred frames and a bit: killed after the first.
    assert film.main(['--seconds', '20.1', '--rate', '10', '--kills', '1', '--json']) == 0
    claim = json.loads(capsys.readouterr().out)
    assert claim['frames'] == 201
    (killed_after,) = claim['killed_after']
    assert claim['resumed_after'] == [killed_after] and killed_after >= 100
    assert claim['differing'] == 0
    assert claim['sound_off_s'] < 1e-6
    assert claim['memory'][-1]['resident_kb'] > 0
