from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.model.network import DepthAnythingV2, random_network
from depth_anything_ros.model.releases import PACKAGED
from depth_anything_ros.model.variants import get_variant
from lab.training import data
from lab.training import evaluate as evaluate_demo
from lab.training import train as train_demo
from lab.training.loss import demo_loss
from lab.training.metrics import aligned_figures, held_out_scores
from lab.training.network import load_demo, predictor, resized_pair, save_demo
from lab.world.scenes import make_scene

# A whole evaluation takes half a minute; these tests only see that it runs.
FEW = ['--images', '2']


@dataclass(frozen=True)
class _SmallBatch(train_demo.Recipe):
    batch: int = 2


@pytest.fixture(autouse=True)
def _few_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_demo, 'Recipe', _SmallBatch)
    monkeypatch.setattr('lab.training.metrics._MEAN_MAP_SCENES', 4)
    monkeypatch.setattr(train_demo, '_PROBES', 4)


def test_loss_does_not_see_the_scale_and_hardly_the_shift() -> None:
    truth = torch.rand(2, 28, 42) + 0.2
    assert float(demo_loss(3.0 * truth, truth)) < 1e-4
    shifted, wrong = float(demo_loss(truth + 0.5, truth)), float(demo_loss(1.4 - truth, truth))
    assert 0.01 < shifted < 0.3 * wrong


def test_loss_has_gradients_even_for_a_flat_output() -> None:
    output = torch.ones(1, 28, 42, requires_grad=True)
    demo_loss(output, torch.rand(1, 28, 42)).backward()
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()


def test_aligned_figures_undo_scale_and_shift_and_leave_the_sky_out() -> None:
    depth = np.random.default_rng(0).uniform(1.0, 30.0, (20, 30)).astype(np.float32)
    inverse_depth = (7.0 / depth + 3.0).astype(np.float32)
    depth[:5] = np.inf
    figures = aligned_figures(inverse_depth, depth)
    assert figures.abs_rel < 1e-5
    assert figures.delta1 == 1.0
    blind = aligned_figures(np.ones_like(depth), depth)
    assert blind.abs_rel > 0.3


def test_samples_alternate_between_families_and_repeat() -> None:
    image, depth = data.draw(0, 123)
    again, _ = data.draw(0, 123)
    road = data.draw(1, 123)[1]
    assert image.shape == (126, 168, 3)
    assert np.array_equal(image, again)
    assert np.isfinite(depth).all()
    assert np.isinf(road).any()


def test_seeds_of_training_held_out_and_sample_scenes_are_disjoint() -> None:
    rooms = [make_scene('room', seed) for seed in (0, data.HELD_OUT_SEED)]
    assert rooms[0].light != rooms[1].light
    # Scenes to judge by, for the mean map and for watching the training are 1 M apart.
    assert data.HELD_OUT_SEED + 3_000_000 < data.TRAINING_SEED


def test_resizing_a_pair_makes_no_new_depths() -> None:
    rgb, maps = torch.rand(1, 3, 126, 168), (torch.rand(1, 126, 168) > 0.5).float()
    small, few = resized_pair(rgb, maps, (98, 126))
    assert small.shape[-2:] == few.shape[-2:] == (98, 126)
    assert set(few.unique().tolist()) == {0.0, 1.0}


def test_weights_are_half_precision_and_named_as_the_network(tmp_path: Path) -> None:
    network = random_network(get_variant('demo'))
    path = tmp_path / 'demo' / 'demo.safetensors'
    save_demo(network.state_dict(), path)
    assert path.stat().st_size <= 4 * 2**20
    assert path.stat().st_mode & 0o044 == 0o044
    with safe_open(path, 'pt') as kept:
        assert set(kept.keys()) == set(DepthAnythingV2(get_variant('demo')).state_dict())
        assert {kept.get_tensor(name).dtype for name in network.state_dict()} == {torch.float16}
    image = np.random.default_rng(0).integers(0, 255, (126, 168, 3)).astype(np.uint8)
    first, second = predictor(network)([image])[0], predictor(load_demo(path))([image])[0]
    assert first.shape == (126, 168)
    assert np.allclose(first, second, atol=2e-2)


def test_missing_weights_say_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r'lab\.training\.train'):
        load_demo(tmp_path / 'none.safetensors')


def test_training_writes_resumes_and_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ['--out', str(tmp_path / 'out'), '--cache', str(tmp_path / 'cache')]
    common += ['--samples', '16', '--judged', '1']
    assert train_demo.main([*common, '--minutes', '0.005']) == 0
    work = tmp_path / 'cache' / 'training'
    first = torch.load(work / 'checkpoint.pt', weights_only=True)['progress']
    assert first['step'] > 0
    # However long the first step took.
    minutes = str(first['spent_s'] / 60.0 + 0.005)
    assert train_demo.main([*common, '--minutes', minutes, '--resume']) == 0
    second = torch.load(work / 'checkpoint.pt', weights_only=True)['progress']
    assert second['step'] > first['step']
    card = (tmp_path / 'out' / 'demo.md').read_text()
    for needed in (
        'not for robots',
        'layout-level',
        '| room |',
        '| road |',
        f'{second["step"]:,} steps',
    ):
        assert needed in card
    capsys.readouterr()
    weights = str(tmp_path / 'out' / 'demo.safetensors')
    assert evaluate_demo.main(['--weights', weights, '--json', *FEW]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert [score['family'] for score in scores] == ['room', 'road']
    assert all(0.0 < score['network']['abs_rel'] < 5.0 for score in scores)
    partial = [path.name for path in (tmp_path / 'cache').iterdir()]
    assert sorted(partial) == ['demo-16-0', 'training']


def test_the_shipped_weights_hold_the_floor_on_held_out_scenes() -> None:
    scores = held_out_scores(predictor(load_demo(PACKAGED['demo'])), 16)
    assert [score.family for score in scores] == ['room', 'road']
    for score in scores:
        assert score.network.abs_rel <= 0.25
        assert score.network.delta1 >= 0.65
        assert score.network.abs_rel <= 0.6 * score.mean_map.abs_rel
