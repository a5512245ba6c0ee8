"""Entry point of the node: whoever interrupts its imports gets no traceback."""

from __future__ import annotations

import signal

from depth_anything_ros.cli.exit_status import open_standard_files

__all__ = ['depth_node']


def depth_node() -> int:
    """Run the lifecycle node, and return its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    open_standard_files()
    from depth_anything_ros.node import main

    try:
        return main()
    except KeyboardInterrupt:
        # Of the second signal, while the first is served.
        return 0
