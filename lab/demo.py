"""The running node on two simulated drives, a picture of what it published, and how good it is."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
from tqdm import tqdm

from depth_anything_ros.bag.writing import METADATA
from depth_anything_ros.cli.options import add_network, add_parameters, parameters_of, positive
from depth_anything_ros.cli.terminal import fetch, load, progress
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.reports.writing import write_report
from depth_anything_ros.studies.prove.figures import ProofLimits, failures
from depth_anything_ros.studies.prove.page import report_of
from depth_anything_ros.studies.prove.run import Asked, Result, prove
from lab import command
from lab.contact_sheet import contact_sheet
from lab.live_replay import Replay, replay
from lab.sample import write_sample_bag

__all__ = ['drive', 'main', 'proof', 'show']

_SCENES = ('room', 'road')
_COLUMNS_PER_SCENE = 3
_REFERENCES, _PROOF = ('point_cloud', 'depth_image'), 'proof'


def _pairs(out: Path) -> dict[Path, Path]:
    """Return, for the sample bag of each scene, the bag of the node's outputs."""
    return {out / f'sample_{scene}': out / f'depth_{scene}' for scene in _SCENES}


def drive(
    out: Path, seconds: float, rate_hz: float, on_progress: Callable[[int, int], None]
) -> None:
    """Record `seconds` of two simulated drives below `out`, the camera at `rate_hz`.

    `on_progress` gets (done, total) measurements of each. Raises SettingError for arguments that
    cannot be used.
    """
    pairs = _pairs(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _remove_earlier([*pairs, *pairs.values()])
    except OSError as err:
        raise SettingError(f'cannot write into {out}: {err.strerror}; name another --out') from err
    for scene, bag in zip(_SCENES, pairs, strict=True):
        write_sample_bag(bag, scene, seconds, rate_hz, on_progress=on_progress)


def show(out: Path, parameters: Parameters, rate_hz: float) -> int:
    """Replay the drives to the node and write a contact sheet of its outputs.

    Return 0, or 1 if no depth came back, or none in metres. Raises DepthAnythingError if the
    node does not start.
    """
    pairs, path = _pairs(out), out / 'demo.png'
    result = replay(pairs, parameters)
    _print_summary(result, rate_hz)
    if not result.processed:
        print('no depth came back', file=sys.stderr)
        return 1
    sheet = contact_sheet(pairs, _COLUMNS_PER_SCENE, parameters.color.map)
    if sheet is None:
        print(
            'no metric depth came back: the machine is busy, give a lower --rate', file=sys.stderr
        )
        return 1
    if not cv2.imwrite(str(path), sheet):
        raise SettingError(f'{path} cannot be written: is the disk full?')
    print(f'\nlook at          {path}')
    print(f'recorded depth   {"  ".join(str(bag) for bag in pairs.values())}')
    print(f'sample bags      {"  ".join(str(bag) for bag in pairs)}')
    return 0


def proof(out: Path, parameters: Parameters) -> None:
    """Write the page of `depth_anything bag prove` on both drives, and say how to open it."""
    asked = Asked(references=_REFERENCES)
    parameters = replace(parameters, reference=replace(parameters.reference, fixed_frame='odom'))
    backend = load(parameters)
    results: list[Result] = []
    with tqdm(unit='image', disable=None, leave=False) as bar:
        for bag in _pairs(out):
            results += prove(bag, backend, parameters, asked, lambda *_: bar.update())
    backend.close()
    limits = ProofLimits()
    failed = [line for each in results for row in each.proofs for line in failures(row, limits)]
    options = [f'--reference={name}' for name in _REFERENCES]
    bags = [str(bag) for bag in _pairs(out)]
    words = 'bag', 'prove', *bags, *options, f'--variant={parameters.variant}'
    words = *words, '--set=reference.fixed_frame=odom', f'--out={out / _PROOF}'
    command = 'depth_anything ' + shlex.join(words)
    page = write_report(report_of(results, failed, limits, command), out / _PROOF)
    print(f'how good it is   {page}: open it in a browser (xdg-open {shlex.quote(str(page))})')
    print('on your own bag  depth_anything bag prove BAG --variant vits --out proof')
    print('\nnext, on your own pictures: depth_anything run FOLDER OUT --variant vits')
    print('on your robot: ros2 launch depth_anything_ros depth.launch.py variant:=vits')


def _remove_earlier(bags: list[Path]) -> None:
    """Remove the bags of an earlier demo; SettingError where one holds more."""
    there = [bag for bag in bags if bag.exists()]
    for bag in there:
        foreign = {path.name for path in bag.iterdir()} - {METADATA, f'{bag.name}.mcap'}
        if foreign:
            raise SettingError(
                f'{bag / min(foreign)} is not of an earlier demo: move it, or name another --out'
            )
    for bag in there:
        for path in bag.iterdir():
            path.unlink()
        bag.rmdir()


def _print_summary(result: Replay, rate_hz: float) -> None:
    p50, p95, p99 = result.latency_ms.percentiles(50, 95, 99)
    print(f'\nimages sent      {result.sent:5d}  at {rate_hz:.1f} Hz')
    print(f'depth received   {result.processed:5d}  at {result.output_hz:.1f} Hz')
    print(f'image to depth   p50 {p50:.0f} ms, p95 {p95:.0f} ms, p99 {p99:.0f} ms, through DDS')
    for status in result.diagnostics:
        part = status.name.rpartition(': ')[2]
        print(f'{part:<16} {status.message}')


def main(args: Sequence[str] | None = None) -> int:
    """Record the drives, replay them to the node, and return the exit status."""
    parser = command.parser_of('lab.demo', __doc__)
    parser.add_argument(
        '--out', type=Path, metavar='FOLDER', default=Path('demo'), help='default: %(default)s'
    )
    parser.add_argument(
        '--seconds', type=positive, metavar='S', default=2.0, help='of each drive (default: 2)'
    )
    parser.add_argument(
        '--rate', type=positive, metavar='HZ', default=30.0, help='images per second (default: 30)'
    )
    add_parameters(parser, ('color.map',), {})
    add_network(parser, {'variant': 'demo'})
    return command.run(parser, args, _demo)


def _demo(options: argparse.Namespace) -> int:
    parameters = parameters_of(options)
    fetch(parameters)
    print('driving through a simulated room and road')
    with progress('measurement') as on_progress:
        drive(options.out, options.seconds, options.rate, on_progress)
    print('replaying both to the node')
    status = show(options.out, parameters, options.rate)
    if status == 0:
        proof(options.out, parameters)
    return status


if __name__ == '__main__':
    raise SystemExit(main())
