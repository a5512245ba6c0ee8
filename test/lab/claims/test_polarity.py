from __future__ import annotations

from lab.claims.alignment_references import ON_THE_WAY
from lab.claims.polarity import bench_polarity


def test_no_negated_drive_has_metres_and_every_right_one_has() -> None:
    progress: list[tuple[int, int]] = []
    rows = bench_polarity(1, 3.0, ('room',), lambda *at: progress.append(at))
    assert progress == [(1, 1)]
    assert [row.reference for row in rows] == [each.name for each in ON_THE_WAY]
    for row in rows:
        assert (row.drives, row.negated) == (1, 0.0), row
        assert row.within_1_s <= row.within_3_s <= row.ever
        assert row.ever == 1.0, row
        assert 0.0 < row.frames <= 1.0
