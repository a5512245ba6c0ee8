"""Cards: their fields, what is refused in one line, and which card a file has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from fake_hub import release
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.model import releases
from depth_anything_ros.model.card import Card, read_card
from depth_anything_ros.model.network import random_network
from depth_anything_ros.model.network.checkpoint import network_of
from depth_anything_ros.model.variants import VARIANTS, Checkpoint
from depth_anything_ros.model.weights import find

RELATIVE, OUTDOOR = Checkpoint.RELATIVE, Checkpoint.METRIC_OUTDOOR
V2 = 'family: depth_anything_v2\nvariant: vits\noutput: relative_inverse_depth\n'
METRIC = 'family: depth_anything_v2\nvariant: demo\noutput: metric_depth\nmax_depth_m: 150\n'
ONNX = 'family: onnx\noutput: relative_inverse_depth\n'


def _card(folder: Path, text: str, name: str = 'my_net.yaml') -> Path:
    path = folder / name
    path.write_text(text)
    return path


def _refused(weights: Path, variant: str = 'vits', checkpoint: Checkpoint = RELATIVE) -> str:
    with pytest.raises(WeightsError) as error:
        find(variant, checkpoint, str(weights))
    message = str(error.value)
    print(message)
    assert '\n' not in message and str(weights.parent) in message
    return message


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('output: log_depth', 'family is missing: give one of depth_anything_v2, '),
        ('family: onnx', 'output is missing: give one of relative_inverse_depth, '),
        ('family: midas\noutput: log_depth', "family is 'midas': choose one of depth_anything_v2"),
        (ONNX + 'max_depht: 3', "there is no field 'max_depht': give family, output, "),
        (ONNX + 'max_depth_m: far', "max_depth_m is 'far', a str: give a float"),
        (ONNX + 'max_depth_m: 3', 'max_depth_m is 3.0: relative depth has no end'),
        (V2.replace('variant: vits\n', ''), 'variant is missing: choose one of vits, vitb'),
        (V2.replace('vits', 'vitx'), "variant is 'vitx': choose one of "),
        (METRIC.replace('max_depth_m: 150\n', ''), 'max_depth_m is missing: give the metres'),
        (V2 + 'max_depth_m: 80', 'max_depth_m is 80.0: leave it out'),
        (V2.replace('relative_inverse', 'relative'), "output is 'relative_depth': depth_anything"),
        (V2 + 'input: {size: 252}', 'input is given: leave it out for depth_anything_v2'),
        (ONNX + 'variant: vits', "variant is 'vits': leave it out"),
        (ONNX + 'focal_constant: 300', 'focal_constant is 300.0: leave it out'),
        (ONNX + 'input: {rule: fixed}', 'input.rule is fixed, input.width 0'),
        (ONNX + 'input: {multiple: 0}', 'input.multiple is 0: it must lie in 1 to 128'),
        (ONNX + 'input: 518', 'input is 518: give fields like size: 518 below it'),
        (ONNX + 'licence: [MIT]', 'licence is a list: give one value'),
        (ONNX + 'sha256: abc', "sha256 is 'abc': give 64"),
        (ONNX + 'file: ../a.onnx', 'name a file in the folder of the card'),
        ('- 1', 'it holds list: give fields like'),
        ('', 'it is empty: give fields like'),
        ('a: [', 'is not valid YAML'),
        ('a: &a [x]\nb: [*a, *a]', 'aliases (*name) are not supported'),
        ('[' * 5000, 'is not valid YAML'),
        ('a' * 70_000, 'has more than 65536 bytes'),
        ('!!python/object/apply:os.system [ls]', 'is not valid YAML'),
    ],
)
def test_a_wrong_or_missing_field_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = _card(tmp_path, text)
    assert said in _refused(path)
    with pytest.raises(WeightsError, match='No such file'):
        read_card(tmp_path / 'none.yaml')


@pytest.mark.parametrize('in_place', [True, False])
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_card_describes_the_file_beside_it(tmp_path: Path, suffix: str, in_place: bool) -> None:
    (tmp_path / f'my_net{suffix}').write_bytes(b'weights')
    card = _card(tmp_path, METRIC + 'licence: MIT\nsource: our lab\n')
    # What the parameters say does not count.
    file = find('vitl', RELATIVE, str(card if in_place else tmp_path / f'my_net{suffix}'))
    assert (file.path, file.card_path) == (tmp_path / f'my_net{suffix}', card)
    assert (file.card.max_depth_m, file.card.variant) == (150.0, 'demo')
    assert file.notices() == () and not file.known
    assert file.parameters[2] == str(card)


def test_a_card_names_its_file_and_its_content(tmp_path: Path) -> None:
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'weights' / 'a.pth').write_bytes(b'weights')
    sha256 = hashlib.sha256(b'weights').hexdigest()
    card = _card(tmp_path, f'{V2}file: weights/a.pth\nsha256: {sha256}\nlicence: CC-BY-NC-4.0\n')
    file = find('vits', RELATIVE, str(card))
    assert file.path == tmp_path / 'weights' / 'a.pth'
    assert 'non-commercial use only: CC-BY-NC-4.0' in file.notices()[0]
    (tmp_path / 'weights' / 'a.pth').write_bytes(b'other')
    assert f'sha256 is {sha256[:12]}..., and ' in _refused(card)


def test_a_card_without_a_file(tmp_path: Path) -> None:
    card = _card(tmp_path, V2)
    assert 'file is missing, and no file of its name beside it: add `file: NAME`' in _refused(card)
    for name in ('my_net.pth', 'my_net.safetensors'):
        (tmp_path / name).write_bytes(b'x')
    assert 'several files of its name' in _refused(card)
    card = _card(tmp_path, V2 + 'file: gone.pth')
    assert 'No such file' in _refused(card)
    assert 'file is gone.pth, and weights names' in _refused(tmp_path / 'my_net.pth')


def test_a_card_may_ask_for_random_weights(tmp_path: Path) -> None:
    card = _card(tmp_path, METRIC + 'file: random')
    file = find('vits', RELATIVE, str(card))
    assert file.random and f'random weights, as {card} asks' in file.notices()[0]
    assert network_of(file).max_depth_m == 150.0


def test_a_file_is_not_what_its_card_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = release(b'released', 'Apache-2.0')
    monkeypatch.setattr(releases, 'RELEASES', (row,))
    (tmp_path / 'my_net.pth').write_bytes(b'released')
    metric = METRIC.replace('demo', 'vits')
    said = _refused(_card(tmp_path, metric))
    assert 'output is metric_depth, but it is relative_inverse_depth in ' in said
    assert 'the released vits relative file: correct the card' in said
    said = _refused(_card(tmp_path, V2.replace('v2', 'v1')))
    assert 'family is depth_anything_v1, but it is depth_anything_v2 in ' in said
    # One that says the same is fine, and gets the licence.
    file = find('vitb', RELATIVE, str(_card(tmp_path, V2)))
    assert file.known and file.card.licence == 'Apache-2.0'
    (tmp_path / 'a.onnx').write_bytes(b'x')
    assert 'family is depth_anything_v2, and ' in _refused(
        _card(tmp_path, V2 + 'file: a.onnx', 'b.yaml')
    )


def test_a_file_of_another_size_than_its_card(tmp_path: Path) -> None:
    torch.save(random_network(VARIANTS['demo']).state_dict(), tmp_path / 'my_net.pth')
    file = find('demo', RELATIVE, str(_card(tmp_path, V2)))
    with pytest.raises(WeightsError) as error:
        network_of(file)
    assert 'variant is vits: set variant to demo, or that in its card' in str(error.value)


def test_metres_of_an_unknown_file_are_asked_for(tmp_path: Path) -> None:
    """Its weights are the same whether it was trained to 20, 80 or 150 metres."""
    torch.save(random_network(VARIANTS['vits'], 150.0).state_dict(), tmp_path / 'own.pth')
    said = _refused(tmp_path / 'own.pth', 'vits', OUTDOOR)
    assert f'write the card {tmp_path / "own.yaml"} (family: depth_anything_v2, ' in said
    assert 'output: metric_depth' in said and 'max_depth_m: METRES' in said
    # The advice works.
    lines = said.partition('own.yaml (')[2].partition(')')[0].replace(', ', '\n')
    _card(tmp_path, lines.replace('METRES', '150'), 'own.yaml')
    file = find('vits', OUTDOOR, str(tmp_path / 'own.pth'))
    network, own = network_of(file), random_network(VARIANTS['vits'], 150.0)
    image = torch.randn(1, 3, 70, 98, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(image), own(image))


def test_an_onnx_file_without_a_card_is_asked_for_one(tmp_path: Path) -> None:
    (tmp_path / 'net.onnx').write_bytes(b'x')
    said = _refused(tmp_path / 'net.onnx')
    assert f'write the card {tmp_path / "net.yaml"} (family: onnx, output: ...)' in said


def test_v1_is_known_by_its_sha256_and_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (
        release(b'v1', 'Apache-2.0', file='depth_anything_vits14.pth', family='depth_anything_v1'),
        release(b'x', 'CC-BY-NC-4.0', file='depth_anything_AC_vits.pth', sha256='', repo_id=''),
    )
    monkeypatch.setattr(releases, 'RELEASES', rows)
    (tmp_path / 'renamed.pth').write_bytes(b'v1')
    file = find('vits', RELATIVE, str(tmp_path / 'renamed.pth'))
    assert file.known and file.card.architecture.taps == (8, 9, 10, 11)
    # Saved again in another format, it has another sha256.
    (tmp_path / 'depth_anything_vits14.safetensors').write_bytes(b'v1 again')
    file = find('vits', RELATIVE, str(tmp_path / 'depth_anything_vits14.safetensors'))
    assert not file.known and file.card.architecture.taps == (8, 9, 10, 11)
    assert 'run as depth_anything_v1 vits relative because its name says so' in file.doubt
    (tmp_path / 'depth_anything_vits14.pth').write_bytes(b'cut')
    assert 'is damaged or truncated' in _refused(tmp_path / 'depth_anything_vits14.pth')
    # Nobody states its sha256: the file's own is told.
    (tmp_path / 'depth_anything_AC_vits.pth').write_bytes(b'any')
    file = find('vits', RELATIVE, str(tmp_path / 'depth_anything_AC_vits.pth'))
    assert hashlib.sha256(b'any').hexdigest()[:12] in file.notices()[0]
    assert 'non-commercial' in file.notices()[1]
    said = _refused(tmp_path / 'renamed.pth', 'vitb')
    assert 'is the released depth_anything_v1 vits relative file, not vitb relative' in said


def test_the_blocks_that_v1_reads() -> None:
    def taps(variant: str) -> tuple[int, ...]:
        output = 'relative_inverse_depth'
        card = Card(family='depth_anything_v1', variant=variant, output=output)
        return card.architecture.taps

    assert taps('vits') == taps('vitb') == (8, 9, 10, 11)
    assert taps('vitl') == (20, 21, 22, 23)


def _published_v1(state: dict[str, Tensor], image: Tensor, heads: int) -> Tensor:
    """Return V1's output as its paper and DINOv2's describe it: the last four blocks, a DPT head.

    image: (1, 3, 518, 518), where positions need no interpolation.
    """

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f'{name}.weight'].T + state[f'{name}.bias']

    def norm(x: Tensor, name: str) -> Tensor:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
        return x * state[f'{name}.weight'] + state[f'{name}.bias']

    def conv(x: Tensor, name: str, **options: int) -> Tensor:
        name = f'depth_head.{name}'
        return functional.conv2d(x, state[f'{name}.weight'], state.get(f'{name}.bias'), **options)

    def grown(x: Tensor, size: tuple[int, ...]) -> Tensor:
        return functional.interpolate(x, size, mode='bilinear', align_corners=True)

    def residual(x: Tensor, name: str) -> Tensor:
        inner = conv(functional.relu(x), f'{name}.conv1', padding=1)
        return x + conv(functional.relu(inner), f'{name}.conv2', padding=1)

    patches = functional.conv2d(
        image,
        state['pretrained.patch_embed.proj.weight'],
        state['pretrained.patch_embed.proj.bias'],
        stride=14,
    )
    side = patches.shape[-1]
    x = torch.cat([state['pretrained.cls_token'], patches.flatten(2).transpose(1, 2)], 1)
    x = x + state['pretrained.pos_embed']
    depth = len({name.split('.')[2] for name in state if name.startswith('pretrained.blocks')})
    after = []
    for index in range(depth):
        block = f'pretrained.blocks.{index}'
        qkv = linear(norm(x, f'{block}.norm1'), f'{block}.attn.qkv')
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1)
        )
        likeness = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        attended = (likeness @ v).transpose(1, 2).flatten(2)
        x = x + linear(attended, f'{block}.attn.proj') * state[f'{block}.ls1.gamma']
        hidden = functional.gelu(linear(norm(x, f'{block}.norm2'), f'{block}.mlp.fc1'))
        x = x + linear(hidden, f'{block}.mlp.fc2') * state[f'{block}.ls2.gamma']
        after.append(norm(x, 'pretrained.norm')[:, 1:])
    levels = []
    for index, tokens in enumerate(after[-4:]):
        level = conv(tokens.transpose(1, 2).unflatten(2, (side, side)), f'projects.{index}')
        name = f'depth_head.resize_layers.{index}'
        if index < 2:
            level = functional.conv_transpose2d(
                level, state[f'{name}.weight'], state[f'{name}.bias'], stride=4 // 2**index
            )
        elif index == 3:
            level = conv(level, f'resize_layers.{index}', stride=2, padding=1)
        levels.append(conv(level, f'scratch.layer{index + 1}_rn', padding=1))
    path: Tensor | None = None
    for index in (4, 3, 2, 1):
        name = f'scratch.refinenet{index}'
        level = levels[index - 1]
        path = level if path is None else path + residual(level, f'{name}.resConfUnit1')
        path = residual(path, f'{name}.resConfUnit2')
        size = levels[index - 2].shape[-2:] if index > 1 else [2 * n for n in path.shape[-2:]]
        path = conv(grown(path, tuple(size)), f'{name}.out_conv')
    assert path is not None
    path = grown(conv(path, 'scratch.output_conv1', padding=1), image.shape[-2:])
    path = functional.relu(conv(path, 'scratch.output_conv2.0', padding=1))
    return functional.relu(conv(path, 'scratch.output_conv2.2'))[:, 0]


def test_v1_by_its_card_is_the_published_network(tmp_path: Path) -> None:
    saved = random_network(VARIANTS['demo'])
    for module in saved.depth_head.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.save(saved.state_dict(), tmp_path / 'v1.pth')
    text = 'family: depth_anything_v1\nvariant: demo\noutput: relative_inverse_depth\n'
    network = network_of(find('vits', RELATIVE, str(_card(tmp_path, text, 'v1.yaml'))))
    image = torch.randn(1, 3, 518, 518, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        network, saved, image = network.double(), saved.double(), image.double()
        found, other = network(image), saved(image)
        expected = _published_v1(saved.state_dict(), image, VARIANTS['demo'].num_heads)
    spread = float(expected.std())
    difference = float((found - expected).abs().max()) / spread
    print(f'V1: largest difference {difference:.1e} of the spread')
    assert spread > 0 and difference < 1e-9
    # V2 reads other blocks of the same file.
    assert float((other - expected).abs().max()) / spread > 0.01
