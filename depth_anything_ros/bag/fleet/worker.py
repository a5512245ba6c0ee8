"""A worker of a fleet: it keeps one network, and processes one bag after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import depth_anything_ros
from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.bag.compare import compare_bags
from depth_anything_ros.bag.fleet.places import (
    FleetBag,
    check_there,
    fetched,
    is_there,
    output_folder,
)
from depth_anything_ros.bag.jobs import attempt, not_begun
from depth_anything_ros.bag.plan import ProcessOptions
from depth_anything_ros.bag.process import plan_bag, process_bag
from depth_anything_ros.bag.summary import BagState, BagSummary
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.parameters import Parameters

__all__ = ['BagWorker', 'FleetResult', 'Judge', 'Judgement', 'compared_with']


@dataclass(frozen=True)
class Judgement:
    """Figures of a bag by name, and what in them is bad."""

    figures: Mapping[str, str | float] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


Judge = Callable[[FleetBag, Path, Path, DepthBackend, Parameters], Judgement]
"""Judges a bag, which lies at the first path, and its output at the second."""


@dataclass(frozen=True)
class FleetResult:
    """What became of a bag; `seconds` with its transfers, 0 where no worker took it."""

    bag: FleetBag
    summary: BagSummary
    seconds: float = 0.0
    judgements: tuple[Judgement, ...] = ()

    @property
    def failures(self) -> tuple[str, ...]:
        """What the judges found to be bad."""
        return tuple(text for each in self.judgements for text in each.failures)

    @property
    def good(self) -> bool:
        """Whether the bag is finished and no judge found anything bad."""
        return self.summary.good and not self.failures

    def values(self) -> dict[str, Any]:
        """Return everything, for JSON: a URL is not a Path, and the output has moved."""
        out = self.summary.out
        place = f'{self.bag.out.rpartition("/")[0]}/{out.name}' if out is not None else None
        summary = asdict(self.summary) | {'bag': self.bag.source, 'out': place}
        verdict = {'good': self.good, 'complete': self.summary.complete}
        return asdict(self) | {'summary': summary} | verdict


class BagWorker:
    """Lives in a process of Ray, on any machine of a cluster."""

    def __init__(
        self, parameters: Parameters, options: ProcessOptions, judges: Sequence[Judge] = ()
    ) -> None:
        """Let the `judges` judge each bag that is processed."""
        self._parameters, self._options, self._judges = parameters, options, judges
        self._backend: DepthBackend | None = None
        self._why_stop = ''
        # By what `bag process` says: what the user of a fleet calls that.
        self._places: dict[str, str] = {}
        self._judgements: tuple[Judgement, ...] = ()

    def version(self) -> str:
        """Return the version of this package where the worker runs."""
        return depth_anything_ros.__version__

    def stop(self, why: str) -> None:
        """Stop after the image at hand; called beside `process`."""
        self._why_stop = why

    def process(self, bag: FleetBag) -> FleetResult:
        """Process a bag unless its output is there; whatever goes wrong is in the summary."""
        started_s = time.monotonic()
        self._judgements = ()
        summary = attempt(Path(bag.source), lambda: self._process(bag))
        why = summary.why
        for copy, place in self._places.items():
            why = why.replace(copy, place)
        summary = replace(summary, bag=Path(bag.source), why=why)
        return FleetResult(bag, summary, time.monotonic() - started_s, self._judgements)

    def _process(self, bag: FleetBag) -> BagSummary:
        if is_there(bag):
            notes = ['not judged, as its output was there'] if self._judges else []
            return BagSummary(Path(bag.source), None, BagState.WAS_THERE, notes=notes)
        if self._why_stop:
            return not_begun(Path(bag.source), self._why_stop)
        with output_folder(bag) as out, fetched(bag) as source:
            self._places = {str(out): bag.out, str(source): bag.source, '--resume': 'this command'}
            plan = plan_bag(source, out, self._parameters, self._options)
            assert plan is not None
            if self._backend is None:
                fetch_weights(self._parameters)
                self._backend = load_backend(self._parameters)
            backend = self._backend
            summary = process_bag(plan, backend, self._parameters, stop=lambda: self._why_stop)
            if summary.good:
                self._judgements = tuple(self._judged(bag, source, out, backend))
            return summary

    def _judged(
        self, bag: FleetBag, source: Path, out: Path, backend: DepthBackend
    ) -> Iterator[Judgement]:
        for judge in self._judges:
            try:
                yield judge(bag, source, out, backend, self._parameters)
            except DepthAnythingError as err:
                yield Judgement(failures=(str(err),))


def compared_with(folder: str) -> Judge:
    """Return the judge that compares an output with the bag of its name in `folder`, a place."""

    def judge(
        bag: FleetBag, source: Path, out: Path, backend: DepthBackend, parameters: Parameters
    ) -> Judgement:
        good = replace(bag, source=f'{folder.rstrip("/")}/{bag.name}')
        check_there(good.source)
        with fetched(good) as path:
            found = compare_bags(path, out)
        left_out = (f'left out: {text}' for text in found.left_out)
        failures = *map(str, found.failures), *left_out
        return Judgement({'differences': len(found.failures)}, failures)

    return judge
