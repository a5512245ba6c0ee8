"""Every frame of a bag through the pipeline, into a bag beside what was recorded.

One pass in the order of recording. Each image is answered by itself: a batch, or another number
of threads, changes the last bits of what the network gives, and equal input is to give equal
bytes, here and against the live node.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from depth_anything_ros.backends.base import DepthBackend, NetworkOutput
from depth_anything_ros.bag.processing.blank_messages import blank_makers, output_store
from depth_anything_ros.bag.processing.counts import Counts, Tally
from depth_anything_ros.bag.processing.interruption import interruption, undisturbed
from depth_anything_ros.bag.processing.plan import (
    NODE,
    CameraPlan,
    Choice,
    Plan,
    expected_output,
    make_plan,
)
from depth_anything_ros.bag.processing.results import BagSummary, State
from depth_anything_ros.bag.processing.resume import (
    ResumePoint,
    load_point,
    pack_pipelines,
    settings_of,
    unpack_pipelines,
)
from depth_anything_ros.bag.read_ahead import read_ahead
from depth_anything_ros.bag.reading import BagMessage, BagReader
from depth_anything_ros.bag.replay import BagReplay, ReplayedImage
from depth_anything_ros.bag.writing import (
    BagWriter,
    check_free,
    check_outside,
    is_finished,
    partial_of,
)
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.messages.outputs import OutputWriter

__all__ = ['check_bag', 'process_bag']

OnImages = Callable[[int], None]


def check_bag(bag: Path, out: Path, parameters: Parameters, choice: Choice) -> int | None:
    """Count the images to process; None where a bag that is finished lies at `out` already.

    It takes no network. DepthAnythingError for what `process_bag` would refuse.
    """
    with BagReader(bag) as reader:
        plan = _plan(reader, out.expanduser(), parameters, choice, expected_output(parameters))
        if plan is None:
            return None
        return sum(reader.topics[camera.topics.image].count for camera in plan.cameras)


def process_bag(
    bag: Path,
    out: Path,
    backend: DepthBackend,
    parameters: Parameters,
    choice: Choice | None = None,
    on_images: OnImages = lambda images: None,
    stop: Callable[[], str] | None = None,
) -> BagSummary:
    """Process the bag at `bag` into a new one at `out`; `on_images` hears how many are done.

    SIGINT, SIGTERM or a disk that is nearly full stop it after the image at hand: what there is
    becomes OUT.partial, a valid bag, from which `choice.resume` goes on. A caller that listens to
    signals itself gives `stop`, which says what asks to stop, or ''. A damaged bag ends with a
    DepthAnythingError, a second SIGINT with a KeyboardInterrupt that says what is left; what was
    made before is OUT.partial too, and nothing goes on from there.
    """
    choice = choice or Choice()
    out = out.expanduser()
    if stop is None:
        with interruption() as stop:
            return process_bag(bag, out, backend, parameters, choice, on_images, stop)
    with BagReader(bag) as reader:
        plan = _plan(reader, out, parameters, choice, backend.info.output)
        if plan is None:
            return BagSummary(bag, out, State.WAS_THERE)
        return _Run(reader, out, plan, backend, parameters, choice).run(stop, on_images)


def _plan(
    reader: BagReader, out: Path, parameters: Parameters, choice: Choice, network: NetworkOutput
) -> Plan | None:
    """Settle what is to be done; None where it was done before."""
    plan = make_plan(reader, choice, parameters, network)
    check_outside(reader.path, out)
    if choice.resume and is_finished(out):
        return None
    check_free(out, resume=choice.resume)
    return plan


class _Run:
    """One bag under way."""

    def __init__(
        self,
        reader: BagReader,
        out: Path,
        plan: Plan,
        backend: DepthBackend,
        parameters: Parameters,
        choice: Choice,
    ) -> None:
        self._reader, self._plan, self._parameters = reader, plan, parameters
        self._settings = settings_of(reader, plan, backend, parameters, choice)
        self._replays = [
            BagReplay(reader, camera.topics, backend, parameters) for camera in plan.cameras
        ]
        self._notices = backend.info.weights.notices()
        self._counts = Counts()
        self._done, self._before = 0, 0
        self._store = output_store()
        self._outputs = OutputWriter(blank_makers(self._store), NODE, with_times=False)
        begun = self._go_on(partial_of(out), backend) if choice.resume else None
        self._writer = BagWriter(out, plan.storage, compress=choice.compress, begun=begun)

    def run(self, stop: Callable[[], str], on_images: OnImages) -> BagSummary:
        """Do all of it, or as much as `stop` and the disk let it."""
        started_s = time.monotonic()
        images_before = self._counts.images
        try:
            on_images(images_before)
            self._announce()
            why = self._process(stop, on_images)
            out = self._end(why)
        except KeyboardInterrupt as err:
            raise KeyboardInterrupt(f'interrupted{self._leave_broken()}') from err
        except BaseException as err:
            if self._writer.closed:
                raise
            left = self._leave_broken()
            if isinstance(err, DepthAnythingError):
                raise DepthAnythingError(f'{err}{left}') from err
            raise
        if out is not None and why:
            why = f'{why}; {out} holds what there is, and --resume goes on from there'
        notes = [*self._notices, self._reader.truncated]
        notes += [note for each in self._replays for note in each.notes]
        counts = self._counts
        return BagSummary(
            self._reader.path,
            out,
            State.STOPPED if why else State.DONE,
            counts.images,
            counts.frames,
            counts.metric,
            counts.copied,
            (counts.images - images_before) / (time.monotonic() - started_s),
            counts.refused.reasons(),
            counts.no_metres.reasons(),
            why,
            tuple(note for note in notes if note),
        )

    def _end(self, why: str) -> Path | None:
        """Close the bag; give where it is, None where nothing was worth keeping."""
        if not why:
            return self._writer.finish()
        if not self._counts.images:
            self._writer.discard()
            return None
        with undisturbed(last=True):
            return self._writer.leave(self._point().files())

    def _announce(self) -> None:
        for name in sorted(self._plan.copied):
            self._writer.add_copy(self._reader.topics[name], self._reader.store)
        for camera in self._plan.cameras:
            for output in self._plan.outputs:
                self._writer.add_output(camera.output(output), output.type, self._store)

    def _process(self, stop: Callable[[], str], on_images: OnImages) -> str:
        """Process messages; gives why it stopped before the end, or ''."""
        needed = self._plan.copied.union(*(each.topics for each in self._replays))
        images = {camera.topics.image for camera in self._plan.cameras}
        with read_ahead(self._reader.messages(needed)) as messages:
            for place, message in enumerate(messages):
                if place < self._before:
                    for replay in self._replays:
                        replay.hear(message, skip=True)
                    continue
                asked = stop()
                # Between two messages only, as a bag that is stopped holds whole frames.
                why = f'stopped by {asked}' if asked else self._writer.disk_space_problem()
                if why:
                    return why
                self._take(message)
                self._done = place + 1
                if message.topic in images:
                    on_images(1)
        return ''

    def _take(self, message: BagMessage) -> None:
        if message.topic in self._plan.copied:
            self._writer.write(message.topic, message.kind, message.receive_ns, message.raw)
            self._counts.copied += 1
        for camera, replay in zip(self._plan.cameras, self._replays, strict=True):
            answer = replay.hear(message)
            if answer is not None:
                self._write(camera, answer, replay.kind is not None)

    def _write(self, camera: CameraPlan, answer: ReplayedImage, measured: bool) -> None:
        """Write the outputs; `measured` says that a reference is to give metres."""
        counts = self._counts
        counts.images += 1
        if answer.frame is None:
            assert answer.error is not None
            counts.refused.add(answer.error.reason, str(answer.error))
            return
        counts.frames += 1
        scale = answer.frame.scale
        counts.metric += scale.valid
        if measured and not scale.valid:
            counts.no_metres.add(scale.reason, scale.message)
        frame = answer.frame
        for output in self._plan.outputs:
            message = self._outputs.message(output, frame, answer.header, answer.info)
            if message is not None:
                raw = self._store.serialize_cdr(message, output.type)
                topic = camera.output(output)
                self._writer.write(topic, output.type, answer.receive_ns, raw)

    def _go_on(self, partial: Path, backend: DepthBackend) -> Path | None:
        """Take up what an earlier run remembered, if one was stopped."""
        if not partial.exists():
            return None
        point = load_point(partial, self._settings)
        around = [each.surroundings for each in self._replays]
        pipelines = unpack_pipelines(point.pipelines, backend, around)
        for replay, pipeline in zip(self._replays, pipelines, strict=True):
            replay.pipeline = pipeline
        tallies = {name: Tally(**point.counts[name]) for name in ('refused', 'no_metres')}
        self._counts = Counts(**point.counts | tallies)
        self._before = self._done = point.messages
        return partial

    def _point(self) -> ResumePoint:
        pipelines = pack_pipelines([each.pipeline for each in self._replays])
        return ResumePoint(self._settings, self._done, asdict(self._counts), pipelines)

    def _leave_broken(self) -> str:
        """Keep what was made before an error; there is no going on from it."""
        partial = partial_of(self._writer.out)
        if self._writer.closed or self._before or not self._counts.frames:
            self._writer.discard()
            return f'; {partial} stays as it was' if self._before else '; nothing is left'
        self._writer.leave({})
        return (
            f'; {partial} holds the {self._counts.frames} frames before it, from which --resume '
            'cannot go on: remove or rename it to start again'
        )
