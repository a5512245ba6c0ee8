"""The lifecycle node: wiring and main() only. What happens to an image is in ros/frame_loop.py."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import cv2
import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import TransitionCallbackReturn
from std_srvs.srv import Trigger

from depth_anything_ros.backends.loading import fetch_weights, load_backend
from depth_anything_ros.core.errors import DepthAnythingError, WeightsError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.estimator.shared_network import SharedNetwork
from depth_anything_ros.estimator.stream import DepthStream
from depth_anything_ros.model.releases import PACKAGED
from depth_anything_ros.ros.camera import NodeCamera
from depth_anything_ros.ros.diagnostics import Snapshot
from depth_anything_ros.ros.frame_loop import FrameLoop
from depth_anything_ros.ros.lifecycle import ManagedNode, transition
from depth_anything_ros.ros.parameters import NodeParameters, warn_of_files
from depth_anything_ros.ros.reporter import Reporter
from depth_anything_ros.ros.tf_listener import LiveTransforms, create_transforms

__all__ = ['DepthNode', 'main']

_PREPARING = 'preparing the network'
_LONGEST_LINE = 1000
SUCCESS = TransitionCallbackReturn.SUCCESS


class DepthNode(ManagedNode):
    """Depth of the images of one camera or several; docs/topics.md says what goes in and out.

    The executor's thread receives messages and serves requests; the worker's owns the network.
    """

    def __init__(self, **options: Any) -> None:
        """Declare parameters and topics; nothing is loaded before `configure`."""
        super().__init__('depth_anything', **options)
        warn_of_files(self, [*sys.argv, *(options.get('cli_args') or ())])
        try:
            self._settings = NodeParameters(self, self.state, self._apply)
        except Exception:
            # Else it stays in the graph, and hides the next node of this name.
            self.destroy()
            raise
        # Of what is done here with OpenCV every step takes less than a millisecond, and on a busy
        # machine a second thread comes later than that.
        cv2.setNumThreads(1)
        if self.parameters.autostart:
            self.transition_hint = 'where a manager leads, set autostart:=false'
        self._progress = ''
        self._fetching: Future[None] | None = None
        self._frames = FrameLoop(self, lambda: self._wake(self._scale_changed), self.log_error)
        self._worker = self._frames.worker
        self._cameras = {
            name: NodeCamera(self, name, parameters, self._worker.offer, self._need_transforms)
            for name, parameters in self._settings.cameras.items()
        }
        self._transforms: LiveTransforms | None = None
        self._reporter = Reporter(self, self._snapshot)
        self._fetched = self.create_guard_condition(self._start)
        self._scale_changed = self.create_guard_condition(self._reporter.report_status)
        for name in {'', *self._cameras}:
            topic = f'~/{name}/reset_alignment' if name else '~/reset_alignment'
            self.create_service(Trigger, topic, partial(self._reset_alignment, name))
        self._reporter.report()
        if self.parameters.autostart:
            self._fetching = self._worker.submit(self._fetch)
            self._fetching.add_done_callback(lambda _: self._wake(self._fetched))

    @property
    def parameters(self) -> Parameters:
        """The parameters in force; where cameras have names, each has its own besides."""
        return self._settings.current

    def _configure(self) -> None:
        if self._fetching is not None and not self._fetching.done():
            raise WeightsError('the weights are still being fetched: configure again after that')
        # On the thread that owns the network, behind a frame that may still be in the last one.
        backend = self._worker.submit(partial(load_backend, self.parameters)).result()
        self._frames.network = SharedNetwork(backend, self.get_logger().warning)
        try:
            for camera in self._cameras.values():
                camera.outputs.open()
        except Exception:
            self._cleanup()
            raise
        info = backend.info
        self.get_logger().info(
            f'{info.weights.title} through {info.name} on '
            f'{info.device}, {info.precision}, input size {info.input_size}'
            + (f' ({info.why})' if info.why else '')
        )
        for warning in info.notices:
            self.get_logger().warning(warning)
        # Nobody runs the packaged variant by mistake.
        log = self.get_logger().info if info.variant in PACKAGED else self.get_logger().warning
        for notice in info.weights.notices():
            log(notice)

    def _activate(self) -> None:
        assert self._frames.network is not None
        backend = self._frames.network.backend
        self._frames.overload = self.parameters.overload
        try:
            if backend.info.output.metric:
                # Clouds and scans may ask for a level frame without any reference.
                self._need_transforms()
            for camera in self._cameras.values():
                camera.open_inputs(DepthStream(backend, camera.parameters))
        except Exception:
            self._deactivate()
            raise

    def _deactivate(self) -> None:
        for camera in self._cameras.values():
            camera.close_inputs()
        self._worker.clear()
        transforms, self._transforms = self._transforms, None
        if transforms is not None:
            transforms.close()

    def _cleanup(self) -> None:
        for camera in self._cameras.values():
            camera.outputs.close()
        network, self._frames.network = self._frames.network, None
        if network is not None:
            # On its own thread, behind the frame that may still be in the network.
            self._worker.submit(network.backend.close)

    def _finish(self) -> None:
        self.finished = True

    on_configure = transition(ManagedNode.on_configure, _configure)
    on_activate = transition(ManagedNode.on_activate, _activate)
    on_deactivate = transition(ManagedNode.on_deactivate, _deactivate)
    on_cleanup = transition(ManagedNode.on_cleanup, _cleanup)
    on_shutdown = transition(ManagedNode.on_shutdown, _finish, _deactivate, _cleanup)

    # Autostart: slow things first, on the worker, then the transitions on the executor.

    def _fetch(self) -> None:
        self._progress = _PREPARING
        try:
            fetch_weights(self.parameters, self._show_progress)
        finally:
            self._progress = ''

    def _show_progress(self, percent: float, done: int, total: int) -> None:
        part = f'downloading weights: {percent:.0f} % of {total / 1e6:.0f} MB'
        self._progress = _PREPARING if done == total else part

    def _start(self) -> None:
        assert self._fetching is not None
        error = self._fetching.exception()
        if error is not None:
            self.log_error(error)
            name = self.get_fully_qualified_name()
            self.failure = f'{error}; then: ros2 lifecycle set {name} configure, and activate'
        elif self.state() == 'unconfigured' and self.trigger_configure() == SUCCESS:
            self.trigger_activate()
        self._reporter.report()

    def close(self) -> bool:
        """Stop the worker and destroy the node; False if the network still runs."""
        for camera in self._cameras.values():
            camera.close_inputs()
        stopped = self._worker.stop(timeout_s=0.5)
        self.destroy()
        return stopped

    # Requests and reports.

    def _need_transforms(self) -> None:
        """Listen to tf from now on, which costs time wherever tf is busy."""
        if self._transforms is None:
            self._transforms = create_transforms(self)
            for camera in self._cameras.values():
                camera.messages.transforms = self._transforms

    def _wake(self, condition: GuardCondition) -> None:
        """Let the executor run the callback of `condition`; any thread may ask."""
        # The node may have gone meanwhile.
        with suppress(rclpy_implementation.InvalidHandle):
            condition.trigger()

    def _reset_alignment(
        self, camera: str, _: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        streams = [
            each.stream
            for name, each in self._cameras.items()
            if each.stream is not None and camera in ('', name)
        ]
        for stream in streams:
            stream.reset_scale()
        response.success = bool(streams)
        response.message = (
            'the next frame starts without a scale'
            if streams
            else f'the node is {self.state()}: there is no alignment'
        )
        return response

    def _apply(self) -> None:
        self._frames.overload = self.parameters.overload
        for name, camera in self._cameras.items():
            camera.parameters = self._settings.cameras[name]
            if camera.stream is not None:
                camera.stream.parameters = camera.parameters

    def _snapshot(self) -> Snapshot:
        network = self._frames.network
        return Snapshot(
            state=self.state(),
            failure=self.failure,
            progress=self._progress,
            parameters=self.parameters,
            backend=network.backend.info if network else None,
            degraded=network.degraded if network else '',
            cameras=self._cameras,
            stuck=self._frames.stuck(),
        )


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT, SIGTERM or the lifecycle's shutdown; return the exit status."""
    ending = False

    def end(_number: int, _frame: FrameType | None) -> None:
        # ros2 launch and the terminal each send one: the second must not break the clean-up.
        nonlocal ending
        if not ending:
            ending = True
            raise KeyboardInterrupt

    # Before rclpy takes both over and calls this too: a slow transition must not hold the end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        rclpy.init(args=args)
    except rclpy_implementation.RCLError as error:
        sys.stderr.write(f'depth_node: {str(error).splitlines()[0]}\n')
        return 2
    node = None
    try:
        node = DepthNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while rclpy.ok() and not node.finished:
            executor.spin_once()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (DepthAnythingError, NameValidationException, ParameterException) as error:
        sys.stderr.write(f'depth_node: {" ".join(str(error).split())[:_LONGEST_LINE]}\n')
        return 2
    except RuntimeError:
        # A signal may end the context in the middle of a wait, or the making of a message, which
        # rclpy tells as a RuntimeError like its own.
        if rclpy.ok() and not ending:
            raise
    finally:
        ending = True
        stopped = node is None or node.close()
        rclpy.try_shutdown()
        if not stopped:
            # A thread inside a torch operation would hold the interpreter's exit for seconds.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    return 0


if __name__ == '__main__':
    sys.exit(main())
