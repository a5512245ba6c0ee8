"""Plan what to do with a bag: its cameras, the outputs of each, and the topics to copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.bag.discovery import color_topics, find_cameras
from depth_anything_ros.bag.reading import BagReader
from depth_anything_ros.bag.reasons import Reason
from depth_anything_ros.bag.replay import CameraTopics, used_topics
from depth_anything_ros.bag.writing import STORAGES, storage_of
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.messages.outputs import OUTPUTS, Output
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import card_of

__all__ = ['GROUPS', 'NODE', 'BagPlan', 'CameraPlan', 'ProcessOptions', 'make_plan']

NODE = '/depth_anything'
"""The node whose topics are written."""

_RELATIVE = ('relative/image',)
_METRIC = ('depth/image', 'depth/camera_info', 'depth/sigma')
GROUPS = {'relative': _RELATIVE, 'color': ('relative/image_color',), 'depth': _METRIC}
"""Short names for what is mostly asked for."""

_ALL, _NONE = _WORDS = ('all', 'none')


@dataclass(frozen=True)
class ProcessOptions:
    """What the user asks for; '' and () leave it to what is in the bag.

    `images`: image topics. `outputs`: names of `OUTPUTS` or `GROUPS`. `copy`: 'all', 'none',
    or topics. `camera_info` is for one camera only; else it is the topic beside each image. `tf`
    is for all cameras, with `tf`_static; else it is that of each camera's namespace, or /tf.
    `resume` skips finished outputs and replaces partial ones.
    """

    images: tuple[str, ...] = ()
    camera_info: str = ''
    reference: str = ''
    tf: str = ''
    outputs: tuple[str, ...] = ()
    copy: tuple[str, ...] = (_ALL,)
    storage: str = ''
    compress: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        """SettingError for what fits no bag."""
        _expand_groups(self.outputs)
        if self.storage and self.storage not in STORAGES:
            raise SettingError(
                f"storage '{self.storage}' is not known: choose one of {', '.join(STORAGES)}"
            )
        alone = [word for word in _WORDS if word in self.copy and self.copy != (word,)]
        if alone:
            raise SettingError(
                f"copy '{' '.join(self.copy)}' says two things: {' and '.join(_WORDS)} stand "
                'alone, or else give topics only'
            )


@dataclass(frozen=True)
class CameraPlan:
    """The topics of one camera, and the name above those of its outputs."""

    topics: CameraTopics
    prefix: str

    def output(self, output: Output) -> str:
        """Return the topic of an output."""
        return f'{self.prefix}/{output.name}'


@dataclass(frozen=True)
class BagPlan:
    """What to do with the bag at `bag`; the output goes to `out`.

    `images` is the number of images to process, `compress` whether to compress as rosbag2 does,
    `replace_partial` whether an OUT.partial of an earlier run is to be removed. `left_out` are
    cameras that cannot be processed, and topics that cannot be copied; `notes` say what else is
    worth knowing about the cameras.
    """

    bag: Path
    out: Path
    cameras: tuple[CameraPlan, ...]
    outputs: tuple[Output, ...]
    copied: frozenset[str]
    storage: str
    compress: bool
    replace_partial: bool
    images: int
    left_out: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()


def make_plan(
    reader: BagReader, out: Path, options: ProcessOptions, parameters: Parameters
) -> BagPlan:
    """Return the plan for an open bag; SettingError for what cannot be done."""
    images, left_out, notes = _find_images(reader, options)
    if options.camera_info and len(images) > 1:
        raise SettingError(
            f'camera_info {options.camera_info} is one topic for {len(images)} image topics '
            f'({", ".join(images)}): name one of these'
        )
    cameras = tuple(
        CameraPlan(CameraTopics(image, options.camera_info, options.reference, options.tf), prefix)
        for image, prefix in zip(images, _prefixes(images), strict=True)
    )
    kinds = [used_topics(reader, x.topics, parameters.reference).kind for x in cameras]
    card = card_of(parameters.variant, Checkpoint(parameters.checkpoint), parameters.weights)
    outputs = _outputs(options.outputs, card.metric or any(kinds))
    written = {camera.output(output) for camera in cameras for output in outputs}
    copied, not_copied = _copied(reader, options.copy)
    return BagPlan(
        reader.path,
        out,
        cameras,
        outputs,
        copied - written,
        options.storage or storage_of(reader.path),
        options.compress,
        options.resume,
        sum(reader.topics[camera.topics.image].count for camera in cameras),
        tuple({each.name: each for each in (*not_copied, *left_out)}.values()),
        notes,
    )


def _find_images(
    reader: BagReader, options: ProcessOptions
) -> tuple[tuple[str, ...], tuple[Reason, ...], tuple[str, ...]]:
    """Return the image topics: those asked for, or all but outputs; what is left out; notes."""
    if options.images:
        return tuple(reader.require(name).name for name in dict.fromkeys(options.images)), (), ()
    cameras = find_cameras(reader)
    usable = cameras.usable or tuple(color_topics(reader))
    found = tuple(name for name in usable if f'{NODE}/' not in name)
    if not found:
        raise SettingError(f'bag {reader.path} has no colour images but those below {NODE}')
    left_out = tuple(
        Reason(topic, reader.topics[topic].count, f'camera {topic}: {why}')
        for topic, why in cameras.refused.items()
    )
    instead = cameras.compressed_instead.items()
    notes = (
        f'{topic}/compressed is taken, as {topic} cannot be used: {why}' for topic, why in instead
    )
    return found, left_out, tuple(notes)


def _outputs(names: tuple[str, ...], metric: bool) -> tuple[Output, ...]:
    """Return the outputs in the order of `OUTPUTS`."""
    chosen = _expand_groups(names) or [*_RELATIVE, *(_METRIC if metric else ())]
    outputs = tuple(output for output in OUTPUTS if output.name in chosen)
    if not metric:
        for output in outputs:
            if output.metric:
                raise SettingError(
                    f"output '{output.name}' needs metres: name a reference topic (--reference), "
                    'set reference.type to ground_plane or odometry, or take a metric checkpoint'
                )
    return outputs


def _expand_groups(names: Collection[str]) -> list[str]:
    """Return the names with groups replaced by their outputs."""
    known = [output.name for output in OUTPUTS]
    wrong = [name for name in names if name not in GROUPS and name not in known]
    if wrong:
        raise SettingError(
            f"output '{wrong[0]}' is not known: choose from {', '.join((*GROUPS, *known))}"
        )
    return [part for name in names for part in GROUPS.get(name, (name,))]


def _copied(reader: BagReader, copy: tuple[str, ...]) -> tuple[frozenset[str], tuple[Reason, ...]]:
    """Return the topics to copy, and those of all that cannot be."""
    if copy == (_NONE,):
        return frozenset(), ()
    if copy != (_ALL,):
        return frozenset(reader.require(name).name for name in copy), ()
    mixed = [topic for topic in reader.topics.values() if topic.other_kinds]
    return frozenset(reader.topics).difference(topic.name for topic in mixed), tuple(
        Reason(topic.name, topic.count, f'{topic.name} is not copied: it has several types')
        for topic in mixed
    )


def _prefixes(images: tuple[str, ...]) -> list[str]:
    """Return a name for each camera: the last part of its namespace, or all of it where needed."""
    if len(images) == 1:
        return [NODE]
    spaces = [image.removesuffix('/compressed').strip('/').rpartition('/') for image in images]
    whole = [space or name for space, _, name in spaces]
    for names in (
        [name.rpartition('/')[2] for name in whole],
        whole,
        [image.strip('/') for image in images],
    ):
        if max(Counter(names).values()) == 1:
            break
    return [f'{NODE}/{name}' for name in names]
