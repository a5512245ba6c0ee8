"""Depth against the truth, by pairs that the laboratory writes."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest
from in_study import study

from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.studies.accuracy.dataset import open_dataset
from depth_anything_ros.studies.accuracy.judge import aligned_depth, judge
from depth_anything_ros.studies.accuracy.looks import colored
from depth_anything_ros.studies.accuracy.methods import (
    METRIC,
    Passes,
    alone,
    average,
    ensembles,
    evaluate,
    more_looks,
)
from depth_anything_ros.studies.accuracy.page import answer
from depth_anything_ros.studies.inputs import subjects_of
from depth_anything_ros.studies.parts import Parts
from lab.depth_pairs import write_pairs

TRUTH_M = np.where(np.arange(160) < 90, 2.0, 5.0)[None] + np.linspace(0, 1, 120)[:, None]
TRUTH_M = TRUTH_M.astype(np.float32)


@pytest.fixture(scope='module')
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('accuracy') / 'pairs'
    assert write_pairs(folder, 2, photograph=True) == 3
    return folder


def test_the_truth_up_to_scale_and_shift_is_perfect() -> None:
    scores = judge(3.0 / TRUTH_M + 7.0, TRUTH_M, 10.0)
    assert scores['AbsRel'] < 1e-4 and scores['delta1'] == 1.0
    assert scores['edge'] == scores['ordinal'] == 1.0
    unknown = TRUTH_M.copy()
    unknown[:, ::2] = np.nan
    assert judge(3.0 / TRUTH_M + 7.0, unknown, 10.0)['AbsRel'] < 1e-4


def test_metres_are_judged_as_they_are() -> None:
    wrong = judge(1.0 / (1.1 * TRUTH_M), TRUTH_M, 10.0, is_metric=True)
    assert wrong['AbsRel'] == pytest.approx(0.1, abs=1e-4) and wrong['ordinal'] == 1.0
    assert judge(1.0 / (1.1 * TRUTH_M), TRUTH_M, 10.0)['AbsRel'] < 1e-4


def test_upside_down_has_the_order_wrong_and_a_blur_loses_edges() -> None:
    assert judge(-1.0 / TRUTH_M, TRUTH_M, 10.0)['ordinal'] == 0.0
    blurred = cv2.GaussianBlur(1.0 / TRUTH_M, (0, 0), 20.0)
    assert judge(blurred, TRUTH_M, 10.0)['edge'] < 0.1
    depth_m = aligned_depth(-1.0 / TRUTH_M, TRUTH_M, 4.0)
    assert depth_m.max() <= 4.0


def test_pairs_of_the_laboratory_and_of_16_bits(pairs: Path, tmp_path: Path) -> None:
    dataset = open_dataset(pairs)
    assert list(dataset.pairs) == ['motorcycle', 'scene_0000', 'scene_0001']
    bgr, depth_m = dataset.read('motorcycle')
    assert bgr.shape == (500, 741, 3) and 1.5 < np.nanmin(depth_m) < np.nanmax(depth_m) < 10
    for name in ('image', 'depth'):
        (tmp_path / name).mkdir()
    levels = np.where(TRUTH_M > 5, 0, TRUTH_M * 256).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'depth' / 'a.png'), levels)
    cv2.imwrite(str(tmp_path / 'image' / 'a.jpg'), np.zeros((120, 160, 3), np.uint8))
    _, depth_m = open_dataset(tmp_path, 'kitti').read('a')
    assert np.array_equal(np.isnan(depth_m), levels == 0)
    assert np.nanmin(depth_m) == pytest.approx(2.0)


def test_what_a_dataset_lacks_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match='has the folders image and depth'):
        open_dataset(tmp_path)
    for name in ('image', 'depth'):
        (tmp_path / name).mkdir()
    with pytest.raises(SettingError, match='has 0 images and 0 depths'):
        open_dataset(tmp_path, 'nyu')
    cv2.imwrite(str(tmp_path / 'image' / 'a.png'), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(SettingError, match='has 1 images and 0 depths, and no pair'):
        open_dataset(tmp_path, 'nyu')
    np.save(tmp_path / 'depth' / 'a.npy', np.zeros((4, 4)))
    with pytest.raises(SettingError, match=r'dataset.json states no scale .* "metres_per_level"'):
        open_dataset(tmp_path)
    with pytest.raises(SettingError, match='no depth between 0 and 10 m'):
        open_dataset(tmp_path, 'nyu').read('a')
    np.save(tmp_path / 'depth' / 'a.npy', np.ones((4, 5)))
    with pytest.raises(SettingError, match=r'a\.npy is 5x4 and its image 4x4'):
        open_dataset(tmp_path, 'nyu').read('a')
    promise = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}\n"
    header = b'\x93NUMPY\x01\x00' + len(promise).to_bytes(2, 'little') + promise.encode()
    for content in (header, b''):
        (tmp_path / 'depth' / 'a.npy').write_bytes(content)
        with pytest.raises(SettingError, match=r'a\.npy is not an NPY file'):
            open_dataset(tmp_path, 'nyu').read('a')
    for text in ('{"name": "x", "metres_per_level": 0}', '[' * 100_000):
        (tmp_path / 'dataset.json').write_text(text)
        with pytest.raises(SettingError, match='states no scale'):
            open_dataset(tmp_path)


def test_the_mean_is_of_what_is_aligned() -> None:
    inverse = 1.0 / TRUTH_M
    assert np.allclose(average([40 * inverse + 3, inverse]), inverse, atol=1e-5)
    # What is upside down counts as its mean alone.
    flat = average([-inverse, inverse])
    assert np.allclose(flat - flat.mean(), (inverse - inverse.mean()) / 2, atol=1e-5)


def test_a_pass_that_two_methods_need_runs_once() -> None:
    (demo,) = subjects_of(['demo'], '', 518)
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    with ExitStack() as stack:
        passes = Passes(stack)
        passes.start_image(image)
        plain = passes.depth(demo)
        assert passes.depth(demo) is plain
        mirrored = passes.depth(demo, flipped=True)
        assert not np.array_equal(mirrored, plain)
        passes.start_image(np.ascontiguousarray(image[:, ::-1]))
        assert np.allclose(passes.depth(demo)[:, ::-1], mirrored, atol=1e-3)


def test_a_method_costs_its_passes_whoever_ran_them_and_its_own_work() -> None:
    (demo,) = subjects_of(['demo'], '', 518)
    with ExitStack() as stack:
        passes = Passes(stack)
        passes.start_image(np.zeros((120, 160, 3), np.uint8))
        _, first_ms = passes.timed(lambda each: each.depth(demo))
        _, again_ms = passes.timed(lambda each: each.depth(demo))
        assert again_ms == pytest.approx(first_ms, abs=0.5)
        own_s = 0.02

        def slow(each: Passes) -> np.ndarray:
            end_s = time.perf_counter() + own_s
            while time.perf_counter() < end_s:
                pass
            return each.depth(demo)

        assert passes.timed(slow)[1] >= first_ms + own_s * 1e3 - 0.5


def test_methods_by_their_names() -> None:
    small, base, large = subjects_of(['vits', 'vitb', 'vitl'], 'random', 518)
    assert len(ensembles([small, base, large])) == 3 + 3 + 1
    looks = more_looks(small, [252])
    assert 'vits (random weights), mean of 392, 518, 644' in looks and len(looks) == 5
    metric = subjects_of(['vits'], 'random', 518, Checkpoint.METRIC_INDOOR)
    assert [title.endswith(METRIC) for title in alone(metric)] == [True, False]


def test_the_demo_beats_a_random_network_and_resumes(pairs: Path, tmp_path: Path) -> None:
    dataset = open_dataset(pairs, most=2)
    demo, random = (subjects_of(['demo'], weights, 126)[0] for weights in ('', 'random'))
    both = [demo, random]
    found, judged, left_out, tiles = evaluate(
        dataset, alone(both), both, Parts(tmp_path, resume=False)
    )
    assert judged == list(tiles) == list(dataset.pairs) and not left_out
    assert list(tiles[judged[0]]) == ['image', 'true depth', *found]
    assert found['demo']['AbsRel'] < found['demo (random weights)']['AbsRel']

    def never(passes: Passes) -> np.ndarray:
        raise AssertionError('resumed')

    again = dict.fromkeys(found, never)
    resumed = evaluate(dataset, again, both, Parts(tmp_path, resume=True))
    assert resumed.figures == found
    assert np.array_equal(resumed.tiles[judged[0]]['demo'], tiles[judged[0]]['demo'])


def test_true_depth_that_is_not_known_is_black() -> None:
    half = np.where(np.arange(160) < 80, np.nan, 1.0 / TRUTH_M).astype(np.float32)
    drawn = colored(half)
    assert not drawn[:, :80].any() and drawn[:, 80:].any(axis=2).all()
    assert not colored(np.full_like(half, np.nan)).any()


def test_the_open_question_is_answered_by_trained_weights_only() -> None:
    found = {'vits': {'AbsRel': 0.06, 'ms': 1.0}, 'vitb': {'AbsRel': 0.05, 'ms': 3.0}}
    found |= {'vitl': {'AbsRel': 0.04, 'ms': 10.0}, 'vits + vitl': {'AbsRel': 0.045, 'ms': 11.0}}
    (text,) = answer(found).blocks
    assert 'beats Base' in text.text and '3.7 times the time' in text.text
    random = {f'{title} (random weights)': one for title, one in found.items()}
    (text,) = answer(random).blocks
    assert text.text.startswith('Not answered')


@pytest.mark.parametrize('verb', ['accuracy', 'ensemble', 'tta'])
def test_pages(verb: str, pairs: Path, tmp_path: Path) -> None:
    words = ['--variant', 'demo', '--images', '1']
    if verb == 'ensemble':
        with pytest.raises(SettingError, match='takes two networks'):
            study(verb, pairs, tmp_path, *words)
        words += ['--input-size', '70']
        words[1] = 'demo,vits'
    assert study(verb, pairs, tmp_path, *words) == 0
    content = json.loads((tmp_path / 'report.json').read_text())
    tables = [one for section in content['sections'] for one in section['blocks'] if 'rows' in one]
    titles = [row[0] for row in tables[0]['rows'][1:]]
    expected = {
        'accuracy': ['demo'],
        'ensemble': ['demo', 'vits (random weights)', 'demo + vits (random weights)'],
        'tta': ['demo at 126', 'demo and mirrored', 'demo, bilateral filter'],
    }
    assert titles == expected[verb]
    assert all(row[1] > 0 for row in tables[0]['rows'][1:])
    assert [path.suffix for path in (tmp_path / 'pairs').iterdir()] == ['.png']


def test_a_pair_that_is_broken_is_named_and_the_rest_is_judged(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pairs, tmp_path / 'pairs')
    (tmp_path / 'pairs' / 'image' / 'motorcycle.png').write_bytes(b'not a picture')
    (tmp_path / 'pairs' / 'depth' / 'scene_0000.npy').unlink()
    assert study('accuracy', tmp_path / 'pairs', tmp_path, '--variant', 'demo') == 1
    said = capsys.readouterr().err
    assert 'left out: ' in said and 'motorcycle.png cannot be decoded' in said
    assert 'scene_0000.png has no partner' in said
    page = (tmp_path / 'report.md').read_text()
    assert '- images: 1: scene_0001\n' in page and '- left out: 2: ' in page
    (tmp_path / 'pairs' / 'depth' / 'scene_0001.npy').write_bytes(b'')
    with pytest.raises(SettingError, match=r'scene_0001\.npy is not an NPY file'):
        study('accuracy', tmp_path / 'pairs', tmp_path, '--variant', 'demo')


def test_published_figures_stand_beside_ours(pairs: Path, tmp_path: Path) -> None:
    shutil.copytree(pairs, tmp_path / 'kitti')
    for path in (tmp_path / 'kitti' / 'depth').iterdir():
        np.save(path, np.load(path) * 256)
    words = ['--variant', 'demo', '--images', '1', '--like', 'kitti']
    assert study('accuracy', tmp_path / 'kitti', tmp_path, *words) == 0
    assert 'table 2' in (tmp_path / 'report.md').read_text()
