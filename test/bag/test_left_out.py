"""What is left out is named with its reason, in the table and in JSON, and is exit status 1."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import IMAGE, drive
from rosbags.rosbag2 import Writer
from written_bag import MAKE, write_bag

from depth_anything_ros import cli
from depth_anything_ros.bag.plan import ProcessOptions, make_plan
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.parameters import Parameters

REAR = '/rear/image_raw'
Messages = list[tuple[str, int, Any]]


def pictures() -> list[Any]:
    return [m for topic, _, m in drive('room', seconds=0.5).messages if topic == IMAGE][:2]


def good() -> Messages:
    return [(IMAGE, number, message) for number, message in enumerate(pictures())]


def damaged(folder: Path, kind: str) -> tuple[Path, str]:
    """A bag with two good images and something that is not; and its name."""
    if kind == 'image':
        empty = dataclasses.replace(pictures()[0], width=0, data=np.zeros(0, np.uint8))
        return write_bag(folder, [*good(), (IMAGE, 9, empty)]), 'empty_image'
    if kind == 'camera':
        other = dataclasses.replace(pictures()[0], encoding='h264')
        return write_bag(folder, [*good(), (REAR, 9, other)]), REAR
    path = write_bag(folder, good())
    if kind == 'file':
        (path / 'in_1.mcap').touch()
        (path / 'metadata.yaml').unlink()
        return path, 'in_1.mcap'
    (file,) = path.glob('*.mcap')
    file.write_bytes(file.read_bytes()[:-30])
    return path, file.name


@pytest.mark.parametrize('kind', ['image', 'camera', 'file', 'cut'])
def test_it_is_exit_status_1_unless_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    bag, name = damaged(tmp_path / 'in', kind)
    if kind == 'cut':
        # The index alone is lost: nothing is left out.
        with BagReader(bag) as reader:
            assert reader.left_out == []
        (file,) = bag.glob('*.mcap')
        file.write_bytes(file.read_bytes()[:-2000])
    options = ['--variant', 'demo', '--weights', 'random', '--backend', 'torch']
    run = ['bag', 'process', str(bag), str(tmp_path / 'out'), *options]
    assert cli.main(run) == 1
    said = capsys.readouterr().out
    assert 'left out: ' in said or '1 of 3 images refused' in said
    run[3] += '2'
    assert cli.main([*run, '--json', '--allow-missing']) == 0
    (row,) = json.loads(capsys.readouterr().out)
    frames = 1 if kind == 'cut' else 2
    assert (row['good'], row['complete'], row['frames']) == (True, False, frames)
    ((found,),) = [[each for each in row['left_out'] + row['refused'] if each['name'] == name]]
    assert found['count'] >= 1
    assert found['message']
    if kind == 'camera':
        # Not asked for, so not left out.
        run[3] += '3'
        assert cli.main([*run, '--image', IMAGE]) == 0


def test_a_topic_of_several_types_is_not_copied_and_said_so(tmp_path: Path) -> None:
    with Writer(tmp_path / 'bag', version=9) as writer:
        for topic, message in ((IMAGE, pictures()[0]), ('/a', MAKE.header(1, 'x')), ('/a', 0)):
            message = message or MAKE.transforms(1, [])
            kind = message.__msgtype__
            connection = writer.add_connection(topic, kind, typestore=MAKE.store)
            writer.write(connection, 1, MAKE.store.serialize_cdr(message, kind))
    with BagReader(tmp_path / 'bag') as reader:
        plan = make_plan(reader, tmp_path / 'out', ProcessOptions(), Parameters())
    assert plan.copied == {IMAGE}
    assert [(each.name, each.count) for each in plan.left_out] == [('/a', 2)]


@pytest.mark.parametrize(
    ('text', 'why'),
    [('- &a {x: 1}\n- {<<: [*a, *a]}', 'aliases'), ('[' * 20_000, 'nested deeper')],
)
def test_qos_in_a_database_is_plain_yaml(tmp_path: Path, text: str, why: str) -> None:
    path = write_bag(tmp_path / 'bag', good(), 'sqlite3')
    with sqlite3.connect(path / 'bag.db3') as file:
        file.execute('UPDATE topics SET offered_qos_profiles = ?', (text,))
    file.close()
    with pytest.raises(DepthAnythingError, match=rf'cannot be opened: .*{why}'):
        BagReader(path).__enter__()
