"""The views in config/ show what the node publishes: depth.rviz and foxglove_layout.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from qt_state import LEFT, RIGHT, docks_of
from rig import Rig, values_of
from sensor_msgs.msg import PointCloud2, PointField

from depth_anything_ros.messages.outputs import OUTPUTS
from depth_anything_ros.messages.point_clouds import CloudWriter
from depth_anything_ros.metric.cloud import Cloud
from depth_anything_ros.metric.scale import Scale
from depth_anything_ros.ros.qos import OUTPUT

CONFIG = Path(__file__).resolve().parents[1] / 'config'
DISPLAYED = {
    # The displays of rviz_default_plugins that we use and that have a topic.
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
    'rviz_default_plugins/LaserScan': 'sensor_msgs/msg/LaserScan',
    'rviz_default_plugins/PointCloud2': 'sensor_msgs/msg/PointCloud2',
}
# A figure without data is empty text, which Foxglove plots as 0 unless it is left out.
FIGURE = re.compile(
    r"(?P<topic>[\w/]+)\.status\[:\](\{name=='(?P<name>[^']+)'\})?"
    r"\.values\[:\]\{key=='(?P<key>\w+)'\}\{value!=''\}\.value"
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
    assert shown
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
    areas = docks_of(window['QMainWindow State'])
    panels = [panel['Name'] for panel in rviz['Panels']]
    assert [dock.name for dock in areas[LEFT].docks()] == panels
    images = {
        each['Name']: each['Enabled'] for each in displays if each['Class'].endswith('/Image')
    }
    assert {dock.name: dock.visible for dock in areas[RIGHT].docks()} == images
    assert images.pop('sigma') is False
    assert all(images.values())


def test_rviz_follows_the_robot_whatever_the_fixed_frame(rviz: dict[str, Any]) -> None:
    view = rviz['Visualization Manager']['Views']['Current']
    assert view['Class'] == 'rviz_default_plugins/ThirdPersonFollower'
    assert view['Target Frame'] == 'base_link'


def test_rviz_colours_points_by_fields_that_they_have(displays: list[dict[str, Any]]) -> None:
    by_field = [each for each in displays if each.get('Color Transformer') == 'Intensity']
    message = PointCloud2()
    one = np.zeros((1, 3), np.float32)
    cloud = Cloud(one, one.astype(np.uint8), one[:, 0])
    CloudWriter(PointField, color=True, sigma=True).fill(message, cloud)
    fields = {field.name for field in message.fields}
    assert {each['Channel Name'] for each in by_field} == {'z', 'sigma'} <= fields
    # By bounds of their own, that the same colour is the same distance; off, as points are on.
    for each in by_field:
        assert each['Autocompute Intensity Bounds'] is each['Enabled'] is False


def test_foxglove_shows_what_the_node_publishes(
    published: dict[str, list[str]], foxglove: dict[str, Any]
) -> None:
    panels = foxglove['configById']
    cloud, scan = panels['3D!depth']['topics']
    # A field that every cloud has.
    assert panels['3D!depth']['topics'][cloud]['colorField'] == 'z'
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


def plotted(foxglove: dict[str, Any], panel: str) -> list[re.Match[str]]:
    """What a plot of Foxglove asks for."""
    paths = [path['value'] for path in foxglove['configById'][panel]['paths']]
    found = [FIGURE.fullmatch(path) for path in paths]
    assert found and all(found)
    return found


def test_foxglove_plots_figures_that_diagnostics_have(rig: Rig, foxglove: dict[str, Any]) -> None:
    asked = plotted(foxglove, 'Plot!latency')

    def figures() -> tuple[str, set[str]] | None:
        status = rig.diagnostics('latency')
        # The first one may be from before the node was active.
        return (status.name, set(values_of(status))) if status and status.values else None

    name, keys = rig.until(figures)
    assert {(match['topic'], match['name']) for match in asked} == {('/diagnostics', name)}
    assert {match['key'] for match in asked} <= keys


def test_foxglove_plots_figures_that_frame_stats_have(foxglove: dict[str, Any]) -> None:
    asked = plotted(foxglove, 'Plot!reference')
    topic = '/depth_anything/frame_stats'
    assert {(match['topic'], match['name']) for match in asked} == {(topic, None)}
    assert {match['key'] for match in asked} <= Scale(None, '').values().keys()


def test_every_panel_of_foxglove_has_its_place(foxglove: dict[str, Any]) -> None:
    def places(node: str | dict[str, Any]) -> list[str]:
        return [node] if isinstance(node, str) else places(node['first']) + places(node['second'])

    assert sorted(places(foxglove['layout'])) == sorted(foxglove['configById'])
