"""Transitions: what they leave behind, and what they do when something breaks."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import pytest
from cycles import after_cycles, cycle, unspun_node
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn
from rig import Rig, values_of
from sensor_msgs.msg import Image

from depth_anything_ros import node as node_module
from depth_anything_ros.core.errors import WeightsError
from depth_anything_ros.node import DepthNode
from depth_anything_ros.ros.camera import NodeCamera
from depth_anything_ros.ros.publishers import Outputs

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture
def node() -> Iterator[DepthNode]:
    with unspun_node() as node:
        yield node


def test_cycles_leave_nothing_behind() -> None:
    # In a process of its own: in one that other tests have filled, the allocators move by tens.
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe()
    # The first let thread pools and allocators reach their size.
    process = context.Process(target=after_cycles, args=(theirs, (10, 30)), daemon=True)
    process.start()
    theirs.close()
    (threads, files, mb), after = ours.recv(), ours.recv()
    process.join()
    # What stayed each time would be thirty; pools of libraries come and go by a few threads.
    assert after[0] < threads + 10
    assert after[1] < files + 10
    # A network of 8 MB that stayed each time would be 240.
    assert after[2] - mb < 20.0


@pytest.mark.parametrize(
    ('owner', 'broken', 'transitions'),
    [
        (Outputs, 'open', ['configure']),
        (NodeCamera, 'open_inputs', ['configure', 'activate']),
    ],
)
def test_an_exception_on_the_way_up_is_reported_and_can_be_tried_again(
    node: DepthNode,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    owner: type,
    broken: str,
    transitions: list[str],
) -> None:
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise RuntimeError('a cable came loose')

        patch.setattr(owner, broken, fail)
        *first, last = [getattr(node, f'trigger_{name}') for name in transitions]
        for transition in first:
            assert transition() == SUCCESS
        assert last() == FAILURE
    assert 'a cable came loose' in capfd.readouterr().err
    assert last() == SUCCESS


@pytest.mark.parametrize(('owner', 'broken'), [(NodeCamera, 'close_inputs'), (Outputs, 'close')])
def test_an_exception_on_the_way_down_can_be_tried_again(
    node: DepthNode, monkeypatch: pytest.MonkeyPatch, owner: type, broken: str
) -> None:
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    down = [node.trigger_deactivate, node.trigger_cleanup]
    if owner is Outputs:
        assert down.pop(0)() == SUCCESS
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise RuntimeError('a cable came loose')

        patch.setattr(owner, broken, fail)
        assert down[0]() == FAILURE
    for transition in down:
        assert transition() == SUCCESS
    cycle(node)


def test_configure_without_the_file_says_the_command_that_fetches_it() -> None:
    # conftest gives every test an empty cache.
    with Rig({'autostart': False, 'weights': '', 'variant': 'vitb'}) as rig:
        rig.until_state('unconfigured')
        assert not rig.change_state(Transition.TRANSITION_CONFIGURE)
        rig.until(lambda: 'weights fetch --variant vitb' in rig.status().message)


def test_a_reactivated_node_starts_clean() -> None:
    topic = '/depth_anything/relative/image'
    with Rig() as rig:
        rig.listen(Image, topic)
        rig.until_state('active')
        rig.until_answered(topic)
        first, pipeline = rig.node._cameras[''].telemetry, rig.node._cameras[''].stream
        rig.change_state(Transition.TRANSITION_DEACTIVATE)
        rig.until_state('inactive')
        rig.change_state(Transition.TRANSITION_ACTIVATE)
        rig.until_state('active')
        assert rig.node._cameras[''].telemetry is not first
        # A new pipeline has no past to normalise by.
        assert rig.node._cameras[''].stream is not pipeline
        rig.until_answered(topic)


def test_a_request_that_does_not_fit_the_state_is_told_and_changes_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Rig({'autostart': False}) as rig:
        rig.until_state('unconfigured')
        assert not rig.change_state(Transition.TRANSITION_ACTIVATE)
        by_label = ChangeState.Request(transition=Transition(label='deactivate'))
        assert not rig.call(ChangeState, 'change_state', by_label).success
        assert rig.change_state(Transition.TRANSITION_CONFIGURE)
        assert not rig.change_state(Transition.TRANSITION_CONFIGURE)
        rig.until_state('inactive')
    told = capfd.readouterr().err
    fits = "is not possible in state 'unconfigured': possible are configure (1), shutdown (5)\n"
    assert f"transition 'activate (3)' {fits}" in told
    assert f"transition 'deactivate' {fits}" in told
    assert "transition 'configure (1)' is not possible in state 'inactive'" in told


def test_a_transition_by_hand_while_weights_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(node_module, 'fetch_weights', lambda *_: go.wait(60.0))
    with Rig() as rig:
        rig.until_state('unconfigured')
        assert not rig.change_state(Transition.TRANSITION_CONFIGURE)
        rig.until(lambda: 'still being fetched' in rig.status().message)
        go.set()
        rig.until_state('active')


def test_a_failed_fetch_says_what_to_do_and_can_be_fixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise WeightsError('the hub is down')

    monkeypatch.setattr(node_module, 'fetch_weights', fail)
    with Rig() as rig:
        rig.until(lambda: rig.status() and 'the hub is down' in rig.status().message)
        assert 'ros2 lifecycle set /depth_anything configure' in rig.status().message
        assert rig.change_state(Transition.TRANSITION_CONFIGURE)
        assert rig.change_state(Transition.TRANSITION_ACTIVATE)
        rig.until_state('active')


def test_a_network_that_raises_is_told_everywhere_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    topic = '/depth_anything/relative/image'
    with Rig() as rig:
        rig.listen(Image, topic)
        rig.until_state('active')
        rig.until_answered(topic)

        def fail(*_: object) -> None:
            raise RuntimeError('CUDA out of memory')

        with monkeypatch.context() as patch:
            patch.setattr(rig.node._frames.network.backend, 'infer', fail)

            def told() -> bool:
                rig.publish(rig.image())
                part = rig.diagnostics('throughput')
                both = [rig.status(), part] if part else []
                return bool(both) and all(
                    status.level == DiagnosticStatus.ERROR and 'out of memory' in status.message
                    for status in both
                )

            # The output's rate looks back five seconds.
            rig.until(told)
            counts = values_of(rig.diagnostics('throughput'))
            assert int(counts['dropped_invalid_internal_error']) > 1
        rig.until_answered(topic)
    assert capfd.readouterr().err.count('Traceback') == 1
