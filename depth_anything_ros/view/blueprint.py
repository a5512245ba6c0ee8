"""How the viewer is laid out: pictures beside the cloud, figures over time below."""

from __future__ import annotations

from collections.abc import Sequence

import rerun.blueprint as rrb

__all__ = ['layout']


def layout(roots: Sequence[str], timeline: str) -> rrb.Blueprint:
    """Return the views of the cameras at `roots`; the viewer starts on `timeline`."""
    time = rrb.TimePanel(timeline=timeline, state='collapsed')
    return rrb.Blueprint(rrb.Tabs(*map(_camera, roots)), time, collapse_panels=True)


def _camera(root: str) -> rrb.Vertical:
    pictures = [
        rrb.Spatial2DView(origin=f'{root}/{path}', contents=[f'{root}/{path}', *more], name=title)
        for path, more, title in (
            ('image', [f'{root}/samples'], 'image, samples of the reference'),
            ('depth/color', [], 'relative depth'),
            ('depth/metric', [], 'depth in metres'),
            ('depth/sigma', [], 'sigma in metres'),
        )
    ]
    # The cloud says the same, without what lies between two surfaces.
    hidden = {f'{root}/depth/metric': rrb.EntityBehavior(visible=False)}
    contents = [f'{root}/{x}' for x in ('image', 'depth/metric', 'points', 'samples', 'scan')]
    space = rrb.Spatial3DView(origin=root, contents=contents, overrides=hidden, name='cloud')
    groups = 'scale', 'latency', 'drops'
    series = [rrb.TimeSeriesView(origin=f'{root}/{group}', name=group) for group in groups]
    below = rrb.Horizontal(*series, rrb.TextDocumentView(origin=f'{root}/status', name='status'))
    above = rrb.Horizontal(rrb.Grid(*pictures, grid_columns=2), space)
    return rrb.Vertical(above, below, row_shares=[3, 1], name=root.strip('/'))
