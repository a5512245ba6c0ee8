"""What every study takes: images by name, and the weights of each variant, stated on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from depth_anything_ros import __version__
from depth_anything_ros.core.errors import FrameError, SettingError
from depth_anything_ros.core.types import BgrImage
from depth_anything_ros.media.sources import open_source
from depth_anything_ros.model.variants import Checkpoint, Variant, get_variant
from depth_anything_ros.model.weights import WeightsFile, find
from depth_anything_ros.reports.report import Text
from depth_anything_ros.studies.bench.configuration import weights_here
from depth_anything_ros.studies.machine import machine_line

__all__ = ['NamedImage', 'Subject', 'facts', 'images_of', 'random_warning', 'subjects_of']


@dataclass(frozen=True, eq=False)
class NamedImage:
    """An image, uint8 (H, W, 3) BGR, and the name of its file without the ending."""

    name: str
    bgr: BgrImage


@dataclass(frozen=True)
class Subject:
    """A network to study: a variant with its weights, at an input size in pixels."""

    weights: WeightsFile
    input_size: int

    @property
    def variant(self) -> Variant:
        """The architecture."""
        return get_variant(self.weights.variant)

    @property
    def title(self) -> str:
        """Its name on pages, which says when the weights are random."""
        return (
            f'{self.variant.name} (random weights)' if self.weights.random else self.variant.name
        )

    @property
    def key(self) -> tuple[str, ...]:
        """What its results depend on."""
        kind = self.weights.checkpoint.value
        name = self.weights.sha256 or 'random'
        return __version__, self.variant.name, kind, name, str(self.input_size)


def images_of(sources: Sequence[str]) -> list[NamedImage]:
    """Return the images in files and folders; names are made distinct.

    Raises SettingError for a film, and for what is no image or cannot be read.
    """
    found: dict[str, NamedImage] = {}
    for text in sources:
        source = open_source(text)
        if source.moving:
            raise SettingError(f'{text} is a film or a webcam: give images, or frames of it')
        for shot in source.shots:
            name = shot.name.replace('/', '_')
            while name in found:
                name += '_'
            try:
                found[name] = NamedImage(name, shot.read().bgr)
            except FrameError as err:
                raise SettingError(str(err)) from err
    return list(found.values())


def subjects_of(
    variants: Sequence[str],
    weights: str,
    input_size: int,
    checkpoint: Checkpoint = Checkpoint.RELATIVE,
) -> list[Subject]:
    """Return the networks. Without `weights`, the released ones in the cache, else random ones.

    Nothing is downloaded. Raises WeightsError for a path that cannot be used.
    """
    subjects = []
    for name in variants:
        # Only of relative networks random weights may stand in for the released ones.
        is_relative = checkpoint is Checkpoint.RELATIVE
        file = find(name, checkpoint, weights_here(name, weights) if is_relative else weights)
        subjects.append(Subject(file, get_variant(name).input_size or input_size))
    return subjects


def facts(subjects: Sequence[Subject], images: Sequence[str]) -> list[tuple[str, str]]:
    """Return what goes to the head of every page."""
    return [
        *((f'weights of {one.variant.name}', _weights(one)) for one in subjects),
        ('images', f'{len(images)}: {", ".join(images)}'),
        ('machine', machine_line()),
    ]


def random_warning(subjects: Sequence[Subject]) -> list[Text]:
    """Return a warning for the page where weights are random; none where all are trained."""
    names = ', '.join(one.variant.name for one in subjects if one.weights.random)
    if not names:
        return []
    text = (
        f'{names}: random weights. Shapes, sizes, memory and speed are those of the trained '
        'network. Depth, and every figure made from it, says nothing about the trained one. '
        'Fetch the released weights with `depth_anything weights fetch --variant NAME`.'
    )
    return [Text(text, is_warning=True)]


def _weights(subject: Subject) -> str:
    file = subject.weights
    if file.random:
        return 'random, not trained'
    what = file.licence if file.known else 'not a released file'
    return f'{file.path.name if file.path else ""}, sha256 {file.sha256[:12]}, {what}'
