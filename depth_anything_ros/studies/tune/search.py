"""Try configurations, fast ones first, and leave out what cannot be the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from depth_anything_ros.studies.bench.configuration import Configuration, Engine, card_of_network
from depth_anything_ros.studies.bench.measure import Bench, BenchPlan
from depth_anything_ros.studies.bench.row import Row
from depth_anything_ros.studies.bench.work import gflop_of_row

__all__ = ['Probe', 'Search', 'Tuning', 'quality']

_FRAMES, _FRAMES_S = 5, 3.0
_CONFIRM_FRAMES, _CONFIRM_S = 30, 15.0
_MOST_CONFIRMED = 3

_KEPT_ENGINES = 3
_KEPT_WITHIN = 1.25
"""An engine this much slower than the fastest one is not the fastest for another size either."""

_CLEARLY_OVER = 1.5
"""A time predicted from the operations may be wrong by less than this factor."""

_MOST_DIFF_PERCENT = 10.0
"""An engine whose output differs more from float32, at the 99th percentile, does not count."""


@dataclass(frozen=True)
class Probe:
    """A configuration that was tried or left out; `note` says why it was, or does not count."""

    configuration: Configuration
    row: Row | None = None
    note: str = ''

    @property
    def p50_ms(self) -> float:
        """Median of its times, infinite where there are none."""
        return self.row.timing.p50_ms if self.row and self.row.timing else float('inf')

    @property
    def p95_ms(self) -> float:
        """95th percentile of its times, infinite where there are none."""
        return self.row.timing.p95_ms if self.row and self.row.timing else float('inf')

    @property
    def counts(self) -> bool:
        """Whether it was timed and may be chosen."""
        return self.row is not None and not self.note


@dataclass(frozen=True)
class Tuning:
    """What was tried, and what was chosen of it: None where nothing keeps the budget."""

    budget_ms: float
    probes: tuple[Probe, ...]
    chosen: Probe | None

    @property
    def fastest(self) -> Probe | None:
        """The fastest of those that count, in or over the budget."""
        return min(self._counted, key=lambda probe: probe.p50_ms, default=None)

    @property
    def pareto(self) -> list[Probe]:
        """Those that no other one beats in both quality and time, best quality first."""
        best: list[Probe] = []
        for probe in sorted(self._counted, key=lambda one: (quality(one), -one.p50_ms))[::-1]:
            if not best or probe.p50_ms < best[-1].p50_ms:
                best.append(probe)
        return best

    @property
    def _counted(self) -> list[Probe]:
        return [probe for probe in self.probes if probe.counts]


def quality(probe: Probe) -> tuple[int, int]:
    """Return what orders configurations by quality: the variant's width, then the input size.

    That is the order of the published accuracies of the variants; how much a size is worth
    depends on the scene, and no figure here says so. An ONNX network comes last.
    """
    asked = probe.configuration
    card = card_of_network(asked.variant, asked.weights)
    return 0 if card.is_onnx else card.architecture.embed_dim, asked.input_size


@dataclass
class Search:
    """One search: images of `size` within `budget_ms`, done after about `seconds`."""

    budget_ms: float
    size: tuple[int, int] = (640, 480)
    seconds: float = 300.0
    on_progress: Callable[[int, int, str], None] = lambda spent_s, total_s, what: None
    _probes: list[Probe] = field(default_factory=list, init=False)
    _rates: dict[Configuration, float] = field(default_factory=dict, init=False)
    _cannot: dict[Engine, str] = field(default_factory=dict, init=False)
    _start_s: float = field(default=0.0, init=False)

    def run(self, configurations: Sequence[Configuration]) -> Tuning:
        """Try `configurations`, at least one; they name every combination."""
        self._start_s = time.monotonic()
        ranked = sorted(configurations, key=lambda one: quality(Probe(one)))
        first = [one for one in ranked if one.variant == ranked[0].variant]
        sizes = sorted({one.input_size for one in first})
        start = [one for one in first if one.input_size == sizes[(len(sizes) - 1) // 2]]
        with Bench(BenchPlan(self.size, _FRAMES, _FRAMES_S, has_peak=False)) as bench:
            engines = self._engines(bench, start)
            self._walk(bench, [one for one in ranked if one not in start], engines)
            chosen = self._chosen(bench)
        return Tuning(self.budget_ms, tuple(self._probes), chosen)

    def _engines(
        self, bench: Bench, configurations: Sequence[Configuration]
    ) -> list[Configuration]:
        """Try every engine on one network; return those worth more time, the fastest first."""
        tried: list[Probe] = []
        for one in configurations:
            note = self._cannot.get(one.engine, '') or self._late()
            tried.append(Probe(one, note=note) if note and tried else self._tried(bench, one))
            if not tried[-1].counts:
                self._cannot[one.engine] = tried[-1].note
        good = sorted((one for one in tried if one.counts), key=lambda one: one.p50_ms)
        kept = [
            one.configuration
            for one in good[:_KEPT_ENGINES]
            if one.p50_ms < _KEPT_WITHIN * good[0].p50_ms
        ]
        self._probes += tried
        return [_engine(one) for one in kept]

    def _walk(
        self,
        bench: Bench,
        configurations: Sequence[Configuration],
        engines: Sequence[Configuration],
    ) -> None:
        """Try engines on ever better networks, each until it is over the budget."""
        bench.plan = replace(bench.plan, has_agreement=False)
        over: set[Configuration] = set()
        for one in configurations:
            line = replace(one, input_size=0)
            if note := self._hopeless(one, engines, line in over):
                self._probes.append(Probe(one, note=note))
                continue
            probe = self._tried(bench, one)
            self._probes.append(probe)
            if probe.p50_ms > self.budget_ms:
                over.add(line)

    def _hopeless(
        self, one: Configuration, engines: Sequence[Configuration], is_over: bool
    ) -> str:
        """Return why a configuration is not worth its time; '' where it is."""
        if note := self._cannot.get(one.engine):
            return note
        if _engine(one) not in engines:
            return 'a faster engine is there'
        if is_over:
            return 'a smaller input is over the budget already'
        gflop, rate = self._gflop(one), self._rates.get(_engine(one))
        if gflop and rate and gflop / rate > _CLEARLY_OVER * self.budget_ms:
            return 'clearly over the budget by its operations'
        return self._late()

    def _late(self) -> str:
        return 'no time was left' if self._spent_s() > self.seconds else ''

    def _spent_s(self) -> float:
        return time.monotonic() - self._start_s

    def _chosen(self, bench: Bench) -> Probe | None:
        """Return the best within the budget, that stays there over more frames."""
        bench.plan = replace(bench.plan, frames=_CONFIRM_FRAMES, seconds=_CONFIRM_S)
        fitting = [one for one in self._probes if one.counts and one.p95_ms <= self.budget_ms]
        fitting.sort(key=lambda one: (*quality(one), -one.p50_ms), reverse=True)
        for probe in fitting[:_MOST_CONFIRMED]:
            again = self._tried(bench, probe.configuration)
            self._probes[self._probes.index(probe)] = again
            if again.counts and again.p95_ms <= self.budget_ms:
                return again
        return None

    def _tried(self, bench: Bench, one: Configuration) -> Probe:
        what = f'{one.variant} {one.input_size} {one.backend} {one.precision}'
        self.on_progress(round(min(self._spent_s(), self.seconds)), round(self.seconds), what)
        row = bench.row(one)
        if row.timing is None:
            return Probe(one, note=row.note)
        if gflop := self._gflop(one):
            self._rates[_engine(one)] = gflop / row.timing.p50_ms
        far = row.agreement and row.agreement.diff_p99_percent > _MOST_DIFF_PERCENT
        return Probe(one, row, 'its output differs from float32 by more than 10 %' if far else '')

    def _gflop(self, one: Configuration) -> float:
        parts = gflop_of_row(one.variant, one.weights, self.size, one.input_size)
        return sum(parts.values())


def _engine(one: Configuration) -> Configuration:
    """Return what is left without the network that it runs."""
    return replace(one, variant='', input_size=0, weights='')
