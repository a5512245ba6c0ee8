"""`study`: what is inside the networks, how they differ, and how good they are, on pages."""

from __future__ import annotations

import argparse
import itertools
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from depth_anything_ros.cli.network_grid import counts
from depth_anything_ros.cli.options import positive, require_some
from depth_anything_ros.cli.parser import Parser, add_verb
from depth_anything_ros.cli.terminal import note_size, progress
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.core.preprocess import network_size
from depth_anything_ros.model.variants import Checkpoint, get_variant
from depth_anything_ros.settings.input_files import InputFiles

if TYPE_CHECKING:
    from depth_anything_ros.reports.report import Section
    from depth_anything_ros.studies.inputs import Images, OnProgress, Subject
    from depth_anything_ros.studies.parts import Parts

__all__ = ['declare']

_OF_IMAGES = {
    'dissect': ('what every layer puts out, attention, what each stage adds', 'vits,vitb,vitl'),
    'variants': ('contact sheet, disputes, detail, speed and size', 'vits,vitb,vitl'),
    'colormaps': ('the colormaps judged by computation; a recommendation', 'vits'),
    'distribution': ('histogram, slices and surface of depth, limits, sky', 'vits'),
}
_OF_DATASETS = {
    'accuracy': ('against true depth, beside what is published', 'vits,vitb,vitl'),
    'ensemble': ('the mean of several networks: cost and gain', 'vits,vitb,vitl'),
    'tta': ('mirrored, scaled, filtered, other input sizes: cost and gain', 'vits'),
}
"""Verb: what it shows, and the variants that it takes by default."""


def declare(study: Parser) -> None:
    """Declare the verbs and their options."""
    verbs = study.add_subparsers(required=True, metavar='VERB', title='verbs')
    own: dict[str, Parser] = {}
    for name, (text, variants) in (_OF_IMAGES | _OF_DATASETS).items():
        verb = own[name] = add_verb(verbs, name, text)
        if name in _OF_IMAGES:
            verb.add_argument(
                'inputs', nargs='+', metavar='IMAGE', help='image, or folder of them'
            )
        else:
            _add_dataset(verb)
        _add_shared(verb, variants)
        verb.set_defaults(verb=partial(_study, name))

    add = own['dissect'].add_argument
    text = "layers to write, by names or patterns such as 'depth_head.*' (default: all)"
    add('--layers', type=_names, default=('*',), metavar='NAME,...', help=text)
    add('--no-npy', action='store_true', help='write no arrays; their size is told before')
    text = 'where attention is looked at, in shares of width and height from the top left'
    default = [(0.5, 0.5), (0.25, 0.75), (0.75, 0.25)]
    add('--points', type=_point, nargs='+', metavar='X,Y', default=default, help=text)

    add = own['variants'].add_argument
    text = 'CPU threads to time with (default: 1,2)'
    add('--threads', type=counts, default=[1, 2], metavar='INT,...', help=text)
    text = 'most time to time a network for, up to 100 frames (default: 30)'
    add('--seconds', type=positive, default=30.0, metavar='S', help=text)
    add('--no-speed', action='store_true', help='time nothing')

    text = 'of metric ones the metres are judged as they are, too (default: relative)'
    choices = [one.value for one in Checkpoint]
    own['accuracy'].add_argument('--checkpoint', choices=choices, default='relative', help=text)
    text = 'input sizes to try (default: 252,364,700,1022)'
    sizes = [252, 364, 700, 1022]
    own['tta'].add_argument('--sizes', type=counts, default=sizes, metavar='PX,...', help=text)


def _add_dataset(verb: Parser) -> None:
    verb.add_argument(
        'dataset',
        type=Path,
        metavar='DATASET',
        help='folder with image/NAME.png, depth/NAME.png (16 bits) or .npy, and dataset.json: '
        '{"name": "mine", "metres_per_level": 0.001, "max_depth_m": 10}',
    )
    text = 'scale and published figures of a known dataset, instead of dataset.json'
    verb.add_argument('--like', choices=('nyu', 'kitti'), default='', help=text)
    verb.add_argument('--images', type=int, metavar='N', help='as many pairs at most')


def _add_shared(verb: Parser, variants: str) -> None:
    verb.add_argument(
        '--variant',
        type=_variants,
        metavar='NAME,...',
        default=variants.split(','),
        help=f'networks, the largest last (default: {variants})',
    )
    verb.add_argument(
        '--weights',
        default='',
        metavar='PATH',
        help="a checkpoint, a folder of them, or 'random'; by default the released ones where "
        'they are in the cache, else random ones, which the page says. Nothing is downloaded',
    )
    verb.add_argument(
        '--input-size', type=int, default=518, metavar='PX', help='shorter side (default: 518)'
    )
    verb.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder to write')
    verb.add_argument('--resume', action='store_true', help='skip the parts that are finished')


def _study(name: str, options: argparse.Namespace) -> int:
    """Run a study, and write its page."""
    from depth_anything_ros.reports.writing import write_report
    from depth_anything_ros.studies.inputs import images_of, report_of, subjects_of
    from depth_anything_ros.studies.parts import Parts

    network_size(1, 1, options.input_size)
    read = [options.dataset] if name in _OF_DATASETS else options.inputs
    InputFiles([*read, options.weights]).refuse(options.out, '--out')
    checkpoint = Checkpoint(getattr(options, 'checkpoint', 'relative'))
    subjects = subjects_of(options.variant, options.weights, options.input_size, checkpoint)
    for notice in (notice for one in subjects for notice in one.weights.notices()):
        print(f'warning: {notice}', file=sys.stderr)
    for one in subjects:
        note_size(one.variant.name, one.weights.card.pinned_size, options.input_size)
    left_out: list[str] = []
    try:
        with progress('step') as show:
            if name in _OF_DATASETS:
                names, left_out, sections = _against_truth(name, options, subjects, show)
            else:
                images, left_out = images_of(options.inputs)
                parts = Parts(options.out, options.resume)
                study = _dissect if name == 'dissect' else partial(_of_depths, name)
                names, sections = list(images), study(options, images, subjects, parts, show)
    except OSError as err:
        raise SettingError(f'--out {options.out} cannot be written: {err}') from err
    command = 'depth_anything ' + shlex.join(sys.argv[1:])
    report = report_of(f'Study: {name}', command, subjects, names, left_out, sections)
    # The pictures of a dissection are hundreds.
    page = write_report(report, options.out, is_single_file=name != 'dissect')
    for line in left_out:
        print(f'left out: {line}', file=sys.stderr)
    print(f'look at {page}')
    return 1 if left_out else 0


def _dissect(
    options: argparse.Namespace,
    images: Images,
    subjects: list[Subject],
    parts: Parts,
    show: OnProgress,
) -> list[Section]:
    from depth_anything_ros.studies.dissect.page import study
    from depth_anything_ros.studies.dissect.run import DissectPlan, array_bytes

    plan = DissectPlan(options.out, options.layers, not options.no_npy, tuple(options.points))
    size, free = array_bytes(subjects, images, plan), shutil.disk_usage(options.out).free
    if plan.has_arrays:
        print(f'arrays of the layers: {size / 1e6:.0f} MB in {options.out}', file=sys.stderr)
        if size > free:
            raise SettingError(
                f'the arrays need {size / 1e9:.1f} GB and {options.out} has {free / 1e9:.1f} GB: '
                'add --no-npy, choose some with --layers, or another --out'
            )
    return study(subjects, images, plan, parts, show)


def _of_depths(
    name: str,
    options: argparse.Namespace,
    images: Images,
    subjects: list[Subject],
    parts: Parts,
    show: OnProgress,
) -> list[Section]:
    from depth_anything_ros.studies.inputs import depths_of

    if name == 'colormaps' and len(subjects) > 1:
        raise SettingError('colormaps are judged on the depth of one network: give one --variant')
    is_timed = name == 'variants' and not options.no_speed
    count = len(images) * len(subjects)
    total = count + (len(options.threads) * len(subjects) if is_timed else 0)

    def after(before: int) -> OnProgress:
        return lambda done, _: show(before + done, total)

    depths = {
        one.title: depths_of(one, images, parts, after(index * len(images)))
        for index, one in enumerate(subjects)
    }
    if name == 'colormaps':
        from depth_anything_ros.studies import colormaps

        return colormaps.sections(images, *depths.values())
    if name == 'distribution':
        from depth_anything_ros.studies import distribution

        shown = [distribution.sections(title, images, each) for title, each in depths.items()]
        return list(itertools.chain(*shown))
    from depth_anything_ros.studies.bench.measure import BenchPlan
    from depth_anything_ros.studies.variants import study

    found = study.sections(images, depths)
    if is_timed:
        height, width = next(iter(images.values())).shape[:2]
        plan = BenchPlan((width, height), 100, options.seconds, None, False, False)
        found.append(study.speed(subjects, options.threads, plan, parts, after(count)))
    return found


def _against_truth(
    name: str, options: argparse.Namespace, subjects: list[Subject], show: OnProgress
) -> tuple[list[str], list[str], list[Section]]:
    """Return the names of the images, why others are left out, and the sections."""
    from depth_anything_ros.studies.accuracy import methods, page
    from depth_anything_ros.studies.accuracy.dataset import open_dataset
    from depth_anything_ros.studies.accuracy.looks import looks
    from depth_anything_ros.studies.parts import Parts

    require_some(options, 'images')
    if name == 'ensemble' and len(subjects) < 2:
        raise SettingError('an ensemble takes two networks or more: give --variant vits,vitl')
    compared: methods.Methods = {}
    if name == 'tta':
        for size in options.sizes:
            network_size(1, 1, size)
        for one in subjects:
            compared |= methods.more_looks(one, options.sizes)
    else:
        compared = (methods.alone if name == 'accuracy' else methods.ensembles)(subjects)
    dataset = open_dataset(options.dataset, options.like, options.images)
    parts = Parts(options.out, options.resume)
    found, judged, left_out, tiles = methods.evaluate(dataset, compared, subjects, parts, show)
    shown = [page.scores(dataset, len(judged), found)]
    if name == 'accuracy':
        shown += page.published(dataset, found)
    elif name == 'ensemble':
        shown.insert(0, page.answer(found))
    return judged, left_out, [*shown, looks(tiles)]


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(','))


def _variants(text: str) -> list[str]:
    try:
        return list(dict.fromkeys(get_variant(name).name for name in _names(text)))
    except SettingError as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(','))
    except ValueError as err:
        raise argparse.ArgumentTypeError(f'{text} is not a point: give it as 0.5,0.5') from err
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise argparse.ArgumentTypeError(f'{text} is outside the image: give shares from 0 to 1')
    return x, y
