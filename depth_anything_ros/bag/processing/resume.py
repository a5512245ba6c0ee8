"""Where a run stopped, so that a later one goes on exactly as this one would have.

What a frame becomes depends on those before it: the bounds of relative depth are smoothed, and
the metric scale is followed from frame to frame. Both follow the answers of the network, so a
point to go on from holds the pipelines as they were, and the next run computes none of the old
frames again. Only what comes from the bag itself (references, camera_info, tf) is read anew.
"""

from __future__ import annotations

import io
import json
import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_anything_ros import __version__
from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.bag.processing.plan import Choice, Plan
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters, flatten
from depth_anything_ros.estimator import DepthPipeline
from depth_anything_ros.messages.surroundings import Surroundings

__all__ = [
    'RESUME_FILE',
    'STATE_FILE',
    'ResumePoint',
    'load_point',
    'pack_pipelines',
    'settings_of',
    'unpack_pipelines',
]

RESUME_FILE = 'resume.json'
STATE_FILE = 'resume.pickle'

# Of settings that differ, so many are named.
_TOLD = 3

# What a pipeline consists of, beside the classes of the packages that it is made of.
_OWN = re.compile(r'depth_anything_ros\.(backends|core|messages|model|pipeline)(\.|$)')
_FOREIGN = frozenset(
    (
        *(('builtins', name) for name in ('complex', 'frozenset', 'set', 'slice')),
        *(('collections', name) for name in ('OrderedDict', 'defaultdict', 'deque')),
        *(('pathlib', name) for name in ('Path', 'PosixPath')),
        *(('numpy', name) for name in ('dtype', 'ndarray')),
        # NumPy 2, and before.
        *((f'numpy.{core}.multiarray', '_reconstruct') for core in ('_core', 'core')),
        *((f'numpy.{core}.multiarray', 'scalar') for core in ('_core', 'core')),
    )
)


@dataclass(frozen=True)
class ResumePoint:
    """The first `messages` of the bag are done; `counts` is what came of them.

    `settings` is everything that decides about the outputs, by name.
    """

    settings: dict[str, Any]
    messages: int
    counts: dict[str, Any]
    pipelines: bytes

    def files(self) -> dict[str, bytes]:
        """Return the files that hold it."""
        rest = {'settings': self.settings, 'messages': self.messages, 'counts': self.counts}
        return {
            RESUME_FILE: json.dumps(rest, indent=1).encode(),
            STATE_FILE: self.pipelines,
        }


def settings_of(
    reader: BagReader,
    plan: Plan,
    backend: DepthBackend,
    parameters: Parameters,
    choice: Choice,
) -> dict[str, Any]:
    """Name everything that decides about the outputs."""
    info = backend.info
    return {
        **flatten(parameters),
        'version': __version__,
        **{f'messages on {name}': topic.count for name, topic in reader.topics.items()},
        'images': [camera.topics.image for camera in plan.cameras],
        'camera_info': choice.camera_info,
        'reference': choice.reference,
        'outputs': [output.name for output in plan.outputs],
        'copied': sorted(plan.copied),
        'storage': plan.storage,
        'compress': choice.compress,
        'network': [info.name, info.variant, info.device, info.precision, info.input_size],
        'weights sha256': info.weights.sha256,
    }


def load_point(partial: Path, settings: dict[str, Any]) -> ResumePoint:
    """Read the point at which the bag `partial` stopped.

    SettingError where there is none, or where it was begun with other settings.
    """
    try:
        rest = json.loads((partial / RESUME_FILE).read_bytes())
        point = ResumePoint(**rest, pipelines=(partial / STATE_FILE).read_bytes())
    except (OSError, ValueError, TypeError) as err:
        raise SettingError(
            f'{partial} does not say where to go on ({_line(err)}): remove it and start again'
        ) from err
    # As JSON keeps it: tuples are lists there.
    now = json.loads(json.dumps(settings))
    then = point.settings
    changed = [
        f'{name} {_said(then, name)} then, {_said(now, name)} now'
        for name in sorted({*now, *then})
        if now.get(name) != then.get(name)
    ]
    if changed:
        more = f' and {len(changed) - _TOLD} more' if len(changed) > _TOLD else ''
        raise SettingError(
            f'{partial} was begun with other settings ({"; ".join(changed[:_TOLD])}{more}): give '
            'the same, or remove it and start again'
        )
    return point


def pack_pipelines(pipelines: Sequence[DepthPipeline]) -> bytes:
    """Return what pipelines remember, without network and surroundings."""
    file = io.BytesIO()
    _Pickler(file).dump(list(pipelines))
    return file.getvalue()


def unpack_pipelines(
    packed: bytes, backend: DepthBackend, surroundings: Sequence[Surroundings]
) -> list[DepthPipeline]:
    """Return the pipelines again, with this network, each in what surrounds it now."""
    try:
        found: list[DepthPipeline] = _Unpickler(packed, backend, surroundings).load()
    except Exception as err:
        raise DepthAnythingError(
            f'{STATE_FILE} cannot be read ({_line(err)}): remove the partial bag and start again'
        ) from err
    return found


class _Pickler(pickle.Pickler):
    """Leaves out the network, and what surrounds each camera: the n-th one met is number n."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=4)
        self._met: list[Surroundings] = []

    def persistent_id(self, obj: Any) -> int | str | None:
        if isinstance(obj, Surroundings):
            if not any(obj is each for each in self._met):
                self._met.append(obj)
            return next(n for n, each in enumerate(self._met) if obj is each)
        is_network = hasattr(obj, 'infer_batch') and not isinstance(obj, type)
        return 'network' if is_network else None


class _Unpickler(pickle.Unpickler):
    """Puts back what was left out, and makes nothing that a pipeline does not consist of.

    Else a partial bag from elsewhere could run any code.
    """

    def __init__(
        self, packed: bytes, backend: DepthBackend, surroundings: Sequence[Surroundings]
    ) -> None:
        super().__init__(io.BytesIO(packed))
        self._backend, self._surroundings = backend, surroundings

    def persistent_load(self, pid: Any) -> object:
        return self._backend if pid == 'network' else self._surroundings[pid]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _FOREIGN:
            return super().find_class(module, name)
        # A dot in the name, or a name that was imported, leads out of this package.
        if _OWN.match(module) and '.' not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f'{module}.{name} is no part of a pipeline')


def _line(err: Exception) -> str:
    return ' '.join(str(err).split()) or type(err).__name__


def _said(settings: dict[str, Any], name: str) -> str:
    return json.dumps(settings[name]).replace('"', "'") if name in settings else 'not there'
