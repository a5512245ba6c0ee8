"""What one weights file, ONNX file or card is, and whether it runs here."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from depth_anything_ros.backends.base import NetworkOutput
from depth_anything_ros.backends.onnx_files import onnx_facts
from depth_anything_ros.backends.registry import choose_backend, load
from depth_anything_ros.backends.self_check import photograph
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.parameters import Parameters
from depth_anything_ros.model.card import Card
from depth_anything_ros.model.releases import Release
from depth_anything_ros.model.variants import Checkpoint
from depth_anything_ros.model.weights import find
from depth_anything_ros.model.weights_file import WeightsFile, given_path, hashed

__all__ = ['Fact', 'check']


@dataclass(frozen=True)
class Fact:
    """One line about a file."""

    name: str
    value: str


def check(parameters: Parameters) -> tuple[list[Fact], bool]:
    """Return what the file of `parameters.weights` is, and whether it runs; never downloads.

    Raises WeightsError for a path that does not exist.
    """
    given = given_path(parameters.weights)
    problem = ''
    file: WeightsFile | None = None
    try:
        file = find(parameters.variant, Checkpoint(parameters.checkpoint), parameters.weights)
    except DepthAnythingError as err:
        problem = str(err)
    path = file.path if file else given
    facts = [Fact('card', _described(file))] if file else []
    if path is not None:
        facts.append(Fact('file', f'{path}, {path.stat().st_size / 1e6:.1f} MB'))
    try:
        if path is not None and path.is_file():
            facts.append(Fact('sha256', hashed(path)))
            facts += [Fact(*each) for each in _content(path)]
    except DepthAnythingError as err:
        problem = problem or str(err)
    if file is not None:
        facts += _fields(file.card)
        facts += [Fact('note', notice) for notice in file.notices()]
    if not problem:
        runs, problem = _run(parameters)
        facts.append(Fact('runs', runs or 'no'))
    return [*facts, *([Fact('problem', problem)] if problem else [])], not problem


def _described(file: WeightsFile) -> str:
    if file.card_path:
        return str(file.card_path)
    if file.known:
        return f'none needed: the released {file.title} file'
    if isinstance(file.card, Release):
        return f'none needed: by its name the {file.title} file'
    return f'none: run as {file.title}, as the parameters say'


def _content(path: Path) -> list[tuple[str, str]]:
    if path.suffix == '.onnx':
        return onnx_facts(path)
    if path.suffix in ('.yaml', '.yml', '.json'):
        return []
    from depth_anything_ros.model.network.checkpoint import checkpoint_facts

    return checkpoint_facts(path)


def _fields(card: Card) -> list[Fact]:
    """Return the fields that are not at their defaults, and a licence that is missing."""
    shown = [
        Fact(item.name, f'{getattr(card, item.name)}')
        for item in fields(Card)
        if item.name not in ('input', 'file', 'sha256') and getattr(card, item.name)
    ]
    if not card.licence:
        shown.append(Fact('licence', 'not stated: ask whoever trained it'))
    return shown


def _run(parameters: Parameters) -> tuple[str, str]:
    """Return how it runs, or '' and why it does not."""
    try:
        backend = load(choose_backend(replace(parameters, allow_download=False)))
        try:
            output = backend.infer(photograph())
        finally:
            backend.close()
    except DepthAnythingError as err:
        return '', str(err)
    info, what = backend.info, 'inverse depth'
    if info.output is NetworkOutput.METRES:
        output, what = 1.0 / output[output > 0], 'metres'
    elif info.output is NetworkOutput.METRES_BY_FOCAL:
        output, what = 1.0 / output[output > 0], 'metres for a focal length of 1 pixel'
    values = f'{output.min():.4g} to {output.max():.4g}' if output.size else 'nothing known'
    return f'{info.name} on {info.device}: {what} of {values} for a photograph', ''
