"""The command that installs a Python package that is missing."""

from __future__ import annotations

__all__ = ['missing', 'pip_install']

_PROJECTS = {
    # module: what PyPI calls it
    'cv2': 'opencv-python-headless',
    'PIL': 'pillow',
    'pillow_heif': 'pillow-heif',
    'rerun': 'rerun-sdk',
    'yaml': 'PyYAML',
}
# Extras of setup.py: whoever lacks one package of these is likely to lack the others too.
_EXTRAS = (
    'colorspacious matplotlib plotly',
    'lz4 mcap plotly rosbags zstandard',
    'fsspec ray',
    'onnx onnxruntime',
)


def missing(what: str, module: str) -> str:
    """Return the sentence that `what` needs `module`, which is not installed, and the fix."""
    return f'{what} needs {module}, which is not installed: {pip_install(module)}'


def pip_install(module: str) -> str:
    """Return the command for `module`, by the name on PyPI, and for what is used with it."""
    top = module.partition('.')[0]
    project = _PROJECTS.get(top, top)
    return f'pip install {next((one for one in _EXTRAS if project in one.split()), project)}'
