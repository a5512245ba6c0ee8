"""OpenVINO without telemetry: importing it would report to Intel over the network."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

# OpenVINO has a fallback for where its telemetry package is not installed.
sys.modules['openvino_telemetry'] = None  # type: ignore[assignment]

import openvino  # noqa: E402

__all__ = ['core', 'openvino', 'save']


@cache
def core() -> Any:
    """Return the one Core of this process, which is never destroyed.

    A Core gives its thread a stack for signals, and takes it back when it ends. Of two whose lives
    overlap the second restores that of the first, which is gone: the next Ctrl-C is a crash.
    """
    return openvino.Core()


def save(model: Any, path: Path) -> None:
    """Write a model to `path`, an .xml, and its weights beside it; OSError where that fails."""
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as err:
        raise OSError(f'OpenVINO could not write {path}') from err
