"""The one list of what this package installs: pip and colcon both read it."""

from pathlib import Path

from setuptools import Distribution, find_packages, setup

NAME = 'depth_anything_ros'
# colcon --symlink-install runs a link to this file from its build folder.
ROOT = Path(__file__).resolve().parent


class EditableWithData(Distribution):
    """Keep data_files (ament marker, launch, config) in editable installs, which drop them."""

    has_data = Distribution.has_data_files


def files(pattern):
    """Return the files matching `pattern`, relative to this folder, in a stable order."""
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern) if path.is_file())


setup(
    name=NAME,
    # catkin_prepare_release reads and writes it here.
    version='0.1.0',
    description='Depth Anything V2 for ROS 2: relative and metric depth from any robot camera',
    license='Apache-2.0',
    maintainer='The depth_anything_ros authors',
    maintainer_email='maintainers@depth-anything-ros.invalid',
    distclass=EditableWithData,
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={
        NAME: [
            f'**/*.{kind}'
            for kind in ('safetensors', 'yaml', 'md', 'jpg', 'png', 'typed', 'html', 'json')
        ]
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', files('launch/*')),
        (f'share/{NAME}/config', files('config/*')),
    ],
    zip_safe=False,
    python_requires='>=3.10',
    # rclpy and the messages come with ROS; the Makefile adds wheels of them where there is none.
    # The lower bounds are what Ubuntu 24.04, the home of Jazzy, brings.
    install_requires=[
        'av>=14.2',
        'filelock>=3.13',
        'huggingface_hub>=1.1',
        'numpy>=1.26',
        'opencv-python-headless>=4.6',
        'pillow>=10.2',
        'PyYAML>=6.0',
        'safetensors>=0.4.3',
        'torch>=2.4',
        'tqdm>=4.66',
    ],
    extras_require={
        # Older rosbags lose the QoS profiles of MCAP files; older mcap takes any length as true.
        # Plotly is for the page of `bag prove`.
        'bag': ['lz4>=4.0', 'mcap>=1.2.2', 'plotly>=5.20', 'rosbags>=0.11.6', 'zstandard>=0.19'],
        # `bag fleet`; object storage needs its own package of fsspec, s3fs say.
        'fleet': ['fsspec>=2024.2', 'ray>=2.40'],
        # Pictures of phones (.heic) in `depth_anything run`.
        'heif': ['pillow-heif>=1.0'],
        # Depth in OpenEXR files as a reference of `depth_anything run`.
        'exr': ['OpenEXR>=3.3'],
        # Faster than torch on a CPU; `backend: auto` takes it where it is installed.
        'openvino': ['openvino>=2025.0'],
        'onnxruntime': ['onnx>=1.16', 'onnxruntime>=1.17'],
        # To calibrate `precision: int8`; what was calibrated runs without it.
        'int8': ['nncf>=2.19'],
        # Plots, graphs in pages and colour appearance, of `depth_anything study`.
        'study': ['colorspacious>=1.1.2', 'matplotlib', 'plotly>=5.20'],
        # `bench --peers`; ultralytics is AGPL-3.0, and brings opencv-python and torchvision.
        'peers': ['transformers>=5.0', 'ultralytics>=8.3'],
        # `depth_anything view`; wants NumPy 2.
        'view': ['rerun-sdk>=0.41; python_version >= "3.11"'],
        # Parity with upstream also wants jkp-depth-anything-v2, installed with --no-deps, and with
        # the transformers library that.
        'test': [
            'catkin_pkg',
            'colorspacious>=1.1.2',
            'fsspec>=2024.2',
            'hypothesis',
            'jsonschema>=4.17',
            'lz4>=4.0',
            'matplotlib',
            'mcap>=1.2.2',
            'nncf>=2.19',
            'onnx>=1.16',
            'onnxruntime>=1.17',
            'OpenEXR>=3.3',
            'packaging',
            'pillow-heif>=1.0',
            'plotly>=5.20',
            'pytest>=7.4',
            'pytest-xdist>=3.4',
            'ray>=2.40',
            'rosbags>=0.11.6',
            'scikit-image',
            'zstandard>=0.19',
        ],
        'lint': ['import-linter', 'mypy', 'ruff', 'types-PyYAML', 'types-tqdm'],
        'docs': ['mkdocs>=1.6'],
        # From setuptools 80 on, colcon --symlink-install copies without saying so.
        'build': ['colcon-ros', 'setuptools>=70.1,<80'],
    },
    entry_points={
        'console_scripts': [
            f'depth_node = {NAME}.start:depth_node',
            f'depth_anything = {NAME}.cli:main',
        ],
    },
)
