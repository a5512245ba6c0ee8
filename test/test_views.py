"""The views in config/ show what the node publishes: depth.rviz and foxglove_layout.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rig import Rig, values_of

from depth_anything_ros.messages.outputs import OUTPUTS
from depth_anything_ros.ros.qos import OUTPUT

CONFIG = Path(__file__).resolve().parents[1] / 'config'
DISPLAYED = {
    # The displays of rviz_default_plugins that we use and that have a topic.
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
    'rviz_default_plugins/LaserScan': 'sensor_msgs/msg/LaserScan',
    'rviz_default_plugins/PointCloud2': 'sensor_msgs/msg/PointCloud2',
}
FIGURE = re.compile(
    r"/diagnostics\.status\[:\]\{name=='(?P<name>[^']+)'\}"
    r"\.values\[:\]\{key=='(?P<key>\w+)'\}\.value"
)


@pytest.fixture(scope='module')
def rig() -> Iterator[Rig]:
    with Rig() as rig:
        rig.until_state('active')
        yield rig


@pytest.fixture(scope='module')
def published(rig: Rig) -> dict[str, list[str]]:
    """Types of the topics that the node publishes, by name."""

    def told() -> dict[str, list[str]]:
        # The graph hears of a node's own publishers later than they are there.
        found = rig.node.get_publisher_names_and_types_by_node('depth_anything', '/')
        types = dict(found)
        outputs = {f'/depth_anything/{output.name}' for output in OUTPUTS}
        return types if outputs <= types.keys() else {}

    return rig.until(told)


@pytest.fixture(scope='module')
def rviz() -> dict[str, Any]:
    return yaml.safe_load((CONFIG / 'depth.rviz').read_text())


@pytest.fixture(scope='module')
def displays(rviz: dict[str, Any]) -> list[dict[str, Any]]:
    """The displays of RViz that have a topic."""
    (group,) = (each for each in rviz['Visualization Manager']['Displays'] if 'Displays' in each)
    assert group['Class'] == 'rviz_common/Group'
    return group['Displays']


@pytest.fixture(scope='module')
def foxglove() -> dict[str, Any]:
    return json.loads((CONFIG / 'foxglove_layout.json').read_text())


def test_rviz_displays_what_the_node_publishes(
    rig: Rig, published: dict[str, list[str]], displays: list[dict[str, Any]]
) -> None:
    shown = {
        rig.node.resolve_topic_name(each['Topic']['Value']): [DISPLAYED[each['Class']]]
        for each in displays
    }
    assert len(shown) == len(displays) > 0
    assert shown == {name: published.get(name) for name in shown}


def test_rviz_follows_the_namespace_of_the_node(displays: list[dict[str, Any]]) -> None:
    absolute = [each for each in displays if each['Topic']['Value'].startswith(('/', '~'))]
    assert not absolute


def test_rviz_asks_for_the_qos_of_outputs(displays: list[dict[str, Any]]) -> None:
    policies = {'History': OUTPUT.history, 'Reliability': OUTPUT.reliability}
    policies['Durability'] = OUTPUT.durability
    offered = {
        f'{kind} Policy': policy.name.replace('_', ' ').title()
        for kind, policy in policies.items()
    } | {'Depth': OUTPUT.depth}
    for display in displays:
        topic = display['Topic']
        assert topic == offered | {'Value': topic['Value']}


def test_rviz_has_its_docks(rviz: dict[str, Any], displays: list[dict[str, Any]]) -> None:
    window = rviz['Window Geometry']
    # RViz reads these two into variables without a value.
    assert window['Hide Left Dock'] is window['Hide Right Dock'] is False
    docks = [panel['Name'] for panel in rviz['Panels']]
    docks += [each['Name'] for each in displays if each['Class'].endswith('/Image')]
    state = bytes.fromhex(window['QMainWindow State'])
    # Qt writes a name as its size in bytes, and in UTF-16.
    names = [name.encode('utf-16-be') for name in docks]
    assert not [name for name in names if len(name).to_bytes(4, 'big') + name not in state]


def test_foxglove_shows_what_the_node_publishes(
    published: dict[str, list[str]], foxglove: dict[str, Any]
) -> None:
    panels = foxglove['configById']
    cloud, scan = panels['3D!depth']['topics']
    shown = {
        cloud: 'sensor_msgs/msg/PointCloud2',
        scan: 'sensor_msgs/msg/LaserScan',
        panels['Image!relative']['imageMode']['imageTopic']: 'sensor_msgs/msg/CompressedImage',
        panels['RawMessages!status']['topicPath']: 'diagnostic_msgs/msg/DiagnosticStatus',
        panels['DiagnosticSummary!depth']['topicToRender']: 'diagnostic_msgs/msg/DiagnosticArray',
    }
    assert {name: published.get(name) for name in shown} == {
        name: [kind] for name, kind in shown.items()
    }


def test_foxglove_plots_figures_that_diagnostics_have(rig: Rig, foxglove: dict[str, Any]) -> None:
    paths = [path['value'] for path in foxglove['configById']['Plot!latency']['paths']]
    plotted = [FIGURE.fullmatch(path) for path in paths]
    assert plotted and all(plotted)

    def figures() -> tuple[str, set[str]] | None:
        status = rig.diagnostics('latency')
        # The first one may be from before the node was active.
        return (status.name, set(values_of(status))) if status and status.values else None

    name, keys = rig.until(figures)
    assert {match['name'] for match in plotted} == {name}
    assert {match['key'] for match in plotted} <= keys


def test_every_panel_of_foxglove_has_its_place(foxglove: dict[str, Any]) -> None:
    def places(node: str | dict[str, Any]) -> list[str]:
        return [node] if isinstance(node, str) else places(node['first']) + places(node['second'])

    assert sorted(places(foxglove['layout'])) == sorted(foxglove['configById'])
