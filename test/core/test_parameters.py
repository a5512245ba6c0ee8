"""The parameter list and what is generated from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import Parameters, entries, flatten, parameters_from_flat
from lab.parameter_files import markdown_text, networks_text, yaml_text

CHECKOUT = Path(__file__).resolve().parents[2]


def test_every_parameter_is_described_and_its_default_allowed() -> None:
    for entry in entries():
        assert entry.check(entry.default) == entry.default
        assert entry.description.endswith('.')
        assert type(entry.default) is entry.kind


def test_tree_and_dotted_names_say_the_same() -> None:
    assert parameters_from_flat(flatten(Parameters())) == Parameters()
    changed = parameters_from_flat({'relative.smoothing_s': 2, 'variant': 'vitl'})
    assert changed.relative.smoothing_s == 2.0
    assert flatten(changed)['variant'] == 'vitl'


@pytest.mark.parametrize(
    ('name', 'value', 'said'),
    [
        ('variant', 'vitx', 'vitx'),
        ('input_size', 5, '56 to 2072'),
        ('input_size', 518.0, 'give an int'),
        ('input_size', True, 'give an int'),
        ('relative.smoothing_s', float('nan'), '0 to 60'),
        ('allow_download', 1, 'give a bool'),
        ('reference.type', 'range', "'range': choose one of auto, none, depth_image"),
        ('no.such', 1, "no parameter 'no.such'"),
    ],
)
def test_wrong_values_are_refused_in_one_line(name: str, value: object, said: str) -> None:
    with pytest.raises(SettingError) as refused:
        parameters_from_flat({name: value})
    assert said in str(refused.value)
    assert '\n' not in str(refused.value)


def test_yaml_holds_every_default() -> None:
    tree = yaml.safe_load(yaml_text())['/**']['ros__parameters']
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= {f'{name}.{inner}': v for inner, v in value.items()}
        else:
            flat[name] = value
    assert parameters_from_flat(flat) == Parameters()
    assert list(flat) == list(flatten(Parameters()))


@pytest.mark.parametrize(
    ('path', 'text'), [('config/depth.yaml', yaml_text), ('docs/parameters.md', markdown_text)]
)
def test_generated_files_are_fresh(path: str, text: object) -> None:
    stale = 'stale: run python -m lab.parameter_files'
    assert (CHECKOUT / path).read_text() == text(), stale  # type: ignore[operator]
    page = (CHECKOUT / 'docs' / 'networks.md').read_text()
    assert networks_text(page) == page and '| `focal_constant` |' in page, stale
