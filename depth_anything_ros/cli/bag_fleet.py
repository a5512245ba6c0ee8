"""`bag fleet`: the bags of many robots, on a Ray cluster or on this machine."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from depth_anything_ros.cli.bag_process import add_process_options, process_options
from depth_anything_ros.cli.options import (
    NETWORK,
    Verbs,
    add_layered_parameters,
    layered_parameters,
)
from depth_anything_ros.cli.parser import add_verb
from depth_anything_ros.cli.terminal import progress
from depth_anything_ros.core.errors import SettingError, one_line

if TYPE_CHECKING:
    from depth_anything_ros.backends.base import DepthBackend
    from depth_anything_ros.bag.fleet.places import FleetBag
    from depth_anything_ros.bag.fleet.worker import Judge, Judgement
    from depth_anything_ros.core.parameters import Parameters

__all__ = ['add']

_PLACE = 'a bag, or a folder with bags at any depth; a path, or a URL such as s3://bucket/folder'


def add(bags: Verbs) -> None:
    """Declare the action and its options."""
    fleet = add_verb(bags, 'fleet', 'process the bags of many robots on a Ray cluster')
    add = fleet.add_argument
    add('input', metavar='IN', nargs='+', help=_PLACE)
    add('output', metavar='OUT', help='folder or URL: IN/a/b becomes OUT/a/b')
    text = 'compare each output with the bag of its name there; exit status 1 if it is worse'
    add('--compare', default='', metavar='DIR', help=text)
    text = 'judge metric depth by each bag, as `bag prove` does with the same reference'
    add('--prove', action='store_true', help=text)
    text = 'page of all bags, written while it runs (default: fleet_report)'
    add('--report', type=Path, default='fleet_report', metavar='DIR', help=text)
    add = fleet.add_argument_group('cluster').add_argument
    text = 'of a Ray cluster, or auto (default: one on this machine, for this run)'
    add('--address', default='', metavar='HOST:PORT', help=text)
    text = 'each has a network and --threads CPUs, by default one (default: as many as fit)'
    add('--workers', type=int, default=0, metavar='N', help=text)
    text = 'of a GPU, .25 say (default: 1 where the cluster has any)'
    add('--gpus-per-worker', type=float, metavar='SHARE', help=text)
    add('--retries', type=int, default=2, metavar='N', help='of a lost worker (default: 2)')
    add_process_options(fleet)
    add_layered_parameters(fleet, (*NETWORK, 'reference.type'))
    fleet.set_defaults(verb=_fleet)


def _fleet(options: argparse.Namespace) -> int:
    from depth_anything_ros.bag.fleet.claim import claimed
    from depth_anything_ros.bag.fleet.page import remarks, rows, write_page
    from depth_anything_ros.bag.fleet.places import check_there, find_bags
    from depth_anything_ros.bag.fleet.run import Cluster, run_fleet
    from depth_anything_ros.bag.fleet.worker import FleetResult, compared_with
    from depth_anything_ros.reports.text import aligned, cell, plain_json

    gpus = options.gpus_per_worker
    if options.workers < 0 or options.retries < 0 or (gpus is not None and gpus < 0):
        raise SettingError('--workers, --retries and --gpus-per-worker cannot be negative')
    parameters = layered_parameters(options)
    bags = find_bags(options.input, options.output)
    judges = []
    if options.compare:
        check_there(options.compare)
        judges.append(compared_with(options.compare))
    if options.prove:
        judges.append(_proven_by(options.reference))
    command = 'depth_anything ' + shlex.join(sys.argv[1:])
    facts = {'network': parameters.variant, 'output': options.output}
    results: list[FleetResult] = []
    with claimed(options.output), progress('bag', leave=True) as show:
        # Before the work: what cannot be written now could not be later.
        write_page(results, len(bags), options.report, command, facts)

        def on_result(result: FleetResult) -> None:
            results.append(result)
            write_page(results, len(bags), options.report, command, facts)
            show(len(results), len(bags))

        cluster = Cluster(options.address, options.workers, gpus, options.retries)
        how = process_options(options, resume=False)
        run_fleet(bags, parameters, how, cluster, on_result, judges)
    if options.json:
        print(plain_json([each.values() for each in sorted(results, key=lambda x: x.bag.name)]))
    else:
        found = rows(results)
        head = ['bag', *next(iter(found.values()))]
        print(
            '\n'.join(
                aligned([head, *([n, *map(cell, row.values())] for n, row in found.items())])
            )
        )
        for text in remarks(results):
            print(one_line(text))
        print(f'look at {options.report / "index.html"}')
    missing = options.allow_missing
    return 0 if all(each.good and (missing or each.summary.complete) for each in results) else 1


def _proven_by(reference: str) -> Judge:
    """Return the judge of metric depth by a topic, or by whatever a bag has."""

    def judge(
        bag: FleetBag, source: Path, out: Path, backend: DepthBackend, parameters: Parameters
    ) -> Judgement:
        from depth_anything_ros.bag.fleet.worker import Judgement
        from depth_anything_ros.studies.prove.figures import ProofLimits, failures
        from depth_anything_ros.studies.prove.run import Asked, prove

        asked = Asked('', (reference,) if reference else (), '', '')
        results = list(prove(source, backend, parameters, asked))
        proofs = [proof for each in results for proof in each.proofs]
        bad = tuple(text for each in proofs for text in failures(each, ProofLimits()))
        figures: dict[str, str | float] = {}
        if proofs:
            first, rows = proofs[0], results[0].frames
            figures = {'AbsRel': first.abs_rel, 'with metres': first.published}
            errors = [(max(row.abs_rel.values(), default=0.0), row.time_s) for row in rows]
            figures['worst frame'] = '{:.2g} at {:.1f} s'.format(*max(errors))
        return Judgement(figures, bad)

    return judge
