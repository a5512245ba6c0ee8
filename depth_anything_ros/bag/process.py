"""Process every image of a bag, and write the outputs beside what was recorded into a new bag.

One pass in the order of recording. Images are not batched: a batch, or another number of
threads, changes the last bits of the network's output, and equal input is to give equal bytes,
here and in the live node.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from depth_anything_ros.backends.base import DepthBackend
from depth_anything_ros.bag.message_types import message_makers, output_store
from depth_anything_ros.bag.odd_times import Gaps
from depth_anything_ros.bag.plan import NODE, BagPlan, CameraPlan, ProcessOptions, make_plan
from depth_anything_ros.bag.read_ahead import read_ahead
from depth_anything_ros.bag.reading import BagMessage, BagReader
from depth_anything_ros.bag.reasons import Reason
from depth_anything_ros.bag.replay import BagReplay, ReplayedImage
from depth_anything_ros.bag.summary import BagState, BagSummary
from depth_anything_ros.bag.writing import (
    BagWriter,
    check_free,
    check_outside,
    damage_of,
    is_finished,
    partial_of,
    remove_partial,
)
from depth_anything_ros.core.errors import DepthAnythingError, SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.messages.outputs import OutputWriter

__all__ = ['BagInterrupted', 'plan_bag', 'process_bag']

OnImages = Callable[[int], None]
OnFrame = Callable[[CameraPlan, Frame, int], None]
"""Takes the camera, its frame, and how many images were refused so far."""
Stop = Callable[[], str]
"""Returns the reason to stop, '' to go on."""


class BagInterrupted(KeyboardInterrupt):
    """An interruption at once; the message says what is left of the output."""


def plan_bag(
    bag: Path, out: Path, parameters: Parameters, options: ProcessOptions
) -> BagPlan | None:
    """Check input, topics and output, and settle what to do, without a network.

    None where `options.resume` and the finished output is there already. DepthAnythingError for
    what cannot be processed.
    """
    with BagReader(bag) as reader:
        plan = make_plan(reader, out, options, parameters)
    check_outside(bag, out)
    if options.resume and is_finished(out):
        if damage := damage_of(out):
            raise SettingError(f'{out} is there already, and damaged ({damage}): remove it')
        return None
    check_free(out, partial_allowed=options.resume)
    return plan


def process_bag(
    plan: BagPlan,
    backend: DepthBackend,
    parameters: Parameters,
    on_images: OnImages = lambda images: None,
    stop: Stop = lambda: '',
    on_frame: OnFrame = lambda camera, frame, refused: None,
) -> BagSummary:
    """Process a bag as planned into a new one.

    `on_images` is called with the number of images done since, `on_frame` with each frame.
    Where `stop` returns a reason, or the disk is nearly full, it ends after the image at hand:
    what there is becomes OUT.partial, a valid bag. So it does before an error in the bag, which is
    a DepthAnythingError, and a KeyboardInterrupt, which becomes a BagInterrupted. An OUT.partial
    of an earlier run is removed first, if that is planned. Without outputs no bag is kept.
    """
    with BagReader(plan.bag) as reader:
        if plan.replace_partial:
            remove_partial(plan.out)
        return _Run(reader, plan, backend, parameters, on_frame).run(stop, on_images)


class _Run:
    """One bag being processed."""

    def __init__(
        self,
        reader: BagReader,
        plan: BagPlan,
        backend: DepthBackend,
        parameters: Parameters,
        on_frame: OnFrame,
    ) -> None:
        self._reader, self._plan, self._on_frame = reader, plan, on_frame
        self._replays = [
            BagReplay(reader, camera.topics, backend, parameters) for camera in plan.cameras
        ]
        self._notices = backend.info.weights.notices()
        self._metric = backend.info.output.metric
        self._gaps = Gaps()
        self._summary = BagSummary(plan.bag, None, BagState.DONE)
        self._store = output_store()
        self._outputs = OutputWriter(message_makers(self._store), NODE, with_times=False)
        self._writer = BagWriter(plan.out, plan.storage, compress=plan.compress)

    def run(self, stop: Stop, on_images: OnImages) -> BagSummary:
        """Process all of the bag, or as much as `stop` and the disk allow."""
        started_s = time.monotonic()
        try:
            self._announce()
            why = self._process(stop, on_images)
            out = self._end(why)
        except KeyboardInterrupt as err:
            raise BagInterrupted(f'interrupted; {self._leave_broken()}') from err
        except DepthAnythingError as err:
            if self._writer.closed:
                raise
            raise DepthAnythingError(f'{err}; {self._leave_broken()}') from err
        except BaseException:
            self._leave_broken()
            raise
        if out is not None and why:
            why = f'{why}; {out} holds what there is, and --resume starts this bag again'
        summary = self._summary
        summary.out, summary.why = out, why
        summary.state = BagState.STOPPED if why else BagState.DONE
        summary.rate_hz = summary.images / (time.monotonic() - started_s)
        # Several cameras hear the same tf.
        heard = {each.name: each for replay in self._replays for each in replay.left_out}
        summary.left_out = [*self._reader.left_out, *self._plan.left_out, *heard.values()]
        noted = [x for each in self._replays for x in (*each.notes, *each.odd_times.notes())]
        summary.notes = [*self._notices, *self._plan.notes, *self._gaps.notes(), *noted]
        return summary

    def _end(self, why: str) -> Path | None:
        """Close the bag; return its path, None where nothing was worth keeping."""
        if not why and self._plan.outputs:
            return self._writer.finish()
        if self._summary.images and self._plan.outputs:
            return self._writer.leave_partial()
        self._writer.discard()
        return None

    def _announce(self) -> None:
        for name in sorted(self._plan.copied):
            self._writer.add_copy(self._reader.topics[name], self._reader.store)
        for camera in self._plan.cameras:
            for output in self._plan.outputs:
                self._writer.add_output(camera.output(output), output.type, self._store)

    def _process(self, stop: Stop, on_images: OnImages) -> str:
        """Process messages; return why it stopped before the end, or ''."""
        needed = self._plan.copied.union(*(each.topics for each in self._replays))
        images = {camera.topics.image for camera in self._plan.cameras}
        with read_ahead(self._reader.messages(needed)) as messages:
            for message in messages:
                signal = stop()
                # Between two messages only, as a bag that is stopped holds whole frames.
                why = f'stopped by {signal}' if signal else self._writer.disk_space_problem()
                if why:
                    return why
                self._gaps.add(message.receive_ns)
                self._process_message(message)
                if message.topic in images:
                    on_images(1)
        return ''

    def _process_message(self, message: BagMessage) -> None:
        if message.topic in self._plan.copied:
            self._writer.write(message.topic, message.kind, message.receive_ns, message.raw)
            self._summary.copied += 1
        for camera, replay in zip(self._plan.cameras, self._replays, strict=True):
            image = replay.process(message)
            if image is not None:
                self._write(camera, image, self._metric or replay.kind is not None)

    def _write(self, camera: CameraPlan, image: ReplayedImage, measured: bool) -> None:
        """Write the outputs of an image; `measured` says that metres are due."""
        summary = self._summary
        name = camera.topics.image if len(self._plan.cameras) > 1 else ''
        summary.images += 1
        if image.frame is None:
            assert image.error is not None
            Reason.add(summary.refused, image.error.reason, str(image.error), camera=name)
            return
        summary.frames += 1
        self._on_frame(camera, image.frame, summary.images - summary.frames)
        scale = image.frame.scale
        summary.metric += scale.valid
        if measured and not scale.valid:
            Reason.add(summary.no_metres, scale.reason, scale.message, camera=name)
        for output in self._plan.outputs:
            message = self._outputs.message(output, image.frame, image.header, image.info)
            if message is not None:
                raw = self._store.serialize_cdr(message, output.type)
                topic = camera.output(output)
                self._writer.write(topic, output.type, image.receive_ns, raw)

    def _leave_broken(self) -> str:
        """Keep what was made before an error; return what is left."""
        if self._writer.closed or not (self._summary.frames and self._plan.outputs):
            self._writer.discard()
            return 'nothing is left'
        self._writer.leave_partial()
        partial = partial_of(self._writer.out)
        return f'{partial} holds the {self._summary.frames} frames before it'
