"""The node over real DDS: lifecycle, outputs, what it says of itself."""

from __future__ import annotations

import threading
from array import array
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from rcl_interfaces.msg import Log
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rig import Rig, picture, values_of
from sensor_msgs.msg import CompressedImage, Image

from depth_anything_ros.core.types import ReferenceKind
from depth_anything_ros.messages.compressed_depth import depth_from_compressed
from depth_anything_ros.messages.images import bgr_from_compressed, bgr_from_image, fill_compressed
from depth_anything_ros.messages.stamps import ns_from_stamp
from depth_anything_ros.ros import frame_loop, reporter
from depth_anything_ros.ros.qos import REFERENCE

RELATIVE = '/depth_anything/relative/image'
RAW = '/depth_anything/relative/raw'
COLOR = '/depth_anything/relative/image_color'
KEPT = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def floats(message: Image) -> np.ndarray:
    assert message.encoding == '32FC1'
    return np.frombuffer(message.data, np.float32).reshape(message.height, message.width)


def test_an_image_gives_every_subscribed_output_with_its_stamp_and_frame() -> None:
    with Rig() as rig:
        for topic in (RELATIVE, RAW, COLOR):
            rig.listen(Image, topic)
        rig.listen(CompressedImage, COLOR + '/compressed')
        rig.until_state('active')
        sent: dict[int, Image] = {}

        def image() -> Image:
            message = rig.image()
            sent[message.header.stamp.sec] = message
            return message

        rig.until_answered(COLOR + '/compressed', image)
        color = rig.received[COLOR][-1]
        same = [rig.received[t][-1] for t in (RELATIVE, RAW, COLOR + '/compressed')]
        rig.until(lambda: all(m.header == color.header for m in same))

        assert color.header == sent[color.header.stamp.sec].header
        relative, raw = floats(same[0]), floats(same[1])
        assert relative.shape == raw.shape == (120, 160)
        assert 0.0 <= relative.min() < relative.max() <= 1.0
        # Normalising keeps the order: larger stays nearer.
        order = np.argsort(raw, axis=None)
        assert (np.diff(relative.ravel()[order]) >= 0).all()
        assert bgr_from_image(color).shape == (120, 160, 3)
        assert bgr_from_compressed(same[2]).shape == (120, 160, 3)


def test_a_frozen_camera_costs_no_network_time_and_is_told() -> None:
    with Rig() as rig:
        rig.listen(Image, RAW)
        rig.until_state('active')
        rig.until_answered(RAW, rig.image)
        backend = rig.node._frames.network.backend
        ran, infer = [], backend.infer

        def counted(*arguments: object) -> np.ndarray:
            ran.append(arguments[0].copy())
            return infer(*arguments)

        backend.infer = counted
        pixels = picture(seed=1)
        for _ in range(20):
            rig.until_answered(RAW, lambda: rig.image(pixels))
        first, *others = (floats(message) for message in rig.received[RAW][-20:])
        assert sum(np.array_equal(image, pixels) for image in ran) == 1
        assert all(np.array_equal(first, other) for other in others)
        assert len({message.header.stamp.sec for message in rig.received[RAW][-20:]}) == 20
        status = rig.until(
            lambda: s if (s := rig.status()) and 'one image again and again' in s.message else None
        )
        assert status.level == DiagnosticStatus.WARN
        rig.until(
            lambda: (
                (got := rig.diagnostics('throughput'))
                and int(values_of(got).get('unhealthy_frozen', 0)) > 7
            )
        )
        rig.until_answered(RAW, lambda: rig.image(picture(seed=2)))
        assert np.array_equal(ran[-1], picture(seed=2))


def test_it_idles_and_says_so_while_nobody_subscribes() -> None:
    with Rig() as rig:
        rig.until_state('active')
        message = rig.image()
        rig.publish(message)

        def skipped() -> bool:
            rig.publish(rig.image())
            part = rig.diagnostics('throughput')
            return part is not None and int(values_of(part).get('skipped_idle', 0)) > 0

        rig.until(skipped)
        assert values_of(rig.diagnostics('throughput'))['frames_out'] == '0'
        assert values_of(rig.status())['idle'] == 'True'
        rig.listen(Image, RELATIVE)
        rig.until_answered(RELATIVE)
        rig.until(lambda: values_of(rig.status())['idle'] == 'False')


@pytest.mark.parametrize('encoding', ['bgr8', 'rgb8', 'mono8'])
def test_encodings_agree(encoding: str) -> None:
    pixels = np.repeat(picture()[:, :, :1], 3, axis=2)
    with Rig() as rig:
        rig.listen(Image, RAW)
        rig.until_state('active')
        expected = floats(rig.until_answered(RAW, lambda: rig.image(pixels)))
        own = pixels[:, :, 0].copy() if encoding == 'mono8' else pixels
        answer = floats(rig.until_answered(RAW, lambda: rig.image(own, encoding)))
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize('format_', ['jpeg', 'png'])
def test_compressed_images(format_: str) -> None:
    import cv2

    def image() -> CompressedImage:
        message = CompressedImage(header=rig.header(), format=format_)
        if format_ == 'jpeg':
            fill_compressed(message, picture(), 95)
        else:
            message.data.frombytes(cv2.imencode('.png', picture())[1].tobytes())
        return message

    with Rig({'image_transport': 'compressed'}) as rig:
        rig.listen(Image, RELATIVE)
        rig.until_state('active')
        answer = rig.until_answered(RELATIVE, image, 'image/compressed')
        assert (answer.height, answer.width) == (120, 160)


def test_transitions_by_service_and_a_second_activation() -> None:
    with Rig({'autostart': False}) as rig:
        rig.until_state('unconfigured')
        rig.listen(Image, RELATIVE)
        assert rig.change_state(Transition.TRANSITION_CONFIGURE)
        rig.until_state('inactive')
        for _ in range(2):
            assert rig.change_state(Transition.TRANSITION_ACTIVATE)
            rig.until_state('active')
            rig.until_answered(RELATIVE)
            assert rig.change_state(Transition.TRANSITION_DEACTIVATE)
            rig.until_state('inactive')
        assert rig.change_state(Transition.TRANSITION_CLEANUP)
        rig.until_state('unconfigured')
        assert rig.peer.count_publishers(RELATIVE) == 0


def test_a_failed_configure_says_why_and_can_be_fixed() -> None:
    with Rig({'autostart': False, 'weights': '/no/such/file.pth'}) as rig:
        rig.until_state('unconfigured')
        assert not rig.change_state(Transition.TRANSITION_CONFIGURE)
        rig.until(lambda: rig.status().level == DiagnosticStatus.ERROR)
        assert '/no/such/file.pth' in rig.status().message
        assert rig.set_parameter('weights', 'random') == (True, '')
        assert rig.change_state(Transition.TRANSITION_CONFIGURE)
        rig.until_state('inactive')


def test_parameters_apply_or_are_refused_with_the_reason() -> None:
    with Rig({'relative.smoothing_s': 0.0}) as rig:
        rig.listen(Image, COLOR)
        rig.until_state('active')
        before = bgr_from_image(rig.until_answered(COLOR))
        assert rig.set_parameter('color.map', 'gray')[0]
        after = bgr_from_image(rig.until_answered(COLOR))
        assert (before != after).any()
        # 'random' is drawn in the corner; elsewhere gray is gray.
        assert (after[60:, :, 0] == after[60:, :, 2]).all()
        refused, why = rig.set_parameter('variant', 'vitb')
        assert not refused
        assert 'lifecycle set /depth_anything' in why
        refused, why = rig.set_parameter('color.map', 'rainbow')
        assert not refused
        assert 'spectral_r' in why


def test_random_weights_warn_for_as_long_as_they_run() -> None:
    with Rig() as rig:
        rig.until_state('active')
        rig.listen(Image, RELATIVE)
        rig.until(lambda: 'random' in rig.status().message)
        assert rig.status().level == DiagnosticStatus.WARN
        model = rig.until(lambda: rig.diagnostics('model'))
        rig.until(lambda: rig.diagnostics('model').level == DiagnosticStatus.WARN)
        assert values_of(model)['variant'] == 'demo'


def test_the_log_names_trouble_once_and_its_end() -> None:
    with Rig() as rig:
        rig.listen(Log, '/rosout', KEPT)
        rig.listen(Image, RELATIVE)

        def told(what: str) -> list[Log]:
            return [each for each in rig.received['/rosout'] if what in each.msg]

        rig.until(lambda: told('no publisher on /image'))
        said, reports = len(told('/image')), len(rig.received['/diagnostics'])
        rig.until(lambda: len(rig.received['/diagnostics']) > reports + 3)
        assert len(told('/image')) == said
        rig.until_answered(RELATIVE)
        over = 'random weights: the output means nothing'
        rig.until(lambda: any(each.msg == over for each in rig.received['/rosout']))


def test_status_names_what_keeps_images_away() -> None:
    with Rig() as rig:
        rig.listen(Image, RELATIVE)
        rig.until(lambda: rig.status() and 'no publisher on /image' in rig.status().message)
        rig.peer.create_publisher(CompressedImage, '/image', 1)
        rig.until(lambda: 'image_transport' in rig.status().message)


def test_a_best_effort_publisher_is_named_to_a_reliable_subscription() -> None:
    overrides = ['-p', 'qos_overrides./image.subscription.reliability:=reliable']
    with Rig(arguments=overrides) as rig:
        rig.until_state('active')
        rig.publish(rig.image())
        rig.until(lambda: '/peer' in rig.status().message)
        assert 'qos_overrides./image.subscription' in rig.status().message


@pytest.mark.parametrize(
    'reliability', [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE]
)
def test_outputs_reach_both_kinds_of_subscriber(reliability: ReliabilityPolicy) -> None:
    with Rig() as rig:
        rig.listen(Image, RELATIVE, QoSProfile(depth=1, reliability=reliability))
        rig.until_state('active')
        rig.until_answered(RELATIVE)


def test_bad_frames_are_counted_by_reason_and_the_next_good_one_works() -> None:
    with Rig() as rig:
        rig.listen(Image, RELATIVE)
        rig.until_state('active')
        rig.until_answered(RELATIVE)
        broken = rig.image()
        broken.step = 3
        rig.publish(broken)
        rig.publish(rig.image(np.zeros((120, 160, 3), np.uint8)))
        rig.until_answered(RELATIVE)

        def counted() -> bool:
            rig.publish(rig.image(np.zeros((120, 160, 3), np.uint8)))
            told = rig.diagnostics('throughput')
            return told is not None and 'dropped_invalid_covered_lens' in values_of(told)

        rig.until(counted)
        rig.until_answered(RELATIVE)


def test_images_of_12_bits_are_stretched_and_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    with Rig() as rig:
        rig.listen(Image, RAW)
        rig.until_state('active')

        def image(deep: bool) -> Image:
            grey = picture()[..., 0]
            message = rig.image(np.dstack([grey] * 3))
            if deep:
                message.encoding, message.step = 'mono16', 2 * message.width
                levels = grey.astype(float) - grey.min()
                levels = 7000 + levels * (1020 / levels.max())
                message.data = levels.astype('<u2').tobytes()
            return message

        shallow = floats(rig.until_answered(RAW, lambda: image(False)))
        capfd.readouterr()
        deep = floats(rig.until_answered(RAW, lambda: image(True)))
        rig.until_answered(RAW, lambda: image(True))
        assert np.corrcoef(shallow.ravel(), deep.ravel())[0, 1] > 0.9
    said = capfd.readouterr().err
    assert said.count('images on /image: levels 70') == 1


def test_live_parameters_show_in_the_next_frame() -> None:
    jpeg = COLOR + '/compressed'
    with Rig({'relative.smoothing_s': 0.0}) as rig:
        for topic in (RELATIVE, COLOR):
            rig.listen(Image, topic)
        rig.listen(CompressedImage, jpeg)
        rig.until_state('active')
        fine = len(rig.until_answered(jpeg).data)
        assert rig.set_parameter('output.jpeg_quality', 5)[0]
        # One frame may have been in the network already.
        rig.until_answered(jpeg)
        assert len(rig.until_answered(jpeg).data) < fine / 2

        clipped = floats(rig.until_answered())
        assert np.count_nonzero(clipped == 1.0) > 10
        assert rig.set_parameter('relative.normalization', 'minmax')[0]
        rig.until_answered()
        unclipped = floats(rig.until_answered())
        assert unclipped.min() == 0.0
        assert np.isclose(unclipped.max(), 1.0, atol=1e-6)
        assert np.count_nonzero(np.isclose(unclipped, 1.0, atol=1e-6)) < 10

        assert rig.set_parameter('output.max_side', 80)[0]
        rig.until_answered()
        assert floats(rig.until_answered()).shape == (60, 80)

        # The pictures have 0.0192 megapixels.
        assert rig.set_parameter('max_image_megapixels', 0.01)[0]

        def refused() -> bool:
            rig.publish(rig.image())
            told = rig.diagnostics('throughput')
            return told is not None and 'dropped_invalid_image_too_large' in values_of(told)

        rig.until(refused)


def test_images_too_old_are_dropped_and_said_to_be() -> None:
    def image() -> Image:
        message = rig.image()
        message.header.stamp = (rig.peer.get_clock().now() - Duration(seconds=5)).to_msg()
        return message

    with Rig({'max_image_age_s': 2.0}) as rig:
        rig.listen(Image, RELATIVE)
        rig.until_state('active')

        def told() -> bool:
            rig.publish(image())
            return 'older than max_image_age_s' in rig.status().message

        rig.until(told)
        assert not rig.received[RELATIVE]
        assert rig.set_parameter('max_image_age_s', 9.0)[0]
        rig.until_answered(RELATIVE, image)


def test_auto_exports_the_network_before_it_configures() -> None:
    pytest.importorskip('openvino')
    with Rig({'backend': 'auto', 'weights': ''}) as rig:
        rig.until_state('active')

        def backend() -> str | None:
            part = rig.diagnostics('model')
            return values_of(part).get('backend') if part else None

        assert rig.until(backend) == 'openvino'
        rig.listen(Image, RELATIVE)
        rig.until_answered(RELATIVE)


def test_another_node_of_the_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, 'TWINS_AFTER_S', 0.0)
    with Rig() as rig:
        rig.until_state('active')
        twin = Node('depth_anything', context=rig.peer_context)
        rig.until(lambda: '2 nodes are called /depth_anything' in rig.status().message)
        assert rig.status().level == DiagnosticStatus.WARN
        twin.destroy_node()
        rig.until(lambda: 'nodes are called' not in rig.status().message)


@pytest.mark.parametrize('where', ['decoding', 'network'])
def test_an_image_that_is_stuck_is_told_while_it_is(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(frame_loop, '_LONG_S', 0.0)
    go_on = threading.Event()
    said = {'decoding': 'an image on /image is decoded for', 'network': 'the network runs for'}
    with Rig() as rig:
        rig.listen(Image, RELATIVE)
        rig.until_answered(RELATIVE)

        def wait(*arguments: Any, **named: Any) -> Any:
            assert go_on.wait(60.0)
            return inner(*arguments, **named)

        if where == 'decoding':
            inner: Any = frame_loop.bgr_from_image
            monkeypatch.setattr(frame_loop, 'bgr_from_image', wait)
        else:
            backend = rig.node._frames.network.backend
            inner = backend.infer
            monkeypatch.setattr(backend, 'infer', wait)
        try:
            # Another one: an equal image costs no network time.
            rig.publish(rig.image(picture(seed=7)))
            rig.until(lambda: (status := rig.status()) and said[where] in status.message)
            assert rig.status().level == DiagnosticStatus.WARN
            before = len(rig.received['/depth_anything/status'])
            # It goes on, and so do the services.
            rig.until(lambda: len(rig.received['/depth_anything/status']) > before + 1)
            assert rig.set_parameter('output.jpeg_quality', 50) == (True, '')
        finally:
            go_on.set()
        rig.until_answered(RELATIVE)
        rig.until(lambda: said[where] not in rig.status().message)


def test_a_compressed_depth_image_is_a_reference() -> None:
    topic = '/depth/image_raw/compressedDepth'
    with Rig(arguments=['-r', f'reference:={topic}']) as rig:
        rig.until_state('active')
        png = cv2.imencode('.png', np.full((12, 16), 1500, np.uint16))[1].tobytes()
        message = CompressedImage(format='16UC1; compressedDepth png', header=rig.header())
        message.data = array('B', bytes(12) + png)
        heard = rig.node._cameras[''].messages
        stamp_ns = ns_from_stamp(message.header.stamp)

        def there() -> bool:
            rig.publish(message, topic, REFERENCE)
            return heard.nearest(stamp_ns, 0.0) is not None

        rig.until(there)
        kind, found = heard.nearest(stamp_ns, 0.0).value
        assert kind is ReferenceKind.DEPTH_IMAGE
        assert (depth_from_compressed(found) == np.float32(1.5)).all()
