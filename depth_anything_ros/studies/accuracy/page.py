"""The pages about accuracy: scores, what they cost, and what is published."""

from __future__ import annotations

from collections.abc import Mapping

from depth_anything_ros.reports.report import Section, Table, Text
from depth_anything_ros.studies.accuracy.dataset import Dataset

__all__ = ['answer', 'published', 'scores']

Results = Mapping[str, Mapping[str, float]]

_PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    'kitti': {'vits': (0.078, 0.936), 'vitb': (0.078, 0.939), 'vitl': (0.074, 0.946)},
    'nyu': {'vits': (0.053, 0.973), 'vitb': (0.049, 0.976), 'vitl': (0.045, 0.979)},
}
"""AbsRel and delta1 of the relative networks, by dataset and variant."""

_SOURCE = (
    "Published: Yang et al., 'Depth Anything V2', NeurIPS 2024, table 2, zero-shot relative depth "
    'aligned by scale and shift. Their protocol crops KITTI and sets its own input sizes: compare '
    'on the same split, at --input-size 518.'
)
_MEANING = (
    'Relative depth is aligned by the scale and shift that fit the truth best in inverse depth '
    '(least squares), as is published; the metres come from the truth, not from the network. '
    'AbsRel: mean of |error| / depth. delta1: share of pixels within a factor of 1.25. Edge: F1 '
    'of steps of depth by 10 %, within two pixels. Ordinal: share of pairs of points, 5 % or more '
    'apart, whose order is right; 0.5 is a coin. ms: an image, all passes and what is made of '
    'them, in float32 through torch, in this run: compare the ratio. A network made for '
    'one input size runs at no other.'
)


def scores(dataset: Dataset, pairs: int, results: Results) -> Section:
    """Return the table of all results over so many pairs; ratios are to the first."""
    first_ms = next(iter(results.values()))['ms']
    rows = {title: {**one, 'ratio': one['ms'] / first_ms} for title, one in results.items()}
    stated = (
        f'{dataset.name}: {pairs} pairs, {dataset.metres_per_level:g} m a level, '
        f'judged up to {dataset.max_depth_m:g} m'
    )
    return Section('Against the truth', [Text(_MEANING), Table.of('method', rows, stated)])


def published(dataset: Dataset, results: Results) -> list[Section]:
    """Return what is published beside ours; nothing where there is none."""
    rows = {}
    for variant, (abs_rel, delta1) in _PUBLISHED.get(dataset.name, {}).items():
        ours = results.get(variant, {})
        rows[variant] = {
            'AbsRel here': ours.get('AbsRel'),
            'AbsRel published': abs_rel,
            'delta1 here': ours.get('delta1'),
            'delta1 published': delta1,
        }
    return (
        [Section('Beside what is published', [Text(_SOURCE), Table.of('variant', rows)])]
        if rows
        else []
    )


def answer(results: Results) -> Section:
    """Say whether Small + Large beats Base here, or why that cannot be said."""
    pair, base = results.get('vits + vitl'), results.get('vitb')
    text = 'Not answered: it takes vits, vitb and vitl, all with trained weights.'
    if pair and base:
        better = 'beats' if pair['AbsRel'] < base['AbsRel'] else 'does not beat'
        text = (
            f'Small + Large {better} Base on these images: AbsRel {pair["AbsRel"]:.4f} against '
            f'{base["AbsRel"]:.4f}, for {pair["ms"] / base["ms"]:.1f} times the time. Large '
            f'alone: {results["vitl"]["AbsRel"]:.4f}.'
        )
    return Section('Does Small + Large beat Base?', [Text(text)])
