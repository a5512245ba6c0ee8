"""`depth_anything`: verbs over the modules of the other folders, one file a verb."""

from __future__ import annotations

from depth_anything_ros.cli.exit_status import exit_status

__all__ = ['main']


def main(args: list[str] | None = None) -> int:
    """Run one verb and return its exit status."""

    def verb() -> int:
        # Imported here, so that Ctrl-C during the imports is one line, too.
        from depth_anything_ros.cli.verbs import parser

        options = parser().parse_args(args)
        status: int = options.verb(options)
        return status

    return exit_status('depth_anything', verb)
