"""`depth_anything`: verbs over the api of the folders beside this file.

Exit status: 0 done, 1 a check failed or something was left out, 2 bad usage or input.
"""

from __future__ import annotations

import os
import sys

from depth_anything_ros.core.errors import DepthAnythingError

__all__ = ['main']


def main(args: list[str] | None = None) -> int:
    """Run one verb and give its exit status."""
    try:
        # Ctrl-C is answered while they are imported, too.
        from depth_anything_ros.cli.verbs import parser

        options = parser().parse_args(args)
        status: int = options.verb(options)
        sys.stdout.flush()
        return status
    except DepthAnythingError as error:
        print(f'depth_anything: {error}', file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith('depth_anything_ros'):
            raise
        fix = 'source ROS 2' if error.name == 'rclpy' else f'pip install {error.name}'
        print(f'depth_anything: this needs {error.name}, not installed: {fix}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('depth_anything: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, head say, has gone; Python would complain once more on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
