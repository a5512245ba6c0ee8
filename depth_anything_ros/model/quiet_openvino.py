"""OpenVINO without telemetry: importing it would report to Intel over the network."""

import sys

# OpenVINO has a fallback for where its telemetry package is not installed.
sys.modules['openvino_telemetry'] = None  # type: ignore[assignment]

import openvino  # noqa: E402

__all__ = ['openvino']
