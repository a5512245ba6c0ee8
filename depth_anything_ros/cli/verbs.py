"""The verbs of `depth_anything`. A verb's module, named like it, is imported when it is used."""

from __future__ import annotations

from functools import partial
from importlib import import_module

from depth_anything_ros import __version__
from depth_anything_ros.cli.parser import Parser, add_verb

__all__ = ['VERBS', 'parser']

VERBS = {
    'run': 'depth of images, folders, videos or a webcam, without ROS',
    'view': 'look at files, a bag or a running node in rerun',
    'bag': 'process bags, compare two of them, prove metric depth',
    'bench': 'time the network on this machine',
    'study': 'look into networks and compare them, on pages that open offline',
    'tune': 'find the best network within a time budget, and write params.yaml',
    'export': 'the network as a file for OpenVINO or ONNX runtimes',
    'weights': 'list, check, fetch or verify checkpoints',
    'doctor': 'what keeps this machine or its topics from working, and how to fix it',
}


def parser() -> Parser:
    """Return the parser of the whole command line."""
    whole = Parser(
        prog='depth_anything',
        description='Depth from one camera with Depth Anything V2.',
        epilog='Exit status: 0 done, 1 a check failed or something was left out, 2 bad usage or '
        'input.',
    )
    whole.add_argument('--version', action='version', version=__version__)
    verbs = whole.add_subparsers(required=True, metavar='VERB', title='verbs')
    for name, text in VERBS.items():
        add_verb(
            verbs,
            name,
            text,
            declare=partial(_declare, name),
            default_verb='network' if name == 'bench' else '',
        )
    return whole


def _declare(name: str, verb: Parser) -> None:
    import_module(f'depth_anything_ros.cli.{name}').declare(verb)
