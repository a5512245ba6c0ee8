"""The card that goes with the weights of `demo`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.training.metrics import FamilyScore

__all__ = ['score_table', 'write_card']

_CARD = """\
# `demo`: Depth Anything V2's architecture, tiny, trained on synthetic scenes

For demonstrations and tests, not for robots. Its depth is layout-level: floor, walls, furniture,
street, vehicles. Small objects blur, and it does not know images unlike the scenes below.

- Architecture: the row `demo` of `model/variants.py`, {parameters:,} parameters, half precision,
  input pinned to 126 pixels on the shorter side. Output: inverse depth of unknown scale and
  shift, larger = nearer, near 0 for the sky, as the released relative checkpoints.
- Data: {samples:,} images of the ray-cast rooms and roads that `python -m lab.sample`
  draws, half each, from the same camera rig (height +-5 cm, pitch +-1.5 and roll +-1 degrees,
  focal length +-5 %). No photograph, no other checkpoint.
- Recipe: `python -m lab.training.train --seed {seed} --minutes {minutes:g}`;
  {steps:,} steps of {batch}, 98x126 then 126x168 pixels, bfloat16, AdamW {peak_rate:g} with a
  cosine by time, average of weights {ema:g}, scale-and-shift-invariant loss with gradients and
  a log term. Minutes are those of one CPU core with bfloat16; another machine takes other steps.
- Licence: that of this package.

Held-out scenes ({images} images of each family, seeds disjoint from training and samples),
scale and shift fitted per image by least squares in inverse depth, up to 80 m. The mean map
is the best inverse depth map that does not depend on the image. `python -m
lab.training.evaluate` prints this table:

{table}
"""


def score_table(scores: Sequence[FamilyScore]) -> str:
    """Lay out held-out figures as a Markdown table."""
    lines = ['| scenes | AbsRel | delta1 | AbsRel, mean map | delta1, mean map | ratio |']
    lines.append('|---|---|---|---|---|---|')
    for score in scores:
        ours, blind = score.network, score.mean_map
        lines.append(
            f'| {score.family} | {ours.abs_rel:.3f} | {ours.delta1:.3f} | {blind.abs_rel:.3f} '
            f'| {blind.delta1:.3f} | {ours.abs_rel / blind.abs_rel:.2f} |'
        )
    return '\n'.join(lines)


def write_card(
    path: Path,
    recipe: Mapping[str, Any],
    steps: int,
    parameters: int,
    scores: Sequence[FamilyScore],
) -> None:
    """Write the card beside the weights."""
    text = _CARD.format(
        **recipe,
        steps=steps,
        parameters=parameters,
        images=scores[0].images,
        table=score_table(scores),
    )
    path.write_text(text, encoding='utf-8')
