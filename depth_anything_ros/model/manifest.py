"""The released checkpoints of Depth Anything V2: a file is a row in this table.

The sha256 is the pin: a file counts as released only when its bytes hash to it. The revision
is the commit of the repository that served those bytes. Sizes and sha256 each agree in two or
more independent public projects that pin these files, and so do the revisions, but for vitb
metric_indoor and vitb metric_outdoor, whose revisions a single project states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.model.variants import Checkpoint

__all__ = ['ANNOUNCED', 'MANIFEST', 'PACKAGED', 'Release', 'release_for', 'release_of_sha256']

ANNOUNCED = ('vitg',)
"""Variants whose weights were announced and never released."""

PACKAGED = {'demo': Path(__file__).parent / 'demo' / 'demo.safetensors'}
"""Variants whose relative weights are files of this package."""

_APACHE = 'Apache-2.0'
_NC = 'CC-BY-NC-4.0'
_INDOOR_NC = 'Apache-2.0 on its card, derived from CC-BY-NC-4.0 weights'
_OUTDOOR_NC = 'derived from CC-BY-NC-4.0 weights'


@dataclass(frozen=True)
class Release:
    """One released file. `filename` and `repo_id` are plain names, never user input."""

    variant: str
    checkpoint: Checkpoint
    repo_id: str
    filename: str
    sha256: str
    size_bytes: int
    licence: str
    revision: str = 'main'

    @property
    def title(self) -> str:
        """Return its name for messages, for instance 'vits relative'."""
        return f'{self.variant} {self.checkpoint.value}'

    @property
    def non_commercial(self) -> bool:
        """Return whether the licence, or that of its origin, forbids commercial use."""
        return _NC in self.licence

    @property
    def fetch_command(self) -> str:
        """Return the shell command that downloads this file into the cache."""
        return (
            f'depth_anything weights fetch --variant {self.variant}'
            f' --checkpoint {self.checkpoint.value}'
        )


def _row(
    variant: str,
    checkpoint: Checkpoint,
    sha256: str,
    size_bytes: int,
    revision: str,
    licence: str,
) -> Release:
    size = {'vits': 'Small', 'vitb': 'Base', 'vitl': 'Large'}[variant]
    repo, stem = {
        Checkpoint.RELATIVE: ('', ''),
        Checkpoint.METRIC_INDOOR: ('Metric-Hypersim-', 'metric_hypersim_'),
        Checkpoint.METRIC_OUTDOOR: ('Metric-VKITTI-', 'metric_vkitti_'),
    }[checkpoint]
    return Release(
        variant,
        checkpoint,
        f'depth-anything/Depth-Anything-V2-{repo}{size}',
        f'depth_anything_v2_{stem}{variant}.pth',
        sha256,
        size_bytes,
        licence,
        revision,
    )


MANIFEST: tuple[Release, ...] = (
    _row(
        'vits',
        Checkpoint.RELATIVE,
        '715fade13be8f229f8a70cc02066f656f2423a59effd0579197bbf57860e1378',
        99_218_434,
        '03876f8651c73a60fe4c2c48294e09fcb6838fcf',
        _APACHE,
    ),
    _row(
        'vitb',
        Checkpoint.RELATIVE,
        '0d2b7002e62d39d655571c371333340bd88f67ab95050c03591555aa05645328',
        389_961_218,
        'a4e71a6c2ce52fe50df0f212066b0d4a87be9b5e',
        _NC,
    ),
    _row(
        'vitl',
        Checkpoint.RELATIVE,
        'a7ea19fa0ed99244e67b624c72b8580b7e9553043245905be58796a608eb9345',
        1_341_395_338,
        'cbbb86a30ce19b5684b7a05155dc7e6cbc7685b9',
        _NC,
    ),
    _row(
        'vits',
        Checkpoint.METRIC_INDOOR,
        'b782898d8a3e8be1f639de33837ed85e9b4b73e40f8f5e5cd99067588d722545',
        99_222_290,
        '3bc65d4e14a6786a61acec16453c50e12bf5f338',
        _APACHE,
    ),
    _row(
        'vitb',
        Checkpoint.METRIC_INDOOR,
        '9dc9e274c5eff55c6daf27b660c0ced0eca4e8593a6da90cdcb04d2b4d3f3fa2',
        389_965_138,
        '4ebcd7fd0858cbb953451619ca943ea39ec08e00',
        _INDOOR_NC,
    ),
    _row(
        'vitl',
        Checkpoint.METRIC_INDOOR,
        '6f82ff2bc543ac02ddff4aa31fa363676a8305dd3ccf04e80e2af115a044cb6d',
        1_341_401_882,
        '79720800638389a78b2defc92caa885104f69974',
        _INDOOR_NC,
    ),
    _row(
        'vits',
        Checkpoint.METRIC_OUTDOOR,
        '9203e538d35255c90dda4b7fedb47ff33fe725497bcca3b1e53b3a65ee63f0cb',
        99_221_808,
        'c725b8589bdf6ab04072cab74c0467830db80d6d',
        _APACHE,
    ),
    _row(
        'vitb',
        Checkpoint.METRIC_OUTDOOR,
        '4dad67a7cc10b462bca48e6b8569c762b8eb3c1adada170a3851a6d3ba37bb3e',
        389_964_656,
        'e96fd0c8cedf1825a55b9c61309f754982948df0',
        _OUTDOOR_NC,
    ),
    _row(
        'vitl',
        Checkpoint.METRIC_OUTDOOR,
        '239b1054a369e66da2576e9a118d6d7c12d90dc8ebe609579a9a09cd8e05fe38',
        1_341_401_064,
        '070e97e4b80e317ec1d03c19927304f4091a180b',
        _OUTDOOR_NC,
    ),
)


def release_for(
    variant: str, checkpoint: Checkpoint, manifest: Sequence[Release] = MANIFEST
) -> Release | None:
    """Return the released file of a variant and checkpoint; None where there is none."""
    for row in manifest:
        if (row.variant, row.checkpoint) == (variant, checkpoint):
            return row
    return None


def release_of_sha256(sha256: str, manifest: Sequence[Release] = MANIFEST) -> Release | None:
    """Return the released file whose bytes have this sha256 (lower-case hex), or None."""
    for row in manifest:
        if row.sha256 == sha256:
            return row
    return None
