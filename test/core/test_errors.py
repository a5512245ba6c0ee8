"""Names that somebody else chose forge no line of a log, and fill none."""

from __future__ import annotations

import pytest

from depth_anything_ros.core.errors import FrameError, SettingError, shown
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.geometry.transforms import IDENTITY
from depth_anything_ros.core.parameters import parameters_from_flat

HOSTILE = [
    'cam\x1b[31m\n[FATAL] [0.0] [robot]: fallen',
    'x' * 1_000_000,
    '\x00\x07\r',
    '\u202egnp.exe',
    'a\u2028b',
]


@pytest.mark.parametrize('name', HOSTILE)
def test_a_hostile_name_is_escaped_and_cut(name: str) -> None:
    buffer = TransformBuffer()
    buffer.put('base', 'lens', IDENTITY, 1, static=True)
    buffer.put(name, 'other', IDENTITY, 5, static=False)
    messages = [shown(name), str(SettingError(f'no topic {name}'))]
    messages.append(str(FrameError('bad', f'the image in {name} is bad')))
    for target, source, stamp_ns in (
        ('lens', name, 5),
        ('lens', f'{name}!', 5),
        (name, 'other', 10**12),
        (name, 'other', -(10**12)),
    ):
        with pytest.raises(FrameError) as caught:
            buffer.lookup(target, source, stamp_ns)
        messages.append(str(caught.value))
    with pytest.raises(FrameError) as caught:
        buffer.put(name, name, IDENTITY, 1, static=True)
    for text in (*messages, str(caught.value)):
        assert text.isprintable()
        assert len(text) <= 2000


def test_a_name_that_is_plain_stays_as_it_is() -> None:
    assert shown('front/camera_optical_frame') == "'front/camera_optical_frame'"
    assert shown('Straße 5') == "'Straße 5'"


@pytest.mark.parametrize(
    ('name', 'value', 'allowed'),
    [
        ('output.max_side', 0, True),
        ('output.max_side', 8, True),
        ('output.max_side', 1, False),
        ('output.max_side', 7, False),
        ('cameras', ['c' * 64], True),
        ('cameras', ['c' * 65], False),
        ('cameras', ['c' * 100_000], False),
    ],
)
def test_what_cannot_work_is_refused_in_a_line(name: str, value: object, allowed: bool) -> None:
    if allowed:
        parameters_from_flat({name: value})
        return
    with pytest.raises(SettingError, match=rf'^{name} is .*: give ') as caught:
        parameters_from_flat({name: value})
    assert len(str(caught.value)) < 500
