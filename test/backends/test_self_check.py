"""The self-check: what agrees runs, what does not steps aside and says why."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from depth_anything_ros.backends import self_check
from depth_anything_ros.backends.base import BackendSettings, DepthBackend
from depth_anything_ros.backends.loading import candidates, load_backend
from depth_anything_ros.backends.registry import BACKENDS, ChosenBackend, Implementation
from depth_anything_ros.backends.self_check import (
    Candidate,
    cached_float32_output,
    disagreement,
    first_accepted,
    float32_output,
    photograph,
)
from depth_anything_ros.backends.torch import TorchBackend
from depth_anything_ros.core.errors import BackendError, SettingError, WeightsError
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find
from lab.world.world import World

Change = Callable[[FloatImage], FloatImage]


class Changed:
    """The torch backend with its output changed."""

    def __init__(self, settings: BackendSettings, change: Change) -> None:
        self._inner = TorchBackend(settings)
        self._change = change
        self.info = replace(self._inner.info, name='fast')
        self.input_size = self._inner.input_size
        self.closed = False

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        return self._change(self._inner.infer(bgr, times))

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        return [self.infer(image, times) for image in images]

    def close(self) -> None:
        self.closed = True
        self._inner.close()


@pytest.fixture(scope='module')
def settings() -> BackendSettings:
    return BackendSettings(find('demo', Checkpoint.RELATIVE), 'cpu', 'fp32', 126, 1)


@pytest.fixture(scope='module')
def reference(settings: BackendSettings) -> FloatImage:
    return float32_output(settings)


def _with_nan(x: FloatImage) -> FloatImage:
    x[0, 0] = np.nan
    return x


BROKEN: dict[str, tuple[Change, str]] = {
    'scaled': (lambda x: 1.12 * x, r'disagrees with float32 by 1\d % .* half .*\(limit 0\.3 %\)'),
    'upside down': (lambda x: x.max() - x, 'half of the pixels'),
    'negative': (lambda x: -x, 'half of the pixels'),
    'not finite': (_with_nan, 'not finite'),
    'constant': (np.zeros_like, 'half of the pixels'),
    'wrong in a corner': (
        lambda x: np.where(np.indices(x.shape).sum(0) < 120, 0, x),
        r'1 % of .*limit 2 %',
    ),
    'another size': (lambda x: x[1:], 'not of the size'),
}


def test_the_photograph_is_what_the_simulated_robot_sees() -> None:
    picture, _ = World('room').picture(2.0)
    assert photograph().shape == picture.shape
    # JPEG of quality 85 is within a few grey levels.
    assert np.abs(photograph().astype(int) - picture).mean() < 4


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_what_works_is_accepted(
    settings: BackendSettings, reference: FloatImage, precision: str
) -> None:
    assert disagreement(TorchBackend(replace(settings, precision=precision)), reference) == ''


def test_random_weights_pass_in_bfloat16() -> None:
    weights = find('vits', Checkpoint.RELATIVE, 'random')
    random = BackendSettings(weights, 'cpu', 'bf16', 126, 1)
    assert disagreement(TorchBackend(random), float32_output(random)) == ''


@pytest.mark.parametrize('how', BROKEN)
def test_what_is_broken_is_refused_and_named(
    settings: BackendSettings, reference: FloatImage, how: str
) -> None:
    change, said = BROKEN[how]
    broken = Changed(settings, change)
    listed = [
        Candidate('fast fp32', lambda: broken),
        Candidate('plain', lambda: TorchBackend(settings, plain=True)),
    ]
    backend, (notice,) = first_accepted(listed, lambda: reference)
    assert isinstance(backend, TorchBackend) and broken.closed
    assert notice.startswith('fast fp32 ') and notice.endswith(': plain runs instead')
    assert re.search(said, notice), notice


def test_noise_around_a_large_value_is_refused() -> None:
    weights = find('vits', Checkpoint.RELATIVE, 'random')
    random = BackendSettings(weights, 'cpu', 'fp32', 126, 1)
    # So flat that median and percentile pass whatever lies within it.
    varied = float32_output(random)
    reference = varied.mean() + 0.02 * (varied - varied.mean())
    noise = np.random.default_rng(0).normal(reference.mean(), 1e-4, reference.shape)
    found = disagreement(Changed(random, lambda _: noise.astype(np.float32)), reference)
    assert re.match(r'correlates with float32 by -?0\.0\d\d ', found), found


@pytest.mark.parametrize(
    'error',
    [ImportError('libfast.so: no such file'), RuntimeError('bad\nlong')],
)
def test_what_cannot_start_steps_aside(
    settings: BackendSettings, reference: FloatImage, error: Exception
) -> None:
    def failing() -> DepthBackend:
        raise error

    listed = [
        Candidate('fast bf16', failing),
        Candidate('torch fp32', lambda: TorchBackend(settings)),
        Candidate('never', failing),
    ]
    backend, notices = first_accepted(listed, lambda: reference)
    assert backend.info.name == 'torch'
    first = str(error).splitlines()[0]
    assert notices == (
        f'fast bf16 fails ({type(error).__name__}: {first}): torch fp32 runs instead',
    )


def test_what_fails_on_the_photograph_is_closed(
    settings: BackendSettings, reference: FloatImage
) -> None:
    def failing(_: FloatImage) -> FloatImage:
        raise RuntimeError('kernel')

    broken = Changed(settings, failing)
    listed = [Candidate('fast', lambda: broken), Candidate('safe', lambda: TorchBackend(settings))]
    _, notices = first_accepted(listed, lambda: reference)
    assert broken.closed and 'fast fp32 fails (RuntimeError: kernel)' in notices[0]


@pytest.mark.parametrize('error', [SettingError, WeightsError, BackendError])
def test_what_no_other_candidate_would_fix_is_raised(
    settings: BackendSettings, reference: FloatImage, error: type[Exception]
) -> None:
    def failing(_: FloatImage) -> FloatImage:
        raise error('as asked')

    broken = Changed(settings, failing)
    listed = [Candidate('fast', lambda: broken), Candidate('safe', lambda: TorchBackend(settings))]
    with pytest.raises(error, match='as asked'):
        first_accepted(listed, lambda: reference)
    assert broken.closed


def test_a_single_candidate_costs_no_reference(settings: BackendSettings) -> None:
    def never() -> FloatImage:
        raise AssertionError

    backend, notices = first_accepted([Candidate('plain', lambda: TorchBackend(settings))], never)
    assert backend.info.name == 'torch' and notices == ()


def test_the_candidates_go_from_what_is_asked_for_to_plain_float32(
    settings: BackendSettings, reference: FloatImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fast(wanted: BackendSettings) -> DepthBackend:
        asked.append(wanted.precision)
        bad = wanted.precision == 'auto'
        return Changed(replace(wanted, precision='fp32'), lambda x: 2 * x if bad else x)

    monkeypatch.setitem(BACKENDS, 'fast', Implementation(fast))
    listed = candidates(ChosenBackend('fast', replace(settings, precision='auto')))
    assert [each.title for each in listed] == ['fast auto', 'fast fp32', 'plain torch fp32']
    backend, notices = first_accepted(listed, lambda: reference)
    assert asked == ['auto', 'fp32'] and backend.info.name == 'fast' and len(notices) == 1
    assert len(candidates(ChosenBackend('torch', settings))) == 2


def test_plain_float32_takes_nothing_that_makes_it_faster(
    settings: BackendSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tuned(*_: object) -> None:
        raise AssertionError('tuned')

    monkeypatch.setattr('depth_anything_ros.backends.torch.tune_for_cpu', tuned)
    plain = candidates(ChosenBackend('torch', settings))[-1].create()
    assert plain.info.precision == 'fp32'
    with pytest.raises(AssertionError, match='tuned'):
        TorchBackend(settings)


def test_torch_is_imported_only_for_the_reference() -> None:
    code = (
        'import sys; import depth_anything_ros.backends.self_check as s; s.photograph();'
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_the_reference_is_kept_for_the_next_start(
    settings: BackendSettings,
    reference: FloatImage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    made = cached_float32_output(settings)
    assert np.array_equal(made, reference)
    (kept,) = (tmp_path / 'depth_anything_ros' / 'references').iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(self_check, 'float32_output', lambda _: pytest.fail('made again'))
        assert np.array_equal(cached_float32_output(settings), reference)
    good = kept.read_bytes()
    huge = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1048576, 1048576), }"
    deep = b'(' * 9000
    small = BytesIO()
    np.save(small, np.ones((4, 4), np.float32))
    heads = [b'\x93NUMPY\1\0' + len(head).to_bytes(2, 'little') + head for head in (huge, deep)]
    for bad in (good[:1000], *heads, b'', small.getvalue()):
        kept.write_bytes(bad)
        assert np.array_equal(cached_float32_output(settings), reference)
        assert kept.read_bytes() == good
    assert [*kept.parent.iterdir()] == [kept]
    other = replace(settings, weights=find('demo', Checkpoint.RELATIVE, 'random'))
    assert not np.array_equal(cached_float32_output(other), reference)


def test_without_room_for_it_the_reference_is_made_each_time(
    settings: BackendSettings,
    reference: FloatImage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / 'depth_anything_ros').write_text('no folder')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert np.array_equal(cached_float32_output(settings), reference)


def test_without_torch_a_network_runs_unchecked_and_says_so(settings: BackendSettings) -> None:
    def no_torch() -> FloatImage:
        raise ModuleNotFoundError(name='torch')

    listed = [Candidate('fast', lambda: TorchBackend(settings)), Candidate('never', pytest.fail)]
    backend, notices = first_accepted(listed, no_torch)
    assert notices == ('torch fp32 was not compared with float32, which takes torch',)
    assert np.isfinite(backend.infer(photograph())).all()


def test_a_broken_export_is_found_and_the_node_told(
    settings: BackendSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Implementation(lambda _: Changed(settings, lambda x: 2 * x))
    monkeypatch.setitem(BACKENDS, 'openvino', wrong)
    backend = load_backend(parameters_from_flat({'variant': 'demo', 'backend': 'openvino'}))
    assert backend.info.name == 'torch' and backend.info.precision == 'fp32'
    assert len(backend.info.notices) == 2
    assert all('disagrees with float32' in notice for notice in backend.info.notices)
    assert backend.info.notices[0].endswith('plain torch fp32 runs instead')
