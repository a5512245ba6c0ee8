"""OpenVINO without its reports: importing it would tell Intel so over the network."""

import sys

# OpenVINO brings a stand-in for where the package that reports is not installed.
sys.modules['openvino_telemetry'] = None  # type: ignore[assignment]

import openvino  # noqa: E402

__all__ = ['openvino']
