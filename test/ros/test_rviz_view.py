"""The view that RViz gets for several cameras, read back as RViz and Qt read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from qt_state import LEFT, RIGHT, Line, docks_of

from depth_anything_ros.ros.rviz_view import dock_state, view_of_cameras

TEMPLATE = (Path(__file__).resolve().parents[2] / 'config' / 'depth.rviz').read_text()
NAMES = ['front', 'left', 'rear', 'right']


def images(view: dict[str, Any]) -> dict[str, bool]:
    """The displays that bring a dock along, and whether they are switched on."""
    groups = [each for each in view['Visualization Manager']['Displays'] if 'Displays' in each]
    return {
        each['Name']: each['Enabled']
        for group in groups
        for each in group['Displays']
        if each['Class'].endswith('/Image')
    }


def test_one_camera_has_the_file_as_it_is() -> None:
    assert view_of_cameras(TEMPLATE, []) == TEMPLATE


@pytest.mark.parametrize('count', [1, 2, 4])
def test_each_camera_has_a_group_and_a_row(count: int) -> None:
    cameras = NAMES[:count]
    view = yaml.safe_load(view_of_cameras(TEMPLATE, cameras))
    grid, tf, *groups = view['Visualization Manager']['Displays']
    assert (grid['Name'], tf['Name']) == ('Grid', 'TF')
    assert [group['Name'] for group in groups] == cameras
    template = yaml.safe_load(TEMPLATE)['Visualization Manager']['Displays'][-1]['Displays']
    for camera, group in zip(cameras, groups, strict=True):
        for ours, one in zip(group['Displays'], template, strict=True):
            topic = one['Topic']['Value'].replace('depth_anything/', f'depth_anything/{camera}/')
            changed = {'Name': f'{camera} {one["Name"]}', 'Topic': one['Topic'] | {'Value': topic}}
            assert ours == one | changed
    (displays,) = view['Panels']
    opened = ['/Global Options1', *(f'/{camera}1' for camera in cameras)]
    assert displays['Property Tree Widget']['Expanded'] == opened
    areas = docks_of(view['Window Geometry']['QMainWindow State'])
    assert [dock.name for dock in areas[LEFT].docks()] == ['Displays']
    # RViz switches on what the state does not name.
    assert {dock.name: dock.visible for dock in areas[RIGHT].docks()} == images(view)
    column = areas[RIGHT]
    assert not column.across
    assert len(column.items) == count
    for row, camera in zip(column.items, cameras, strict=True):
        assert isinstance(row, Line)
        assert row.across
        shown = [dock for dock in row.docks() if dock.visible]
        names = ['relative depth', 'metric depth']
        assert [dock.name for dock in shown] == [f'{camera} {name}' for name in names]
        # Beside each other, of one width, within the window.
        first, second = shown
        assert first.at + first.size < second.at
        assert first.size == second.size
        assert second.at + second.size <= view['Window Geometry']['Width']


def test_a_row_may_be_hidden_and_names_may_be_of_any_letters() -> None:
    rows = [{'Türkamera': False}, {'b': True, 'c': False}]
    found = docks_of(dock_state(rows, 1440, 900))[RIGHT].docks()
    assert [(dock.name, dock.visible) for dock in found] == [
        ('Türkamera', False),
        ('b', True),
        ('c', False),
    ]
