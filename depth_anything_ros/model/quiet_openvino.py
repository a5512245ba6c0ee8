"""OpenVINO without telemetry: importing it would report to Intel over the network."""

import sys
from pathlib import Path
from typing import Any

# OpenVINO has a fallback for where its telemetry package is not installed.
sys.modules['openvino_telemetry'] = None  # type: ignore[assignment]

import openvino  # noqa: E402

__all__ = ['openvino', 'save']


def save(model: Any, path: Path) -> None:
    """Write a model to `path`, an .xml, and its weights beside it; OSError where that fails."""
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as err:
        raise OSError(f'OpenVINO could not write {path}') from err
