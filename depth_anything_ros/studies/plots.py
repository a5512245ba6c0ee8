"""What all plots share; importing this imports matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.reports.report import COLOURS

__all__ = ['COLOURS', 'refuse_format', 'save', 'subplots']


def refuse_format(path: Path) -> None:
    """Raise SettingError where a picture has no format of that name."""
    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in formats:
        raise SettingError(
            f'--plot {path} names no format of pictures: end it in one of .{", .".join(formats)}'
        )


def subplots(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure of that size in inches, and its axes; no display is needed."""
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots()
    axes.spines[['top', 'right']].set_visible(False)
    return figure, axes


def save(figure: Any, path: Path) -> None:
    """Write a figure; SettingError where that cannot be."""
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as err:
        raise SettingError(f'--plot {path} cannot be written: {err}') from err
