"""Parameters from files as ROS writes them, and from single settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import Parameters, flatten, parameters_from_flat
from depth_anything_ros.settings.parameter_files import (
    parameters_from_file,
    parameters_from_settings,
)

CONFIG = Path(__file__).parents[2] / 'config'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'params.yaml'
    path.write_text(text)
    return path


def test_the_file_of_this_package_gives_the_defaults() -> None:
    assert parameters_from_flat(parameters_from_file(CONFIG / 'depth.yaml')) == Parameters()


@pytest.mark.parametrize(
    'node', ['/**', '/depth_anything', 'depth_anything', '/*', '/**/depth_anything']
)
def test_sections_for_this_node_count(tmp_path: Path, node: str) -> None:
    path = written(
        tmp_path,
        f"""
{node}:
  ros__parameters:
    use_sim_time: true
    qos_overrides: {{'/tf': {{subscription: {{depth: 5}}}}}}
    reference: {{type: laser_scan, max_depth_m: 20}}
    cloud.stride: 4
/other:
  ros__parameters: {{reference.type: none}}
""",
    )
    found = parameters_from_file(path)
    assert found == {
        'reference.type': 'laser_scan',
        'reference.max_depth_m': 20,
        'cloud.stride': 4,
    }
    assert flatten(parameters_from_flat(found))['reference.max_depth_m'] == 20.0


def test_later_sections_win(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
/**: {ros__parameters: {cloud: {stride: 3}, variant: demo}}
depth_anything: {ros__parameters: {cloud: {stride: 4}}}
""",
    )
    assert parameters_from_file(path) == {'cloud.stride': 4, 'variant': 'demo'}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('/other: {ros__parameters: {a: 1}}', r'matches node /depth_anything \(it has /other\)'),
        ('variant: demo', 'it has no ros__parameters'),
        ('{', r'params.yaml are not valid YAML \(while parsing .*: fix the file there'),
        ('', 'it has no ros__parameters'),
    ],
)
def test_files_of_no_use_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parameters_from_file(written(tmp_path, text))
    path = tmp_path / 'nowhere.yaml'
    with pytest.raises(SettingError) as caught:
        parameters_from_file(path)
    reason = '(No such file or directory): check the path'
    assert str(caught.value) == f'parameters {path} cannot be read {reason}'


def test_settings_have_the_type_of_their_parameter() -> None:
    settings = ['weights=12', 'cloud.stride=3', 'rectified=false', 'alignment.hold_s=1.5']
    assert parameters_from_settings(settings) == {
        'weights': '12',
        'cloud.stride': 3,
        'rectified': False,
        'alignment.hold_s': 1.5,
    }
    extrinsics = '0 0 0.1 -1.5708 0 -1.5708'
    found = parameters_from_settings([f'reference.extrinsics={extrinsics}', 'weights='])
    assert found == {'reference.extrinsics': extrinsics, 'weights': ''}


@pytest.mark.parametrize('setting', ['variant', '=demo', 'cloud.stride=[1'])
def test_settings_that_set_nothing_are_named(setting: str) -> None:
    with pytest.raises(
        SettingError, match=r"'.*' (sets nothing: write|has a value that is not YAML: write)"
    ):
        parameters_from_settings([setting])


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(SettingError, match="there is no parameter 'deep'"):
        parameters_from_flat(parameters_from_settings(['deep=1']))
