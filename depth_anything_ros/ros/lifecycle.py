"""A lifecycle node that survives failed transitions: each is logged, kept and reported."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from depth_anything_ros.core.errors import DepthAnythingError

__all__ = ['ManagedNode', 'transition']


class ManagedNode(LifecycleNode):
    """A base whose on_configure and so on are `transition`s."""

    def __init__(self, name: str, **options: Any) -> None:
        """Create the node `name`; `options` are those of LifecycleNode."""
        super().__init__(name, **options)
        self.finished = False
        """Whether it was shut down."""
        self.failure = ''
        """Why the last transition failed; '' if it did not."""
        self.transition_hint = ''
        """What may lead to requests that do not fit the state; '' for nothing."""
        # Of a request that does not fit the state, rclpy ends the executor or says nothing.
        answer = self._service_change_state.callback
        self._service_change_state.callback = partial(self._change_state, answer)

    def state(self) -> str:
        """Return the label of the lifecycle state."""
        return str(self._state_machine.current_state[1])

    def log_error(self, error: BaseException) -> None:
        """Log the message of a DepthAnythingError, the traceback of anything else."""
        if isinstance(error, DepthAnythingError):
            self.get_logger().error(str(error))
        elif isinstance(error, MemoryError):
            self.get_logger().error('memory ran out: free some, or raise its limit')
        else:
            self.get_logger().error(''.join(traceback.format_exception(error)))

    def destroy(self) -> None:
        """Destroy the node with its state machine."""
        self.destroy_node()
        # Else its services stay visible until the garbage collector comes by.
        self._state_machine.destroy_when_not_in_use()

    def _change_state(
        self,
        answer: Callable[[Any, Any], Any],
        request: ChangeState.Request,
        response: ChangeState.Response,
    ) -> ChangeState.Response:
        asked, machine = request.transition, self._state_machine
        possible = {number: label for number, label, *_ in machine.available_transitions}
        if asked.label in possible.values() if asked.label else asked.id in possible:
            return answer(request, response)
        labels = {number: label for number, label, *_ in machine.transition_graph}
        name = asked.label or f'{labels.get(asked.id, "unknown")} ({asked.id})'
        fits = ', '.join(f'{label} ({number})' for number, label in possible.items())
        hint = f'; {self.transition_hint}' if self.transition_hint else ''
        self.get_logger().error(
            f"transition '{name}' is not possible in state '{self.state()}': possible are "
            f'{fits or "none"}{hint}'
        )
        response.success = False
        return response


def transition(
    managed: Callable[..., TransitionCallbackReturn], *acts: Callable[..., None]
) -> Callable[..., TransitionCallbackReturn]:
    """Return a method that calls `acts`, and then that of LifecycleNode.

    What they raise would end in rclpy unlogged.
    """

    def change(node: ManagedNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            for act in acts:
                act(node)
            node.failure = ''
            return managed(node, state)
        except Exception as error:  # noqa: BLE001  whatever it is, it has to be logged
            node.log_error(error)
            node.failure = str(error) or repr(error)
            return TransitionCallbackReturn.FAILURE

    return change
