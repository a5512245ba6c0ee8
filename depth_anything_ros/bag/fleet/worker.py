"""A worker of a fleet: it keeps one network, and processes one bag after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import depth_anything_ros
from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.bag.compare import compare_bags
from depth_anything_ros.bag.fleet.places import FleetBag, fetched, is_there, output_folder
from depth_anything_ros.bag.jobs import attempt
from depth_anything_ros.bag.plan import ProcessOptions
from depth_anything_ros.bag.process import plan_bag, process_bag
from depth_anything_ros.bag.summary import BagState, BagSummary
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.parameters import Parameters

__all__ = ['BagWorker', 'FleetResult']


@dataclass(frozen=True)
class FleetResult:
    """What became of a bag; `seconds` with its transfers, 0 where it was not processed.

    `differences` are the failures of its comparison.
    """

    bag: FleetBag
    summary: BagSummary
    seconds: float = 0.0
    differences: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the bag is finished, and as good as the one that it was compared with."""
        return self.summary.good and not self.differences


class BagWorker:
    """Lives in a process of Ray, on any machine of a cluster."""

    def __init__(
        self, parameters: Parameters, options: ProcessOptions, good_bags: str = ''
    ) -> None:
        """Compare each output with the bag of its name in the folder `good_bags`, if given."""
        self._parameters, self._options, self._good_bags = parameters, options, good_bags
        self._backend: DepthBackend | None = None
        self._why_stop = ''
        # Of what is processed: where it lies for now, and what the user calls that.
        self._places: dict[str, str] = {}
        self._differences: tuple[str, ...] = ()

    def version(self) -> str:
        """Return the version of this package where the worker runs."""
        return depth_anything_ros.__version__

    def stop(self, why: str) -> None:
        """Stop after the image at hand; called beside `process`."""
        self._why_stop = why

    def process(self, bag: FleetBag) -> FleetResult:
        """Process a bag unless its output is there; whatever goes wrong is in the summary."""
        started_s = time.monotonic()
        self._differences = ()
        summary = attempt(Path(bag.source), lambda: self._process(bag))
        why = summary.why
        for copy, place in self._places.items():
            why = why.replace(copy, place)
        summary = replace(summary, bag=Path(bag.source), why=why)
        return FleetResult(bag, summary, time.monotonic() - started_s, self._differences)

    def _process(self, bag: FleetBag) -> BagSummary:
        if is_there(bag):
            return BagSummary(Path(bag.source), None, BagState.WAS_THERE)
        if self._why_stop:
            why = f'stopped by {self._why_stop} before it began'
            return BagSummary(Path(bag.source), None, BagState.STOPPED, why=why)
        with fetched(bag) as source, output_folder(bag) as out:
            self._places = {str(out): bag.out, str(source): bag.source}
            plan = plan_bag(source, out, self._parameters, self._options)
            assert plan is not None
            if self._backend is None:
                fetch_weights(self._parameters)
                self._backend = load_backend(self._parameters)
            summary = process_bag(
                plan, self._backend, self._parameters, stop=lambda: self._why_stop
            )
            if self._good_bags and summary.good:
                self._differences = self._compare(bag, out)
            return summary

    def _compare(self, bag: FleetBag, out: Path) -> tuple[str, ...]:
        good = replace(bag, source=f'{self._good_bags.rstrip("/")}/{bag.name}')
        try:
            with fetched(good) as path:
                return tuple(map(str, compare_bags(path, out).failures))
        except DepthAnythingError as err:
            return (f'not compared: {err}',)
