"""What messages tell the user to run or install exists, by the real parser and setup.py.

That it helps is tested beside what says it: bags in bag/test_wild.py, downloads in
model/test_hub.py, exports in backends/test_exported_backends.py, transitions in
ros/test_parameters.py and test_lifecycle.py.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from depth_anything_ros.cli.parser import Parser
from depth_anything_ros.cli.verbs import parser

ROOT = Path(__file__).resolve().parents[1]
CODE = sorted([*(ROOT / 'depth_anything_ros').rglob('*.py'), *(ROOT / 'launch').glob('*.py')])
PAGES = sorted([*ROOT.glob('*.md'), *(ROOT / 'docs').glob('*.md'), *(ROOT / 'config').iterdir()])

# Options of the programs that messages name beside ours.
FOREIGN = {
    'docker': '--cpus --gpus --ipc --shm-size',
    'pip': '--force-reinstall --no-deps --upgrade',
    'ray start': '--head',
    'rerun': '--bind --expect-data-soon --port --server-memory-limit --serve-web'
    ' --web-viewer-port',
    'ros2 bag play': '--clock --delay --loop --rate --start-offset',
    'ros2 run': '--log-level --params-file --ros-args',
    'ros2 topic echo': '--once',
    'rosbags-convert': '--dst --dst-typestore --src',
    'static_transform_publisher': '--pitch --roll --yaw',
}
# What pip is told to install besides the requirements of this package.
OTHERS = {'colcon-common-extensions', 'jkp-depth-anything-v2', 's3fs'}
# Packages of ROS that messages name and this package does without.
ROS_OTHERS = {'ros-base', 'rosbag2', 'rviz2', 'spatio-temporal-voxel-layer'}


def texts() -> Iterator[tuple[str, str]]:
    """Return where, and each text in the code, with {} for what is filled in, and of each page."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    str(one.value) if isinstance(one, ast.Constant) else '{}'
                    for one in node.values
                ]
                yield f'{path.name}:{node.lineno}', ''.join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f'{path.name}:{node.lineno}', node.value
    for path in PAGES:
        yield path.name, path.read_text()


TEXTS = list(texts())


def found(pattern: str) -> list[tuple[str, str]]:
    """Return where, and the group of each match in all texts: some, since the pattern fits."""
    matches = [(where, match[1]) for where, text in TEXTS for match in re.finditer(pattern, text)]
    assert matches, pattern
    return matches


@pytest.fixture(scope='module')
def verbs() -> dict[str, set[str]]:
    """Options by verb and by verb and subverb, of the real parser."""
    options: dict[str, set[str]] = {}

    def walk(name: str, one: Parser) -> None:
        if one._declare is not None:
            declare, one._declare = one._declare, None
            declare(one)
        options[name] = {option for action in one._actions for option in action.option_strings}
        for action in one._actions:
            if isinstance(action, argparse._SubParsersAction):
                for verb, sub in action.choices.items():
                    walk(f'{name} {verb}'.strip(), sub)

    walk('', parser())
    return options


def test_commands_are_verbs_with_these_options(verbs: dict[str, set[str]]) -> None:
    wrong = []
    # Up to what ends it: a quote, a comment, a separator or the end of the line.
    for where, command in found(r'\bdepth_anything ((?:[a-z]+)[^`;,:()#|\n]*)'):
        words = command.split()
        if where.endswith('.md') and words[0] not in verbs:
            continue  # prose; test_docs.py parses the commands of the pages
        verb = ' '.join(words[:2]) if ' '.join(words[:2]) in verbs else words[0]
        named = set(re.findall(r'(?<!\S)--[a-z][a-z-]*', command))
        known = verbs.get(verb, set()) | (verbs['bench network'] if verb == 'bench' else set())
        if verb not in verbs or named - known:
            wrong.append(f'{where}: depth_anything {command}')
    assert not wrong


def test_options_in_messages_exist(verbs: dict[str, set[str]]) -> None:
    known = {option for options in verbs.values() for option in options}
    known |= {option for options in FOREIGN.values() for option in options.split()}
    named = found(r'(?<![\w-])(--[a-z][a-z0-9-]*)')
    assert not {
        f'{where}: {option}' for where, option in named if '.py:' in where and option not in known
    }


def test_what_pip_is_told_to_install_is_required() -> None:
    metadata = importlib.metadata.metadata('depth_anything_ros')
    required = [Requirement(line).name for line in metadata.get_all('Requires-Dist') or ()]
    known = {canonicalize_name(name) for name in ('depth_anything_ros', *required, *OTHERS)}
    wrong = []
    for where, arguments in found(r'pip install ([^`\n,;:)#&|]*)'):
        for word in arguments.replace("'", '').split():
            name = re.split(r'[<>=[]', word)[0]
            # Not an option, a path, or what is filled in.
            if word[0] not in '-./{' and canonicalize_name(name) not in known:
                wrong.append(f'{where}: pip install {arguments}')
    assert not wrong


def test_extras_exist() -> None:
    metadata = importlib.metadata.metadata('depth_anything_ros')
    extras = set(metadata.get_all('Provides-Extra') or ())
    named = found(r'(?:depth_anything_ros|pip install .?\.)\[([\w,]+)\]')
    assert not {
        (where, one) for where, each in named for one in each.split(',') if one not in extras
    }


def test_ros_packages_are_those_of_package_xml() -> None:
    declared = re.findall(r'<exec_depend>(\w+)<', (ROOT / 'package.xml').read_text())
    known = {name.replace('_', '-') for name in declared} | ROS_OTHERS
    named = found(r'ros-\$(?:\{)?ROS_DISTRO(?:\})?-([a-z0-9-]+)')
    assert not {(where, name) for where, name in named if name not in known}


def test_launch_commands_name_files_and_arguments_that_exist() -> None:
    folder = ROOT / 'launch'
    declared = ' '.join(path.read_text() for path in folder.glob('*.launch.py'))
    wrong = []
    for where, command in found(r'ros2 launch depth_anything_ros ([a-z_.]+[^`\n]*)'):
        file, *words = command.split()
        arguments = [word.partition(':=')[0] for word in words if ':=' in word]
        if not (folder / file).exists() or any(f"'{one}'" not in declared for one in arguments):
            wrong.append(f'{where}: {command}')
    assert not wrong
