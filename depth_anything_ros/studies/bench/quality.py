"""Quality against speed: errors of `study accuracy` over the rates of a bench."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.settings.plain_yaml import plain_json_file
from depth_anything_ros.studies.bench.row import Row
from depth_anything_ros.studies.plots import COLOURS, save, subplots

__all__ = ['plot_quality', 'read_errors']


def read_errors(path: Path, variants: Sequence[str]) -> dict[str, float]:
    """Return AbsRel by 'NAME' or 'NAME at SIZE' from report.json of a `study accuracy` or `tta`.

    Raises SettingError for another file, and where it judged none of `variants`.
    """
    found: dict[str, float] = {}
    try:
        for section in plain_json_file(path)['sections']:
            for block in section['blocks']:
                head, *rows = block.get('rows') or [[]]
                if 'AbsRel' in head:
                    pairs = ((row[0], row[head.index('AbsRel')]) for row in rows)
                    # It is null where nothing could be judged.
                    found |= {name: float(error) for name, error in pairs if error is not None}
        if not found:
            raise ValueError('no AbsRel in it')
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError) as err:
        raise SettingError(
            f'--quality {path} is not a report.json of `depth_anything study accuracy`: {err}'
        ) from err
    if not any(name.partition(' at ')[0] in variants for name in found):
        raise SettingError(
            f'--quality {path} judged {", ".join(found)}, not {", ".join(variants)}: '
            'give these as --variant to both'
        )
    return found


def plot_quality(rows: Sequence[Row], errors: Mapping[str, float], path: Path) -> None:
    """Draw errors over images per second of rows that ran; the title says which are not known."""
    figure, axes = subplots(9.0, 5.0)
    unknown: dict[str, None] = {}
    for row in rows:
        assert row.timing is not None
        names = f'{row.variant} at {row.input_size}', row.variant
        error = next((errors[name] for name in names if name in errors), math.nan)
        if math.isnan(error):
            unknown[row.variant] = None
        label = f' {row.variant} {row.input_size} {row.backend} {row.precision} x{row.batch}'
        axes.plot(row.timing.fps, error, 'o', color=COLOURS[0])
        axes.annotate(label, (row.timing.fps, error), rotation=45, fontsize=7)
    axes.set_xscale('log')
    axes.margins(0.2, 0.3)
    axes.set_xlabel('images per second, by the median')
    axes.set_ylabel('AbsRel of the network in float32, less is better')
    if unknown:
        fix = 'give --quality the report.json of a `study accuracy` of them'
        figure.suptitle(f'AbsRel not known of {", ".join(unknown)}: {fix}', fontsize=9)
    save(figure, path)
