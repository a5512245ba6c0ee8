"""What is said in docs/security.md, and the examples in config/ that it names."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rig import Rig

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.model.network.checkpoint import read_state_dict
from depth_anything_ros.model.releases import RELEASES
from lab.isolation import isolated_domain

ROOT = Path(__file__).resolve().parents[1]
CODE = [*(ROOT / 'depth_anything_ros').rglob('*.py'), *(ROOT / 'launch').glob('*.py')]
POLICY = ROOT / 'config' / 'sros2_policy.xml'

# What runs text as code, hands it to a shell, or makes objects of any kind from bytes.
UNSAFE = {
    'compile',
    'eval',
    'exec',
    'os.popen',
    'os.system',
    'pickle.load',
    'pickle.loads',
    'subprocess.getoutput',
    'subprocess.getstatusoutput',
    'yaml.full_load',
    'yaml.load',
    'yaml.unsafe_load',
}


def calls(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Every call in a file: what is called, and its keyword arguments, as text."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            keywords = {each.arg or '**': ast.unparse(each.value) for each in node.keywords}
            yield ast.unparse(node.func), keywords


def test_no_shell_and_no_code_from_text() -> None:
    found = [
        (path.name, name)
        for path in CODE
        for name, keywords in calls(path)
        if name in UNSAFE or 'shell' in keywords
    ]
    assert not found
    loads = [keywords for path in CODE for name, keywords in calls(path) if name == 'torch.load']
    assert loads
    assert all(keywords.get('weights_only') == 'True' for keywords in loads)


def test_nothing_is_pickled() -> None:
    imported = [
        (path.name, node.lineno)
        for path in CODE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom)) and 'pickle' in ast.unparse(node)
    ]
    assert not imported


def test_the_search_for_unsafe_calls_finds_them(tmp_path: Path) -> None:
    path = tmp_path / 'unsafe.py'
    path.write_text("subprocess.run('x', shell=True)\nos.system('x')\nmodel.eval()\n")
    assert list(calls(path)) == [
        ('subprocess.run', {'shell': 'True'}),
        ('os.system', {}),
        ('model.eval', {}),
    ]


class Gadget:
    """What pickle turns into a call of `function` when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self._call


def test_weights_run_no_code(tmp_path: Path) -> None:
    witness = tmp_path / 'witness'
    path = tmp_path / 'weights.pth'
    torch.save({'a': torch.zeros(1), 'b': Gadget(Path.touch, witness)}, path)
    with pytest.raises(WeightsError, match='contains code'):
        read_state_dict(path)
    assert not witness.exists()
    torch.load(path, weights_only=False)
    assert witness.exists()


def test_no_name_in_the_manifest_leads_out_of_the_cache() -> None:
    for row in RELEASES:
        assert row.file == Path(row.file).name
        for part in (*(row.repo_id or 'none/none').split('/'), row.file, row.revision):
            assert part.replace('-', '').replace('_', '').replace('.', '').isalnum()
            assert '..' not in part


@pytest.mark.parametrize('path', sorted((ROOT / 'config').glob('*.xml')), ids=lambda p: p.name)
def test_examples_are_well_formed(path: Path) -> None:
    assert len(ET.parse(path).getroot())


# Who may hold what, by SROS 2's schema of policies.
PARTS = {
    'policy': {'enclaves'},
    'enclaves': {'enclave'},
    'enclave': {'profiles'},
    'profiles': {'profile'},
    'profile': {'topics', 'services'},
    'topics': {'topic'},
    'services': {'service'},
    'topic': set(),
    'service': set(),
}


def test_the_policy_keeps_to_the_schema() -> None:
    root = ET.parse(POLICY).getroot()
    assert (root.tag, root.get('version')) == ('policy', '0.2.0')
    for element in root.iter():
        assert {child.tag for child in element} <= PARTS[element.tag]
        rules = {name: value for name, value in element.items() if value in ('ALLOW', 'DENY')}
        assert len(rules) == (element.tag in ('topics', 'services'))
        assert set(rules) <= {'topics': {'publish', 'subscribe'}, 'services': {'reply'}}.get(
            element.tag, set()
        )


def allowed(right: str) -> set[str]:
    """The full names that the policy allows for `right`, as SROS 2 expands them."""
    (profile,) = ET.parse(POLICY).getroot().iter('profile')
    namespace, node = profile.get('ns', ''), profile.get('node', '')
    names = [item.text or '' for group in profile if group.get(right) for item in group]
    assert len(names) == len(set(names))
    return {
        name
        if name.startswith('/')
        else f'{namespace}{node}{name[1:]}'
        if name.startswith('~')
        else f'{namespace}{name}'
        for name in names
    }


def owned(rig: Rig, kind: str, expected: set[str]) -> set[str]:
    """What the graph says the node has, which it hears a little later than the node."""
    node = rig.node
    told = getattr(node, f'get_{kind}_names_and_types_by_node')

    def names() -> set[str]:
        return {name for name, _ in told(node.get_name(), node.get_namespace())}

    rig.until(lambda: names() >= expected)
    return names()


def test_the_policy_names_what_the_node_has() -> None:
    subscribed = set()
    for transport in ('raw', 'compressed'):
        given = {
            'image_transport': transport,
            'reference.type': 'laser_scan',
            'use_sim_time': True,
        }
        # The graph knows nodes by name, and in the domain of the session there were others.
        with isolated_domain(), Rig(given) as rig:
            rig.until_state('active')
            node = rig.node
            who = node.get_name(), node.get_namespace()
            assert who == ('depth_anything', '/')
            assert owned(rig, 'publisher', allowed('publish')) == allowed('publish')
            assert owned(rig, 'service', allowed('reply')) == allowed('reply')
            assert not node.get_client_names_and_types_by_node(*who)
            subscribed |= owned(rig, 'subscriber', set())
    # Heard where tf2_ros is installed.
    assert subscribed | {'/tf', '/tf_static'} == allowed('subscribe')
