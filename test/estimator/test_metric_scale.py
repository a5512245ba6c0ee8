"""Which reference a frame uses, and what it says where it has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drive import DEPTH, IMAGE, INFO, LIDAR, SCAN, Drive, drive

from depth_anything_ros.backends.base import NetworkOutput
from depth_anything_ros.core.geometry.transform_buffer import TransformBuffer
from depth_anything_ros.core.parameters import parameters_from_flat
from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.estimator.frame import Frame
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.messages.images import bgr_from_image
from depth_anything_ros.messages.reference_messages import REFERENCE_TYPES
from depth_anything_ros.messages.scene_messages import MessageScene, SceneMessages
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.messages.tf import put_transforms
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.variants import Checkpoint
from lab.degraded_truth import DegradedTruthBackend


class Run:
    """A pipeline and the messages of a drive, to be given one by one."""

    def __init__(self, what: Drive, reference: str, **parameters: Any) -> None:
        self.messages = SceneMessages(TransformBuffer())
        self.messages.kind = ReferenceKind.POINT_CLOUD if reference == LIDAR else None
        given = {'reference.extrinsics': what.extrinsics(reference)} | parameters
        self.stream = DepthStream(what.backend(), parameters_from_flat(given))
        by_topic: dict[str, list[Any]] = {}
        for topic, kind, message in what.messages:
            by_topic.setdefault(topic, []).append(message)
            if topic == reference:
                self.messages.kind = REFERENCE_TYPES[kind]
        self.images, self.references = by_topic[IMAGE], by_topic[reference]
        self.messages.camera_info = by_topic[INFO][0]
        self.by_topic = by_topic

    def frame(self, index: int) -> Frame:
        image = self.images[index]
        stamp_ns = ns_from_stamp(image.header.stamp)
        bgr = bgr_from_image(image)
        size = bgr.shape[1], bgr.shape[0]
        scene = MessageScene(
            self.messages, image.header.frame_id, stamp_ns, size, self.stream.parameters
        )
        return self.stream.process(bgr, stamp_ns, scene)


def test_one_message_is_used_once_and_the_scale_carried_on() -> None:
    run = Run(drive('room'), LIDAR, **{'reference.sync_tolerance_s': 1.0})
    run.messages.add_reference(run.references[0])
    first, second = run.frame(0), run.frame(1)
    assert first.scale.fit is not None
    assert first.scale.fit.accepted
    assert second.scale.fit is None
    assert second.scale.valid
    assert second.scale.source == 'reference'
    assert second.scale.reference_age_s > first.scale.reference_age_s
    run.messages.add_reference(run.references[2])
    assert run.frame(2).scale.fit is not None


def test_a_reference_that_left_the_ring_while_the_network_ran_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(drive('room'), LIDAR)
    infer = DegradedTruthBackend.infer

    def slow(self: DegradedTruthBackend, *given: Any) -> np.ndarray:
        # Ten later ones push the one that belongs to the image out.
        for message in run.references[3:14]:
            run.messages.add_reference(message)
        return infer(self, *given)

    monkeypatch.setattr(DegradedTruthBackend, 'infer', slow)
    run.messages.add_reference(run.references[0])
    assert run.frame(0).scale.valid


def test_a_nearer_reference_that_came_while_the_network_ran_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(drive('room'), LIDAR, **{'reference.sync_tolerance_s': 0.5})
    infer = DegradedTruthBackend.infer

    def slow(self: DegradedTruthBackend, *given: Any) -> np.ndarray:
        run.messages.add_reference(run.references[2])
        return infer(self, *given)

    monkeypatch.setattr(DegradedTruthBackend, 'infer', slow)
    run.messages.add_reference(run.references[0])
    age_s = run.frame(2).scale.reference_age_s
    assert abs(age_s) < 0.05


@pytest.mark.parametrize(
    ('lost', 'reason'),
    [
        ('reference', 'no_reference'),
        ('camera_info', 'no_camera_info'),
        ('size', 'bad_camera_info'),
        ('extrinsics', 'no_transform'),
        ('message', 'bad_fields'),
    ],
)
def test_what_is_missing_has_a_name(lost: str, reason: str) -> None:
    given = {'reference.extrinsics': ''} if lost == 'extrinsics' else {}
    run = Run(drive('room'), LIDAR, **given)
    if lost == 'camera_info':
        run.messages.camera_info = None
    if lost == 'size':
        info = run.messages.camera_info
        run.messages.camera_info = replace(info, width=info.width * 2)
    if lost == 'message':
        run.messages.add_reference(replace(run.references[0], fields=[]))
    elif lost != 'reference':
        run.messages.add_reference(run.references[0])
    frame = run.frame(0)
    assert (frame.scale.valid, frame.scale.reason) == (False, reason)
    assert frame.scale.message
    assert frame.depth_m is None
    assert frame.inverse_depth.shape == (120, 160)


@pytest.mark.parametrize('nothing', [np.inf, np.nan])
def test_a_scan_without_returns_keeps_no_scale_alive(nothing: float) -> None:
    run = Run(drive('room'), SCAN, **{'alignment.hold_s': 0.25})
    valid = []
    for index in range(len(run.images)):
        stamp_ns = ns_from_stamp(run.images[index].header.stamp)
        for message in run.references:
            if abs(ns_from_stamp(message.header.stamp) - stamp_ns) < 60_000_000:
                if index > 9:
                    message = replace(message, ranges=np.full_like(message.ranges, nothing))
                run.messages.add_reference(message)
        valid.append(run.frame(index).scale.valid)
    assert all(valid[6:10])
    # 10 images a second: held over two of them.
    assert not any(valid[13:])


def test_an_untrained_network_never_gives_metres() -> None:
    run = Run(drive('room'), LIDAR)
    info = run.stream.backend.info
    card = Card.of_checkpoint('vits', Checkpoint.METRIC_INDOOR)
    weights = replace(info.weights, random=True, card=card)
    backend = run.stream.backend
    backend.info = replace(info, weights=weights, output=NetworkOutput.METRES)
    run.stream = DepthStream(backend, run.stream.parameters)
    run.messages.add_reference(run.references[0])
    image = run.images[0]
    frame = run.stream.process(bgr_from_image(image), ns_from_stamp(image.header.stamp))
    assert (frame.scale.valid, frame.scale.reason) == (False, 'random_weights')
    assert frame.depth_m is None


def test_messages_of_another_type_are_forgotten_with_it() -> None:
    run = Run(drive('room'), LIDAR)
    run.messages.add_reference(run.references[0])
    run.messages.kind = ReferenceKind.LASER_SCAN
    assert run.frame(0).scale.reason == 'no_reference'


def test_a_type_that_changes_while_the_network_runs_costs_only_the_metres(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(drive('room'), LIDAR)
    infer = DegradedTruthBackend.infer

    def slow(self: DegradedTruthBackend, *given: Any) -> np.ndarray:
        run.messages.kind = ReferenceKind.LASER_SCAN
        run.messages.add_reference(run.references[0])
        return infer(self, *given)

    monkeypatch.setattr(DegradedTruthBackend, 'infer', slow)
    assert run.frame(0).scale.reason == 'no_reference'


@pytest.mark.parametrize('which', ['reference', 'image'])
def test_an_empty_frame_id_is_no_frame(which: str) -> None:
    run = Run(drive('room'), LIDAR, **{'reference.extrinsics': ''})
    message, image = run.references[0], run.images[0]
    if which == 'reference':
        message = replace(message, header=replace(message.header, frame_id=''))
    else:
        run.images[0] = replace(image, header=replace(image.header, frame_id=''))
    run.messages.add_reference(message)
    scale = run.frame(0).scale
    assert scale.reason == 'no_frame_id'
    assert which in scale.message


def test_an_image_without_a_stamp_has_no_metres() -> None:
    run = Run(drive('room'), LIDAR)
    unset = type(run.images[0].header.stamp)(0, 0)
    for each in (run.images, run.references):
        each[0] = replace(each[0], header=replace(each[0].header, stamp=unset))
    run.messages.add_reference(run.references[0])
    assert run.frame(0).scale.reason == 'no_stamp'


def test_no_reference_at_all_is_no_trouble() -> None:
    run = Run(drive('room'), LIDAR)
    run.messages.kind = None
    frame = run.frame(0)
    assert not frame.scale.valid
    assert frame.cloud() is None
    assert not frame.missing


def test_transforms_move_the_reference_through_the_fixed_frame() -> None:
    what = drive('room')

    def depth(fixed_frame: str) -> np.ndarray | None:
        given = {'reference.fixed_frame': fixed_frame, 'reference.extrinsics': ''}
        run = Run(what, LIDAR, **given, **{'reference.sync_tolerance_s': 2.0})
        buffer = run.messages.transforms
        assert isinstance(buffer, TransformBuffer)
        for topic, static in (('/tf_static', True), ('/tf', False)):
            for message in run.by_topic[topic]:
                put_transforms(buffer, message.transforms, static=static)
        # A cloud of 0.8 s ago: the robot has driven on meanwhile.
        run.messages.add_reference(run.references[0])
        return run.frame(8).depth_m

    moved = depth('odom')
    assert moved is not None
    assert np.nanmedian(np.abs(moved / list(what.truth.values())[8] - 1.0)) < 0.08
    # Taken as rigid, it does not fit.
    assert depth('') is None


def test_a_changed_setting_of_the_alignment_starts_anew() -> None:
    run = Run(drive('room'), LIDAR)
    run.messages.add_reference(run.references[0])
    assert run.frame(0).scale.valid
    run.stream.parameters = parameters_from_flat(
        {'reference.extrinsics': drive('room').extrinsics(LIDAR), 'reference.max_depth_m': 3.0}
    )
    run.messages.add_reference(run.references[1])
    depth = run.frame(1).depth_m
    assert depth is not None
    assert np.nanmax(depth) <= 3.0


def test_products_that_need_a_level_frame_say_so() -> None:
    run = Run(drive('room'), LIDAR, **{'cloud.height_frame': 'base_link'})
    run.messages.add_reference(run.references[0])
    frame = run.frame(0)
    assert frame.cloud() is frame.scan() is None
    assert set(frame.missing) == {'points', 'scan'}
    assert 'base_link' in str(frame.missing['points'])
    assert frame.depth_m is not None


def test_a_cloud_without_points_is_silence() -> None:
    run = Run(drive('room'), LIDAR, **{'cloud.max_range_m': 0.05})
    run.messages.add_reference(run.references[0])
    frame = run.frame(0)
    assert frame.scale.valid
    assert frame.cloud() is None
    assert 'no point is left' in str(frame.missing['points'])


def test_a_registered_depth_image_needs_no_extrinsics() -> None:
    run = Run(drive('room'), DEPTH, **{'reference.extrinsics': ''})
    for index, image in enumerate(run.images[:2]):
        truth = run.by_topic['/ground_truth/depth/image'][index]
        run.messages.add_reference(replace(truth, header=image.header))
        assert run.frame(index).scale.valid
    # In another frame it does, and it needs its own camera_info first.
    run = Run(drive('room'), DEPTH, **{'reference.extrinsics': ''})
    run.messages.add_reference(run.references[0])
    assert run.frame(0).scale.reason == 'no_reference_camera_info'


def _commonest(depth_m: np.ndarray) -> float:
    """Return the depth with the most pixels around it, in steps of 5 %."""
    steps = np.rint(np.log(depth_m[np.isfinite(depth_m)]) / 0.05).astype(int)
    return float(np.exp(0.05 * np.bincount(steps).argmax()))


@pytest.mark.parametrize('trusts', [False, True])
def test_a_reference_at_one_depth_gives_metric_depth_only_on_trust(trusts: bool) -> None:
    run = Run(drive('room'), DEPTH, **{'alignment.trust_polarity': trusts})
    scales = []
    for index, image in enumerate(run.images[:2]):
        # Of the true depth, what lies at one distance, as before a wall.
        truth = run.by_topic['/ground_truth/depth/image'][index]
        depth_m = np.frombuffer(truth.data, np.float32)
        one = np.abs(np.log(depth_m / _commonest(depth_m))) < 0.07
        data = np.where(one, depth_m, np.float32(np.nan)).view(np.uint8)
        run.messages.add_reference(replace(truth, header=image.header, data=data))
        scales.append(run.frame(index).scale)
    assert scales[-1].valid == trusts
    if not trusts:
        assert scales[-1].reason == 'polarity_unobserved'
        assert 'alignment.trust_polarity' in scales[-1].message
    else:
        assert scales[-1].values()['warning'] == 'polarity_assumed'
