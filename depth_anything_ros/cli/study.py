"""`study`: what is inside the networks, how they differ, and how good they are, on pages."""

from __future__ import annotations

import argparse
import itertools
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from depth_anything_ros.cli.network_grid import batches
from depth_anything_ros.cli.options import positive, require_some
from depth_anything_ros.cli.parser import Parser, add_verb
from depth_anything_ros.cli.terminal import progress
from depth_anything_ros.core.errors import SettingError
from depth_anything_ros.model.variants import Checkpoint, get_variant

if TYPE_CHECKING:
    from depth_anything_ros.core.types import FloatImage
    from depth_anything_ros.reports.report import Section
    from depth_anything_ros.studies.accuracy.dataset import Dataset
    from depth_anything_ros.studies.accuracy.evaluate import Method, Result
    from depth_anything_ros.studies.inputs import NamedImage, Subject
    from depth_anything_ros.studies.parts import Parts

__all__ = ['declare']


def declare(study: Parser) -> None:
    """Declare the verbs and their options."""
    verbs = study.add_subparsers(required=True, metavar='VERB', title='verbs')

    text = 'what every layer puts out, attention, and what each stage adds'
    dissect = _add(verbs, 'dissect', text, _dissect, 'vits,vitb,vitl')
    dissect.add_argument(
        '--layers',
        type=_names,
        default=('*',),
        metavar='NAME,...',
        help="layers to write, as names or patterns such as 'depth_head.*' (default: all)",
    )
    dissect.add_argument(
        '--no-npy', action='store_true', help='write no arrays; their size is told before'
    )
    dissect.add_argument(
        '--points',
        type=_points,
        metavar='X,Y ...',
        nargs='+',
        default=[(0.5, 0.5), (0.25, 0.75), (0.75, 0.25)],
        help='where attention is looked at, in shares of width and height from the top left '
        '(default: 0.5,0.5 0.25,0.75 0.75,0.25)',
    )

    text = 'contact sheet, disagreement, detail, speed and size of the variants'
    variants = _add(verbs, 'variants', text, _variants_study, 'vits,vitb,vitl')
    variants.add_argument(
        '--threads',
        type=batches,
        default=[1, 2],
        metavar='INT,...',
        help='CPU threads to time with (default: 1,2)',
    )
    variants.add_argument(
        '--seconds',
        type=positive,
        default=30.0,
        metavar='S',
        help='most time to time a network for, up to 100 frames (default: %(default)g)',
    )
    variants.add_argument('--no-speed', action='store_true', help='time nothing')

    text = 'the eight colormaps judged by computation; a recommendation'
    _add(verbs, 'colormaps', text, _colormaps, 'vits')
    text = 'histogram, slices and surface of depth, smoothness, limits, sky'
    _add(verbs, 'distribution', text, _distribution, 'vits')

    text = 'against true depth: error, edges, order; beside what is published'
    accuracy = _add_dataset(verbs, 'accuracy', text, _accuracy, 'vits,vitb,vitl')
    checkpoints = [one.value for one in Checkpoint]
    accuracy.add_argument(
        '--checkpoint',
        choices=checkpoints,
        default=checkpoints[0],
        help='of metric ones the metres are judged as they are, too (default: relative)',
    )
    text = 'the mean of several networks: what it costs and gains'
    _add_dataset(verbs, 'ensemble', text, _ensemble, 'vits,vitb,vitl')
    text = 'mirrored, scaled, filtered, other input sizes: what it costs and gains'
    tta = _add_dataset(verbs, 'tta', text, _tta, 'vits')
    tta.add_argument(
        '--sizes',
        type=batches,
        metavar='PX,...',
        default=[252, 364, 700, 1022],
        help='input sizes to try (default: 252,364,700,1022)',
    )


def _add(
    verbs: argparse._SubParsersAction[Parser],
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
    variants: str,
) -> Parser:
    """Add a verb about images."""
    verb = add_verb(verbs, name, text)
    verb.add_argument('inputs', nargs='+', metavar='IMAGE', help='image, or folder of images')
    _add_shared(verb, run, variants)
    return verb


def _add_dataset(
    verbs: argparse._SubParsersAction[Parser],
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
    variants: str,
) -> Parser:
    """Add a verb about a dataset."""
    verb = add_verb(verbs, name, text)
    verb.add_argument(
        'dataset',
        type=Path,
        metavar='DATASET',
        help='folder with image/NAME.png, depth/NAME.png (16 bits) or .npy, and dataset.json: '
        '{"name": "mine", "metres_per_level": 0.001, "max_depth_m": 10}',
    )
    verb.add_argument(
        '--like',
        choices=('nyu', 'kitti'),
        default='',
        help='scale and published figures of a known dataset, instead of dataset.json',
    )
    verb.add_argument('--images', type=int, metavar='N', help='as many pairs at most')
    _add_shared(verb, run, variants)
    return verb


def _add_shared(verb: Parser, run: Callable[[argparse.Namespace], int], variants: str) -> None:
    verb.add_argument(
        '--variant',
        type=_variants,
        metavar='NAME,...',
        default=_variants(variants),
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
    verb.set_defaults(verb=run)


def _dissect(options: argparse.Namespace) -> int:
    from depth_anything_ros.reports.text import plain_json
    from depth_anything_ros.studies.dissect.artefact import untrained
    from depth_anything_ros.studies.dissect.page import artefact_section, layers_json, sections
    from depth_anything_ros.studies.dissect.run import DissectPlan, array_bytes, dissect
    from depth_anything_ros.studies.inputs import facts

    images, subjects, parts = _prepared(options)
    plan = DissectPlan(options.out, options.layers, not options.no_npy, tuple(options.points))
    size = array_bytes(subjects, images, plan)
    if plan.has_arrays:
        free = shutil.disk_usage(options.out).free
        print(f'arrays of the layers: {size / 1e6:.0f} MB in {options.out}', file=sys.stderr)
        if size > free:
            raise SettingError(
                f'the arrays need {size / 1e9:.1f} GB and {options.out} has {free / 1e9:.1f} GB: '
                'add --no-npy, choose some with --layers, or another --out'
            )
    with progress('part') as show:
        found = dissect(subjects, images, plan, parts, show)
    rows, missing = untrained([one.variant for one in subjects], images[0].bgr)
    names = _names_of(images)
    about = facts(subjects, names)
    content = plain_json(layers_json(found, about))
    (options.out / 'layers.json').write_text(content + '\n')
    shown = [*sections(found, options.out), artefact_section(rows, missing)]
    return _write(options, 'Dissection', subjects, names, shown, is_single_file=False)


def _variants_study(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.bench.measure import BenchPlan
    from depth_anything_ros.studies.variants.page import sections
    from depth_anything_ros.studies.variants.speed import speed_rows

    images, subjects, parts = _prepared(options)
    depths = _depths(subjects, images, parts)
    speed = []
    if not options.no_speed:
        height, width = images[0].bgr.shape[:2]
        plan = BenchPlan((width, height), 100, options.seconds, None, False, False)
        with progress('network') as show:
            speed = speed_rows(subjects, options.threads, plan, parts, show)
    return _write(
        options, 'Variants', subjects, _names_of(images), sections(images, depths, speed)
    )


def _colormaps(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.colormap_page import sections

    if len(options.variant) > 1:
        raise SettingError('colormaps are judged on the depth of one network: give one --variant')
    images, subjects, parts = _prepared(options)
    (depths,) = _depths(subjects, images, parts).values()
    return _write(options, 'Colormaps', subjects, _names_of(images), sections(images, depths))


def _distribution(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.distribution import sections

    images, subjects, parts = _prepared(options)
    depths = _depths(subjects, images, parts)
    shown = [one for title, each in depths.items() for one in sections(title, images, each)]
    return _write(options, 'Distribution of depth', subjects, _names_of(images), shown)


def _accuracy(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.accuracy.methods import alone
    from depth_anything_ros.studies.accuracy.page import accuracy_sections

    return _against_truth(options, 'Accuracy', alone, accuracy_sections)


def _ensemble(options: argparse.Namespace) -> int:
    from depth_anything_ros.studies.accuracy.methods import ensembles
    from depth_anything_ros.studies.accuracy.page import answer, scores

    if len(options.variant) < 2:
        raise SettingError('an ensemble takes two networks or more: give --variant vits,vitl')
    return _against_truth(
        options, 'Ensemble', ensembles, lambda data, found: [answer(found), scores(data, found)]
    )


def _tta(options: argparse.Namespace) -> int:
    from depth_anything_ros.core.preprocess import network_size
    from depth_anything_ros.studies.accuracy.methods import more_looks
    from depth_anything_ros.studies.accuracy.page import scores

    for size in options.sizes:
        network_size(1, 1, size)

    def methods(subjects: Sequence[Subject]) -> list[Method]:
        return [each for one in subjects for each in more_looks(one, options.sizes)]

    return _against_truth(
        options, 'More than one look', methods, lambda data, found: [scores(data, found)]
    )


def _against_truth(
    options: argparse.Namespace,
    title: str,
    methods_of: Callable[[Sequence[Subject]], list[Method]],
    sections_of: Callable[[Dataset, Sequence[Result]], list[Section]],
) -> int:
    from depth_anything_ros.studies.accuracy.dataset import open_dataset
    from depth_anything_ros.studies.accuracy.evaluate import evaluate

    require_some(options, 'images')
    dataset = open_dataset(options.dataset, options.like, options.images)
    subjects, parts = _networks(options)
    with progress('image') as show:
        found = evaluate(dataset, methods_of(subjects), parts, show)
    names = [pair.name for pair in dataset.pairs]
    return _write(options, title, subjects, names, sections_of(dataset, found))


def _depths(
    subjects: Sequence[Subject], images: Sequence[NamedImage], parts: Parts
) -> dict[str, list[FloatImage]]:
    """Return inverse depth of each image, by the title of each network."""
    from depth_anything_ros.studies.depths import depths_of

    total = len(subjects) * len(images)
    done = itertools.count(1)
    with progress('image') as show:
        return {
            one.title: depths_of(one, images, parts, lambda: show(next(done), total))
            for one in subjects
        }


def _prepared(
    options: argparse.Namespace,
) -> tuple[list[NamedImage], list[Subject], Parts]:
    """Return the images, the networks, and the folder of parts."""
    from depth_anything_ros.studies.inputs import images_of

    images = images_of(options.inputs)
    return images, *_networks(options)


def _networks(options: argparse.Namespace) -> tuple[list[Subject], Parts]:
    from depth_anything_ros.core.preprocess import network_size
    from depth_anything_ros.studies.inputs import subjects_of
    from depth_anything_ros.studies.parts import Parts

    network_size(1, 1, options.input_size)
    checkpoint = Checkpoint(getattr(options, 'checkpoint', Checkpoint.RELATIVE))
    subjects = subjects_of(options.variant, options.weights, options.input_size, checkpoint)
    for one in subjects:
        for notice in one.weights.notices():
            print(f'warning: {notice}', file=sys.stderr)
    return subjects, Parts(options.out, options.resume)


def _write(
    options: argparse.Namespace,
    title: str,
    subjects: Sequence[Subject],
    images: Sequence[str],
    sections: list[Section],
    *,
    is_single_file: bool = True,
) -> int:
    from depth_anything_ros.reports.report import Report, Section
    from depth_anything_ros.reports.writing import write_report
    from depth_anything_ros.studies.inputs import facts, random_warning

    command = 'depth_anything ' + shlex.join(sys.argv[1:])
    about = facts(subjects, images)
    warning = random_warning(subjects)
    head = [Section('Weights', warning)] if warning else []
    report = Report(title, command, about, [*head, *sections])
    print(f'look at {write_report(report, options.out, is_single_file=is_single_file)}')
    return 0


def _names_of(images: Sequence[NamedImage]) -> list[str]:
    return [one.name for one in images]


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(','))


def _variants(text: str) -> list[str]:
    try:
        return list(dict.fromkeys(get_variant(name).name for name in _names(text)))
    except SettingError as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def _points(text: str) -> tuple[float, float]:
    x, y = map(float, text.split(','))
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise argparse.ArgumentTypeError(f'{text} is outside the image: give shares from 0 to 1')
    return x, y
