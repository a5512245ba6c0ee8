"""`view`: look at files, a bag or a running node in rerun."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from depth_anything_ros.cli.metres import add_metres, scenes_of
from depth_anything_ros.cli.options import (
    NETWORK,
    add_layered_parameters,
    layered_parameters,
    positive,
    require_writable,
)
from depth_anything_ros.cli.parser import Parser
from depth_anything_ros.cli.terminal import load
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.settings.input_files import InputFiles

__all__ = ['declare']


def declare(view: Parser) -> None:
    """Declare the options."""
    add = view.add_argument
    add('source', metavar='SOURCE', nargs='?', help='bag, or IN as of run: film, folder, webcam')
    add('--node', metavar='NAME', help='in place of SOURCE: a running node, /depth_anything')
    add('--save', metavar='FILE', type=Path, help='write a recording (.rrd); needs no display')
    text = 'serve the viewer to browsers on this machine (default of PORT: 9090)'
    add('--web', metavar='PORT', nargs='?', type=int, const=9090, help=text)
    add('--recursive', action='store_true', help='search the folders in SOURCE, too')
    text = 'SOURCE holds the frames of a film (default of FPS: 30)'
    add('--sequence', metavar='FPS', nargs='?', type=positive, const=30.0, help=text)
    text = 'of a bag, once for each camera (default: every colour one)'
    add('--image', metavar='TOPIC', action='append', default=[], help=text)
    add_metres(view, '; of a bag the topic')
    add_layered_parameters(view, (*NETWORK, 'reference.type'))
    view.set_defaults(verb=_view)


def _view(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.signals import stop_signals
    from depth_anything_ros.view.viewer import recording

    if (options.source is None) == (options.node is None):
        raise SettingError('name one thing to look at: SOURCE, or --node NAME')
    display = any(map(os.environ.get, ('DISPLAY', 'WAYLAND_DISPLAY')))
    if options.save is None and options.web is None and not display:
        raise SettingError('there is no display: give --web, or --save FILE.rrd')
    if options.web is not None and not 0 < options.web < 65535:
        raise SettingError(f'--web {options.web}: give a port from 1 to 65534')
    show = _node if options.node else _bag if _is_bag(Path(options.source)) else _media
    if options.save is not None:
        if options.save.suffix.lower() != '.rrd':
            raise SettingError(f'--save {options.save} is a recording: let it end in .rrd')
        # A folder of pictures may take it, a bag is closed.
        InputFiles([options.source]).refuse(options.save, '--save', within=show is _bag)
    require_writable(options, 'save')
    with stop_signals() as stopped:
        say = partial(print, flush=True)
        record = partial(recording, options.save, options.web, say, stopped)
        return show(options, stopped, record)


def _node(options: argparse.Namespace, stopped: Any, record: Any) -> int:
    from depth_anything_ros.ros.listening import listening
    from depth_anything_ros.view.node import NodeView

    with listening('depth_anything_view') as (node, spin):
        view = NodeView(node, spin, options.node)
        with record(view.roots, 'datetime64') as recorder:
            view.show(recorder, stopped)
    _print_left_out(f'{count} times {what}' for what, count in view.left_out.items())
    count = sum(map(len, recorder.numbers.values()))
    why = '' if count else f'; it says: {view.status or "nothing"}'
    print(f'{count} frames of {options.node}, {view.images} with their image{why}')
    return 0 if count and not view.left_out else 1


def _bag(options: argparse.Namespace, stopped: Any, record: Any) -> int:
    from tempfile import TemporaryDirectory

    from depth_anything_ros.bag.plan import NODE, CameraPlan, ProcessOptions
    from depth_anything_ros.bag.process import plan_bag, process_bag
    from depth_anything_ros.bag.summary import table
    from depth_anything_ros.estimator.frame import Frame
    from depth_anything_ros.view.recording import entities_of

    parameters = layered_parameters(options, **{'cloud.stride': 2})
    reference = str(options.reference or '')
    how = ProcessOptions(tuple(options.image), reference=reference, copy=('none',))
    with TemporaryDirectory() as folder:
        plan = plan_bag(Path(options.source), Path(folder, 'none'), parameters, how)
        assert plan is not None
        roots = {each.prefix: each.prefix.removeprefix(NODE) or '/camera' for each in plan.cameras}
        backend = load(parameters)
        with record([*roots.values()], 'datetime64') as recorder:

            def on_frame(camera: CameraPlan, frame: Frame, refused: int) -> None:
                entities = entities_of(frame, {'dropped_invalid': refused})
                recorder.add(roots[camera.prefix], frame.stamp_ns, entities, frame.message)

            plan = replace(plan, outputs=())
            found = process_bag(plan, backend, parameters, stop=stopped, on_frame=on_frame)
            print(table([found]), flush=True)
    return 0 if found.good and found.complete else 1


def _media(options: argparse.Namespace, stopped: Any, record: Any) -> int:
    from depth_anything_ros.estimator.stream import DepthStream
    from depth_anything_ros.media.job import run
    from depth_anything_ros.media.sources import open_source
    from depth_anything_ros.view.media import ROOT, Recorded

    source = open_source(options.source, recursive=options.recursive, sequence_hz=options.sequence)
    parameters = layered_parameters(options, **{'rectified': False, 'cloud.stride': 2})
    scenes = scenes_of(options, source, parameters, ())
    stream = DepthStream(load(parameters), parameters)
    with record([ROOT], 'timedelta64' if source.moving else '') as recorder:
        outputs = Recorded(source, recorder)
        found = run(source, stream, outputs, scene_of=scenes, stopped=stopped)
        lacking = (found.refused, found.without_metres, found.skipped)
        lines = [line for tally in lacking for line in tally.lines()]
        cut_short = found.interrupted and not source.live and f'stopped by {found.interrupted}'
        faults = [*filter(None, (found.fault, cut_short))]
        _print_left_out([*lines, *faults])
        dropped = f', {found.dropped} dropped' if source.live else ''
        print(f'{found.written} frames{dropped}', flush=True)
    return 1 if found.refused or found.without_metres or faults else 0


def _print_left_out(lines: Any) -> None:
    for line in lines:
        print(f'left out: {line}', file=sys.stderr, flush=True)


def _is_bag(path: Path) -> bool:
    files = [path, *path.iterdir()] if path.is_dir() else [path]
    return any({'.mcap', '.db3'}.intersection(each.suffixes) for each in files)
