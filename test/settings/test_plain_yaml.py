from __future__ import annotations

from pathlib import Path

import pytest

from depth_anything_ros.settings.plain_yaml import plain_json_file, plain_yaml, plain_yaml_file

LAUGHS = 'a0: &a0 [x, x]\n' + ''.join(
    f'a{n}: &a{n} [{", ".join([f"*a{n - 1}"] * 9)}]\n' for n in range(1, 9)
)
MERGES = 'm0: &m0 {x: 1}\n' + ''.join(
    f'm{n}: &m{n}\n  <<: [{", ".join([f"*m{n - 1}"] * 9)}]\n' for n in range(1, 9)
)


@pytest.mark.parametrize(
    ('text', 'why'),
    [
        (LAUGHS, 'aliases'),
        (MERGES, 'aliases'),
        ('a: &a\n  b: *a\n', 'aliases'),
        ('[' * 20_000, 'nested deeper than 50'),
        ('{a: ' * 20_000, 'nested deeper than 50'),
        ('- ' * 60 + 'x', 'nested deeper than 50'),
        ('a: !!python/object/apply:os.system [true]', 'could not determine a constructor'),
        ("!!int ''", None),
        ('!!timestamp x', None),
        ('2001-99-99', 'month must be'),
        ('? [a]\n: b', 'unhashable'),
        ('a: [', 'expected the node content'),
        ('\x00', 'special characters'),
    ],
)
def test_what_is_not_plain_is_one_line(text: str, why: str | None) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        plain_yaml(text)
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_what_people_write_is_read() -> None:
    text = '/**:\n  ros__parameters: {a: 1, b: [true, 2.5], c: null, d: "1:2"}\n# end\n'
    values = {'a': 1, 'b': [True, 2.5], 'c': None, 'd': '1:2'}
    assert plain_yaml(text) == {'/**': {'ros__parameters': values}}
    assert plain_yaml('') is None
    assert plain_yaml('a: 1\n---\n', first=True) == {'a': 1}
    with pytest.raises(ValueError, match='single document'):
        plain_yaml('a: 1\n---\n')


@pytest.mark.parametrize('text', ['9' * 100_000, '1' + ':1' * 50_000])
def test_a_number_without_end_is_text(text: str) -> None:
    assert plain_yaml(text) == text


def test_a_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / 'a.yaml'
    path.write_text('a: 1')
    assert plain_yaml_file(path) == {'a': 1}
    path.write_bytes(b'a: ' + bytes(17 * 2**20))
    with pytest.raises(ValueError, match='more than 16777216 bytes'):
        plain_yaml_file(path)
    path.write_bytes(b'\xff\xfe')
    with pytest.raises(ValueError, match='codec'):
        plain_yaml_file(path)
    with pytest.raises(ValueError, match='more than'):
        plain_yaml_file(Path('/dev/zero'))


def test_json_is_bounded_alike(tmp_path: Path) -> None:
    path = tmp_path / 'a.json'
    path.write_text('{"a": [1]}')
    assert plain_json_file(path) == {'a': [1]}
    path.write_text('[' * 100_000)
    with pytest.raises(ValueError, match='nested too deep'):
        plain_json_file(path)
    with pytest.raises(ValueError, match='more than'):
        plain_json_file(Path('/dev/zero'))
