"""The pages about accuracy: scores, what they cost, and what is published."""

from __future__ import annotations

from collections.abc import Sequence

from depth_anything_ros.reports.report import Cell, Section, Table, Text
from depth_anything_ros.studies.accuracy.dataset import Dataset
from depth_anything_ros.studies.accuracy.evaluate import Result

__all__ = ['accuracy_sections', 'answer', 'scores']

PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    'kitti': {'vits': (0.078, 0.936), 'vitb': (0.078, 0.939), 'vitl': (0.074, 0.946)},
    'nyu': {'vits': (0.053, 0.973), 'vitb': (0.049, 0.976), 'vitl': (0.045, 0.979)},
}
"""AbsRel and delta1 of the relative networks, by dataset and variant."""

_SOURCE = (
    "Published: Yang et al., 'Depth Anything V2', NeurIPS 2024, table 2, zero-shot relative depth "
    'aligned by scale and shift. Their protocol crops KITTI and sets its own input sizes: compare '
    'with --input-size 518 on the same split.'
)
_MEANING = (
    'Relative depth is aligned by the scale and shift that fit the truth best in inverse depth '
    '(least squares), as is published; the metres come from the truth, not from the network. '
    'AbsRel: mean of |error| / depth. delta1: share of pixels within a factor of 1.25. Edge: F1 '
    'of steps of depth by 10 %, within two pixels. Ordinal: share of pairs of points, 5 % or more '
    'apart, whose order is right; 0.5 is a coin. ms: an image, all passes, in float32 through '
    'torch, in this run: compare the ratio. A network made for one input size runs at no other.'
)


def accuracy_sections(dataset: Dataset, results: Sequence[Result]) -> list[Section]:
    """Return the sections of `accuracy`."""
    found = [scores(dataset, results)]
    if dataset.name in PUBLISHED:
        rows: list[list[Cell]] = [['network', 'AbsRel', 'published', 'delta1', 'published']]
        for variant, (abs_rel, delta1) in PUBLISHED[dataset.name].items():
            ours = next((one for one in results if one.title == variant), None)
            mine = (ours.abs_rel, ours.delta1) if ours else (None, None)
            rows.append([variant, mine[0], abs_rel, mine[1], delta1])
        found.append(Section('Beside what is published', [Text(_SOURCE), Table(rows)]))
    return found


def scores(dataset: Dataset, results: Sequence[Result]) -> Section:
    """Return the table of all results; ratios are to the first."""
    rows: list[list[Cell]] = [
        ['method', 'AbsRel', 'RMSE m', 'delta1', 'edge', 'ordinal', 'ms', 'ratio']
    ]
    for one in results:
        ratio = one.ms / results[0].ms
        figures = one.abs_rel, one.rmse_m, one.delta1, one.edge, one.ordinal
        rows.append([one.title, *figures, one.ms, ratio])
    scale = dataset.scale
    stated = (
        f'{dataset.name}: {len(dataset.pairs)} pairs, {scale.metres_per_level:g} m a level, '
        f'judged up to {scale.max_depth_m:g} m'
    )
    return Section('Against the truth', [Text(_MEANING), Table(rows, stated)])


def answer(results: Sequence[Result]) -> Section:
    """Say whether Small + Large beats Base here, or why that cannot be said."""
    by_title = {one.title: one for one in results}
    pair, base = by_title.get('vits + vitl'), by_title.get('vitb')
    if pair is None or base is None:
        text = (
            'Not answered: it takes vits, vitb and vitl with trained weights (here: '
            f'{", ".join(one.title for one in results if " + " not in one.title)}).'
        )
    else:
        better = 'beats' if pair.abs_rel < base.abs_rel else 'does not beat'
        text = (
            f'Small + Large {better} Base on these images: AbsRel {pair.abs_rel:.4f} against '
            f'{base.abs_rel:.4f}, for {pair.ms / base.ms:.1f} times the time. Large alone: '
            f'{by_title["vitl"].abs_rel:.4f}.'
        )
    return Section('Does Small + Large beat Base?', [Text(text)])
