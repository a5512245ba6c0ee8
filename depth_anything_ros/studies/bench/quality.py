"""Quality against speed: errors of `study accuracy` over the rates of a bench."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.studies.bench.row import Row
from depth_anything_ros.studies.plots import COLOURS, save, subplots

__all__ = ['plot_quality', 'read_errors']


def read_errors(path: Path, variants: Sequence[str]) -> dict[str, float]:
    """Return AbsRel by 'NAME' or 'NAME at SIZE' from report.json of a `study accuracy` or `tta`.

    Raises SettingError for another file, and where it judged none of `variants`.
    """
    found: dict[str, float] = {}
    try:
        for section in json.loads(path.read_text())['sections']:
            for block in section['blocks']:
                head, *rows = block.get('rows', [[]])
                if 'AbsRel' in head:
                    found |= {row[0]: row[head.index('AbsRel')] for row in rows}
    except (OSError, ValueError, TypeError, KeyError) as err:
        raise SettingError(
            f'--quality {path} is no report.json of `depth_anything study accuracy`: {err}'
        ) from err
    if not any(name.partition(' at ')[0] in variants for name in found):
        raise SettingError(
            f'--quality {path} judged {", ".join(found) or "nothing"}, not {", ".join(variants)}: '
            'give these as --variant to both'
        )
    return found


def plot_quality(rows: Sequence[Row], errors: Mapping[str, float], path: Path) -> None:
    """Draw errors over images per second; without any the picture says what is missing."""
    figure, axes = subplots(9.0, 5.0)
    variants = list(dict.fromkeys(row.variant for row in rows))
    for row in rows:
        names = f'{row.variant} at {row.input_size}', row.variant
        error = next((errors[name] for name in names if name in errors), None if errors else 0.0)
        if row.timing is None or error is None:
            continue
        colour = COLOURS[variants.index(row.variant) % len(COLOURS)]
        axes.plot(row.timing.fps, error, 'o', color=colour)
        label = f' {row.variant} {row.input_size} {row.backend} {row.precision} x{row.batch}'
        axes.annotate(label, (row.timing.fps, error), rotation=45, fontsize=7, va='bottom')
    axes.set_xscale('log')
    axes.margins(0.2, 0.3)
    axes.set_xlabel('images per second, by the median')
    axes.set_ylabel('AbsRel of the network in float32, less is better')
    if not errors:
        axes.set_yticks([])
        axes.set_ylabel('')
        axes.set_title('quality not known: give --quality REPORT.json of `study accuracy`')
    save(figure, path)
