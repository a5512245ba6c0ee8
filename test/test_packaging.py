"""What pip, colcon and ROS read agrees with what the package is."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import depth_anything_ros
from depth_anything_ros.core.packages import missing, pip_install

catkin_package = pytest.importorskip('catkin_pkg.package')
ament_index_python = pytest.importorskip('ament_index_python')

NAME = 'depth_anything_ros'
ROOT = Path(__file__).resolve().parents[1]
PROVIDERS = {
    # module: what a package.xml or a pip requirement calls it
    'cv2': {'python3-opencv', 'opencv-python-headless'},
    'depth_anything_v2': {'jkp-depth-anything-v2'},
    'numpy': {'python3-numpy', 'numpy'},
    'PIL': {'python3-pil', 'pillow'},
    'rerun': {'rerun-sdk'},
    'tf2_ros': {'tf2_ros_py'},
    'tqdm': {'python3-tqdm', 'tqdm'},
    'yaml': {'python3-yaml', 'pyyaml'},
}


@pytest.fixture(scope='module')
def manifest():
    return catkin_package.parse_package(str(ROOT / 'package.xml'))


@pytest.fixture(scope='module')
def distribution():
    return importlib.metadata.distribution(NAME)


@pytest.fixture(scope='module')
def share():
    try:
        return Path(ament_index_python.get_package_share_directory(NAME))
    except (ament_index_python.PackageNotFoundError, LookupError):
        pytest.skip('AMENT_PREFIX_PATH does not lead to this package: run `make test`')


def requirements(distribution):
    return [Requirement(line) for line in distribution.requires or ()]


def run_time_nodes(tree):
    """Walk a syntax tree past what stands under `if TYPE_CHECKING`."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test).endswith('TYPE_CHECKING')):
            yield from run_time_nodes(child)


@cache
def third_party_imports():
    """Map each module imported from outside at run time to one file that imports it."""
    found = {}
    for path in [*(ROOT / NAME).rglob('*.py'), *(ROOT / 'launch').glob('*.py')]:
        for node in run_time_nodes(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in names:
                top = name.partition('.')[0]
                if top != NAME and top not in sys.stdlib_module_names:
                    found[top] = str(path.relative_to(ROOT))
    return found


def test_package_xml_is_valid(manifest):
    warnings = []
    manifest.validate(warnings)
    assert not warnings
    assert manifest.package_format == 3
    assert manifest.get_build_type() == 'ament_python'
    assert manifest.licenses == ['Apache-2.0']


def test_one_version_and_one_maintainer(manifest, distribution):
    assert manifest.version == depth_anything_ros.__version__
    assert distribution.version == depth_anything_ros.__version__
    (maintainer,) = manifest.maintainers
    assert distribution.metadata['Maintainer'] == maintainer.name
    assert distribution.metadata['Maintainer-email'] == maintainer.email


def test_entry_points_can_be_called(distribution):
    scripts = {entry.name: entry for entry in distribution.entry_points}
    assert set(scripts) == {'depth_anything', 'depth_node'}
    for entry in scripts.values():
        assert callable(entry.load())


def test_every_import_is_declared(manifest, distribution):
    declared = {dependency.name for dependency in manifest.exec_depends}
    declared |= {canonicalize_name(requirement.name) for requirement in requirements(distribution)}
    undeclared = {
        module: path
        for module, path in third_party_imports().items()
        if not declared & PROVIDERS.get(module, {module, canonicalize_name(module)})
    }
    assert not undeclared, 'add these to package.xml, or to setup.py if only pip has them'


def test_the_readme_installs_what_rosdep_does_not(manifest, distribution):
    (line,) = re.findall(
        r'^pip install (torch .*)', (ROOT / 'README.md').read_text(), re.MULTILINE
    )
    keys = {dependency.name for dependency in manifest.exec_depends}
    by_rosdep = set().union(*(names for names in PROVIDERS.values() if names & keys))
    needed = {canonicalize_name(one.name) for one in requirements(distribution) if not one.marker}
    # huggingface_hub requires filelock.
    assert needed - by_rosdep - {'filelock'} <= {canonicalize_name(one) for one in line.split()}


def test_what_is_missing_is_named_as_pypi_names_it(distribution):
    required = requirements(distribution)
    names = {canonicalize_name(one.name) for one in required}
    checked = set()
    for module in third_party_imports():
        projects = {canonicalize_name(one) for one in pip_install(module).split()[2:]}
        if names & PROVIDERS.get(module, {canonicalize_name(module)}):
            checked |= projects
            assert projects <= names, pip_install(module)
    assert len(checked) > 10
    assert 'needs cv2, which is not installed: pip install opencv-python' in missing('it', 'cv2')
    extras = [
        {one.name for one in required if one.marker and one.marker.evaluate({'extra': extra})}
        for extra in distribution.metadata.get_all('Provides-Extra')
    ]
    for module in ('mcap', 'ray', 'plotly', 'onnx'):
        assert set(pip_install(module).split()[2:]) in extras


def test_every_requirement_is_pinned(distribution):
    files = ROOT.glob('constraints*.txt')
    lines = [line for path in files for line in path.read_text().splitlines()]
    pins = [line for line in lines if line and not line.startswith('#')]
    # A local version (torch==2.13.0+cpu) or a range pins nothing that everyone can install.
    assert [pin for pin in pins if not re.fullmatch(r'[\w.-]+==[\w.]+', pin)] == []
    pinned = {canonicalize_name(pin.partition('==')[0]) for pin in pins}
    required = {canonicalize_name(requirement.name) for requirement in requirements(distribution)}
    assert required - pinned == set()


@pytest.mark.parametrize('folder', ['config', 'launch'])
def test_share_holds_what_the_checkout_holds(share, folder):
    expected = {
        path.name: path.read_bytes() for path in (ROOT / folder).iterdir() if path.is_file()
    }
    assert expected
    installed = {
        path.name: path.read_bytes() for path in (share / folder).iterdir() if path.is_file()
    }
    assert {name: installed.get(name) for name in expected} == expected


@pytest.mark.filterwarnings('ignore:nodes.Node.traverse:DeprecationWarning')
def test_the_changelog_is_ready_for_a_release(manifest):
    """As catkin_prepare_release names the section and counts up, and bloom reads it then."""
    numbers = pytest.importorskip('catkin_pkg.package_version')
    setup_py = (ROOT / 'setup.py').read_text()
    assert f"version='{manifest.version}'" in setup_py
    assert "version='9.9.9'" in numbers._replace_setup_py_version(setup_py, '9.9.9')
    changelog = pytest.importorskip('catkin_pkg.changelog')
    tagging = pytest.importorskip('catkin_pkg.cli.tag_changelog')
    text = (ROOT / 'CHANGELOG.rst').read_text()
    label = tagging.get_forthcoming_label(text)
    if label is not None:
        text = tagging.rename_section(text, label, f'{manifest.version} (2026-01-31)')
    released = changelog.populate_changelog_from_rst(changelog.Changelog(NAME), text)
    versions = list(released.foreach_version())
    assert versions[0][0] == manifest.version
    read = sum(len(each.bullets) for _, _, content in versions for each in content)
    assert read == len(re.findall(r'^\* ', text, re.MULTILINE)) > 10
