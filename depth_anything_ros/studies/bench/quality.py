"""Quality against speed: errors of a `study accuracy` beside the rates of a bench."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.studies.bench.row import Row
from depth_anything_ros.studies.plots import COLOURS, save, subplots

__all__ = ['Quality', 'plot_quality', 'read_quality']

_ERROR = 'AbsRel'


@dataclass(frozen=True)
class Quality:
    """AbsRel by the name of a network, or 'NAME at SIZE', and what it was judged on."""

    errors: Mapping[str, float]
    judged_on: str

    def of(self, row: Row) -> float | None:
        """Return the error of a row's network, at its input size where that was judged."""
        names = f'{row.variant} at {row.input_size}', row.variant
        return next((self.errors[name] for name in names if name in self.errors), None)


def read_quality(path: Path, variants: Sequence[str]) -> Quality:
    """Read report.json of `depth_anything study accuracy`, or of tta.

    Raises SettingError for another file, and where it judged none of `variants`.
    """
    found: dict[str, float] = {}
    judged_on = ''
    try:
        for section in json.loads(path.read_text())['sections']:
            for block in section['blocks']:
                head, *rows = block.get('rows', [[]])
                if _ERROR in head:
                    judged_on = judged_on or block['caption']
                    found |= {row[0]: row[head.index(_ERROR)] for row in rows}
    except (OSError, ValueError, TypeError, KeyError) as err:
        raise SettingError(
            f'--quality {path} is no report.json of `depth_anything study accuracy`: {err}'
        ) from err
    if not any(name.partition(' at ')[0] in variants for name in found):
        raise SettingError(
            f'--quality {path} judged {", ".join(found) or "nothing"}, not {", ".join(variants)}: '
            'give these as --variant to both'
        )
    return Quality(found, judged_on)


def plot_quality(rows: Sequence[Row], quality: Quality | None, path: Path) -> None:
    """Draw AbsRel over images per second; without `quality` the picture says what is missing."""
    figure, axes = subplots(9.0, 5.0)
    variants = list(dict.fromkeys(row.variant for row in rows))
    for row in (row for row in rows if row.timing):
        assert row.timing is not None
        error = quality.of(row) if quality else 0.0
        if error is None:
            continue
        colour = COLOURS[variants.index(row.variant) % len(COLOURS)]
        axes.plot(row.timing.fps, error, 'o', color=colour)
        label = f' {row.variant} {row.input_size} {row.backend} {row.precision} x{row.batch}'
        axes.annotate(label, (row.timing.fps, error), rotation=45, fontsize=7, va='bottom')
    axes.set_xscale('log')
    axes.margins(0.2, 0.3)
    axes.set_xlabel('images per second, by the median')
    if quality:
        axes.set_ylabel(f'{_ERROR}, less is better')
        axes.set_title(
            f'{quality.judged_on}\nan error is that of the network in float32', fontsize=7
        )
    else:
        axes.set_yticks([])
        axes.set_title('quality not known: give --quality REPORT.json of `study accuracy`')
    save(figure, path)
