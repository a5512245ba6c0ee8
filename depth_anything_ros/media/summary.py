"""What a run did, for people, for JSON, and for the run that goes on with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from depth_anything_ros.media.tally import Tally

__all__ = ['Summary']

_SECONDS = ('decoding_s', 'network_s', 'encoding_s', 'total_s', 'film_s')
_KEPT = ('written', 'held', 'blank', *_SECONDS)
_COUNTS = ('written', 'held', 'blank', 'dropped', 'broken', 'resumed', 'kept')
_TALLIES = ('refused', 'without_metres', 'skipped', 'changed')
_KEPT_TALLIES = ('refused', 'without_metres', 'changed')


@dataclass
class Summary:
    """What a run did, together with those that it resumed.

    `written` counts outputs, `held` and `blank` those of them that show the depth of the frame
    before, or none. `refused` names the images without depth of their own, `without_metres` others
    without the metres that were asked for, `skipped` what was not tried, `changed` what was read
    otherwise than it is, `cuts` the first frames of new scenes. `dropped` counts images of a live
    source that the network had no time for, `broken` those that could not be decoded. `flicker` is
    of neighbouring frames: see core.flicker. `fault` says what could not be read. `resumed` and
    `kept` are frames that an earlier run did, and that `--resume` would not do again. `film_s` is
    how long the film lasts, 0 where it is not a film.
    """

    written: int = 0
    held: int = 0
    blank: int = 0
    dropped: int = 0
    broken: int = 0
    resumed: int = 0
    kept: int = 0
    refused: Tally = field(default_factory=Tally)
    without_metres: Tally = field(default_factory=Tally)
    skipped: Tally = field(default_factory=Tally)
    changed: Tally = field(default_factory=Tally)
    cuts: list[str] = field(default_factory=list)
    flicker: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    fault: str = ''
    interrupted: str = ''
    decoding_s: float = 0.0
    network_s: float = 0.0
    encoding_s: float = 0.0
    total_s: float = 0.0
    film_s: float = 0.0

    @property
    def network_share(self) -> float:
        """Frames per second, of those that the network alone would do."""
        return self.network_s / self.total_s if self.total_s else 0.0

    @property
    def median_flicker(self) -> float | None:
        """Median over neighbouring frames; None where nothing held still."""
        return median(self.flicker) if self.flicker else None

    @property
    def hours_per_film_hour(self) -> float | None:
        """How long an hour of film takes; None for what is no film."""
        return self.total_s / self.film_s if self.film_s else None

    def plain(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            'failed': self.refused.texts(),
            **{name: getattr(self, name).names() for name in _TALLIES},
            'cuts': self.cuts,
            'flicker': self.median_flicker,
            'flicker_pairs': len(self.flicker),
            'remarks': self.remarks,
            'fault': self.fault,
            'interrupted': bool(self.interrupted),
            **{name: getattr(self, name) for name in _SECONDS},
            'hours_per_film_hour': self.hours_per_film_hour,
            'network_share': self.network_share,
            'rate_hz': self.written / self.total_s if self.total_s else None,
        }

    def lengths(self) -> dict[str, int]:
        """Return how long each list is, for `state`."""
        return {name: len(each) for name, each in self._lists().items()}

    def state(self, since: Mapping[str, int]) -> dict[str, Any]:
        """Return what is to be kept, for JSON; of lists what was added since their `lengths`."""
        added = {name: each[since[name] :] for name, each in self._lists().items()}
        return {name: getattr(self, name) for name in _KEPT} | added

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Add what earlier runs returned as `state`, in their order."""
        for state in states:
            for name in _KEPT:
                setattr(self, name, state[name])
            self.cuts += state['cuts']
            self.flicker += state['flicker']
            for name in _KEPT_TALLIES:
                for entry in state[name]:
                    getattr(self, name).add(*entry)

    def _lists(self) -> dict[str, list[Any]]:
        tallies = {name: getattr(self, name).entries for name in _KEPT_TALLIES}
        return {'cuts': self.cuts, 'flicker': self.flicker, **tallies}
