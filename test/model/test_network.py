"""The network itself: its size, its caches, its exports."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.model.network import DepthAnythingV2, random_network
from depth_anything_ros.model.network.cpu import tune_for_cpu
from depth_anything_ros.model.variants import VARIANTS, Variant

TINY = Variant('tiny', 48, 4, 3, (0, 1, 2, 3), 16, (8, 12, 16, 24))
TINY_SWIGLU = Variant('tiny', 48, 4, 3, (0, 1, 2, 3), 16, (8, 12, 16, 24), swiglu=True)


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 56, 84, generator=torch.Generator().manual_seed(0))


def _on_meta(name: str) -> DepthAnythingV2:
    with torch.device('meta'):
        return DepthAnythingV2(VARIANTS[name])


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ('name', 'count'),
    [('vits', 24_785_089), ('vitb', 97_470_785), ('vitl', 335_315_649)],  # facts.md
)
def test_the_parameters_are_as_many_as_published(name: str, count: int) -> None:
    assert _count(_on_meta(name)) == count


def test_vitg_has_the_announced_size_and_runs_on_shapes() -> None:
    network = _on_meta('vitg')
    assert 1.2e9 < _count(network) < 1.4e9  # announced as 1.3 B
    assert network(torch.empty(1, 3, 28, 42, device='meta')).shape == (1, 28, 42)


def test_35_convolutions_exist_and_33_run(image: Tensor) -> None:
    network = random_network(TINY)
    ran = []
    convolutions = [
        module
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    for module in convolutions:
        module.register_forward_hook(lambda module, *_: ran.append(module))
    network(image)
    assert (len(convolutions), len(ran)) == (35, 33)  # facts.md


def test_random_weights_are_the_same_each_time_and_give_an_answer(image: Tensor) -> None:
    state = torch.random.get_rng_state()
    first, second = random_network(TINY), random_network(TINY)
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch.inference_mode():
        answer = first(image)
        assert torch.equal(answer, second(image))
    assert answer.shape == (2, 56, 84) and answer.min() > 0
    assert answer.max() - answer.min() > 1e-6


def test_the_relative_network_gives_no_negative_value(image: Tensor) -> None:
    network = random_network(TINY)
    nn.init.constant_(network.depth_head.scratch.output_conv2[-1].bias, -10.0)
    with torch.inference_mode():
        assert (network(image) == 0).all()


@pytest.mark.parametrize('max_depth_m', [20.0, 80.0])
def test_the_metric_network_stays_below_its_depth(image: Tensor, max_depth_m: float) -> None:
    network = random_network(TINY, max_depth_m)
    relative = random_network(TINY)
    with torch.inference_mode():
        answer = network(image)
        # The random network's last ReLU passes everything: it can be undone.
        torch.testing.assert_close(answer, relative(image).sigmoid() * max_depth_m)
    assert answer.min() > 0 and answer.max() < max_depth_m


def test_positions_are_kept_per_shape_and_follow_the_weights(image: Tensor) -> None:
    network = random_network(TINY)
    transformer = network.pretrained
    with torch.inference_mode():
        wide, tall = transformer.positions(4, 6), transformer.positions(6, 4)
        assert wide.shape == tall.shape == (1, 25, 48)
        assert not torch.equal(wide, tall)
        assert transformer.positions(4, 6) is wide
        before = network(image)
    state = network.state_dict()
    assert not any('position' in name and name != 'pretrained.pos_embed' for name in state)
    network.load_state_dict({name: 2 * value for name, value in state.items()})
    with torch.inference_mode():
        torch.testing.assert_close(transformer.positions(4, 6), 2 * wide)
        assert not torch.allclose(network(image), before)


def test_positions_follow_a_change_of_type_and_device() -> None:
    transformer = random_network(TINY).pretrained
    with torch.inference_mode():
        transformer.positions(4, 6)
        transformer.to(torch.bfloat16)
        assert transformer.positions(4, 6).dtype == torch.bfloat16
        transformer.to('meta')
        assert transformer.positions(4, 6).device.type == 'meta'


def test_only_some_shapes_are_kept() -> None:
    transformer = random_network(TINY).pretrained
    with torch.inference_mode():
        first = transformer.positions(1, 1)
        for columns in range(2, 20):
            transformer.positions(1, columns)
        assert transformer.positions(1, 1) is not first


def test_training_reaches_the_position_embedding(image: Tensor) -> None:
    network = random_network(TINY)
    with torch.inference_mode():
        network(image)
    network.train()
    network(image).sum().backward()
    gradient = network.pretrained.pos_embed.grad
    assert gradient is not None and gradient.abs().sum() > 0


def test_a_side_that_is_no_multiple_of_14_is_refused() -> None:
    with pytest.raises(SettingError, match='57x56'):
        random_network(TINY)(torch.zeros(1, 3, 56, 57))


@pytest.mark.parametrize('variant', [TINY, TINY_SWIGLU], ids=['mlp', 'swiglu'])
def test_the_network_exports(image: Tensor, variant: Variant) -> None:
    network = random_network(variant).requires_grad_(False)
    with torch.inference_mode():
        expected = network(image)
    exported = torch.export.export(network, (image,), strict=False)
    with torch.inference_mode():
        torch.testing.assert_close(exported.module()(image), expected)
        # Exporting leaves the network as it was.
        torch.testing.assert_close(network(image), expected)


def test_the_network_has_no_hidden_synchronisation() -> None:
    # On the meta device reading a value raises, as it would stall a GPU.
    network = random_network(TINY).to('meta')
    with torch.inference_mode():
        for _ in range(2):
            assert network(torch.empty(1, 3, 56, 84, device='meta')).device.type == 'meta'


@pytest.mark.parametrize('variant', [TINY, TINY_SWIGLU], ids=['mlp', 'swiglu'])
@pytest.mark.parametrize('onednn', [True, False])
def test_tuning_for_the_cpu_changes_nothing(
    image: Tensor, variant: Variant, onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, tuned = _with_layer_scales(variant), _with_layer_scales(variant)
    if not onednn:
        monkeypatch.setattr(torch.backends.mkl, 'is_available', lambda: False)
    tune_for_cpu(tuned)
    with torch.inference_mode():
        expected = network(image)
        spread = expected.max() - expected.min()
        assert (tuned(image) - expected).abs().max() < 1e-4 * spread


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures('two_threads')
@pytest.mark.parametrize('side', [14, 154, 266])
def test_tokens_are_shared_out_without_a_rest(side: int) -> None:
    # 2 tokens are one part, 122 are one, and 362 are cut unevenly; each image by itself.
    image = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0))
    network, tuned = _with_layer_scales(TINY), _with_layer_scales(TINY)
    tune_for_cpu(tuned)
    with torch.inference_mode():
        expected = network.pretrained(image)
        for found, wanted in zip(tuned.pretrained(image), expected, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures('two_threads')
def test_the_threads_of_a_tuned_network_end_with_it(image: Tensor) -> None:
    before = set(threading.enumerate())
    network = random_network(TINY)
    tune_for_cpu(network)
    ours = set(threading.enumerate()) - before
    assert len(ours) == 2 == torch.get_num_threads()
    with torch.inference_mode():
        network(image)
    del network
    gc.collect()
    for thread in ours:
        thread.join(10.0)
        assert not thread.is_alive()


def test_tuning_works_in_bfloat16(image: Tensor) -> None:
    network = _with_layer_scales(TINY)
    with torch.inference_mode():
        expected = network(image)
        tune_for_cpu(network, torch.bfloat16)
        found = network(image.bfloat16()).float()
    # 8 bits of mantissa on values near 1.
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)


def _with_layer_scales(variant: Variant) -> DepthAnythingV2:
    """Make a random network whose layer scales are not all one."""
    network = random_network(variant).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in network.named_parameters():
        if name.endswith('.gamma'):
            parameter.uniform_(0.2, 1.0, generator=generator)
    return network
