"""Train the `demo` variant on synthetic scenes, from nothing, in about an hour.

Run `python -m lab.training.train`. It renders the pictures first (once, into
a cache), trains by the clock, keeps checkpoints to resume from, and writes the weights and their
card into the package. Only the process's own computing time counts, so it may be paused.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from depth_anything_ros.model.network import DepthAnythingV2, random_network
from depth_anything_ros.model.releases import PACKAGED
from depth_anything_ros.model.variants import get_variant
from lab.training.card import write_card
from lab.training.data import HELD_OUT_SEED, DataSet, default_cache, draw, open_cache
from lab.training.loss import demo_loss
from lab.training.metrics import aligned_figures, held_out_scores
from lab.training.network import network_input, predictor, resized_pair, save_demo
from lab.world.geometry import Array

__all__ = ['Recipe', 'main']

_SMALL, _FULL = (98, 126), (126, 168)
_PROBES = 48
_PROBE_SEED = HELD_OUT_SEED + 2_000_000


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, besides the speed of the machine."""

    seed: int = 0
    samples: int = 20_000
    minutes: float = 60.0
    batch: int = 16
    peak_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_steps: int = 300
    small_share: float = 0.35
    """Share of the time at 98x126, before 126x168."""
    ema: float = 0.999


@dataclass
class TrainingState:
    """What a checkpoint holds: the network, its average, the optimiser, and how far it is."""

    network: DepthAnythingV2
    average: DepthAnythingV2
    optimiser: torch.optim.AdamW
    step: int = 0
    spent_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically."""
        partial = path.with_suffix('.partial')
        torch.save(
            {
                'network': self.network.state_dict(),
                'average': self.average.state_dict(),
                'optimiser': self.optimiser.state_dict(),
                'progress': {'step': self.step, 'spent_s': self.spent_s},
                'history': self.history,
            },
            partial,
        )
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on where a checkpoint stopped."""
        kept = torch.load(path, weights_only=True)
        self.network.load_state_dict(kept['network'])
        self.average.load_state_dict(kept['average'])
        self.optimiser.load_state_dict(kept['optimiser'])
        self.step, self.spent_s = kept['progress']['step'], kept['progress']['spent_s']
        self.history = kept['history']


def _start(recipe: Recipe) -> TrainingState:
    torch.manual_seed(recipe.seed)
    # Its output is well above zero, so the last ReLU passes gradients from the first step.
    network = random_network(get_variant('demo')).train().requires_grad_(True)
    # torch's stubs know this form of `to` for tensors only.
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(False)
    # Decay shrinks matrices; biases, norms, scales and position embeddings are left alone.
    decayed = [p for name, p in network.named_parameters() if _decays(name, p)]
    plain = [p for name, p in network.named_parameters() if not _decays(name, p)]
    groups = [
        {'params': decayed, 'weight_decay': recipe.weight_decay},
        {'params': plain, 'weight_decay': 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.peak_rate, betas=(0.9, 0.98))
    return TrainingState(network, average, optimiser)


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and 'token' not in name and 'pos_embed' not in name


def _batch(data: DataSet, recipe: Recipe, step: int) -> tuple[Tensor, Tensor]:
    """Draw the batch of `step`: RGB (N, 3, H, W) in [0, 1] and inverse depth (N, H, W)."""
    random = np.random.default_rng([recipe.seed, step])
    chosen = np.sort(random.integers(0, len(data.images), recipe.batch))
    bgr = _jittered(data.images[chosen], random)
    rgb = torch.from_numpy(bgr[..., ::-1].copy()).permute(0, 3, 1, 2)
    inverse_depth = torch.from_numpy(data.inverse_depth[chosen].astype(np.float32))
    if random.random() < 0.5:
        rgb, inverse_depth = rgb.flip(-1), inverse_depth.flip(-1)
    return rgb, inverse_depth


def _jittered(images: Array, random: np.random.Generator) -> Array:
    """Vary sharpness, exposure, colour and noise from picture to picture; return it in [0, 1]."""

    def each(low: float, high: float, channels: int = 1) -> Array:
        drawn = random.uniform(low, high, (len(images), 1, 1, channels))
        return drawn.astype(np.float32)

    sharp = images.astype(np.float32) / 255.0
    blurred = np.stack([cv2.blur(image, (3, 3)) for image in sharp])
    # Negative amounts sharpen: cameras do, and so does a cubic resize without a low pass.
    varied = np.maximum(sharp + each(-0.5, 0.7) * (blurred - sharp), 1e-4)
    # A power of e^x for the exposure in mid grey, a factor for the white balance.
    varied = varied ** np.exp(each(-0.25, 0.25)) * np.exp(each(-0.25, 0.25) + each(-0.08, 0.08, 3))
    grain = random.standard_normal(images.shape, np.float32)
    return np.asarray(np.clip(varied + grain * each(0.0, 0.02), 0.0, 1.0))


def _rate(recipe: Recipe, progress: float, step: int) -> float:
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return recipe.peak_rate * max(cosine, 0.005) * min(1.0, (step + 1) / recipe.warmup_steps)


def _train_step(state: TrainingState, data: DataSet, recipe: Recipe) -> float:
    """Take one step and give its loss; NaN where the step was left out."""
    progress = state.spent_s / (recipe.minutes * 60.0)
    for group in state.optimiser.param_groups:
        group['lr'] = _rate(recipe, progress, state.step)
    rgb, inverse_depth = _batch(data, recipe, state.step)
    size = _SMALL if progress < recipe.small_share else _FULL
    rgb, inverse_depth = resized_pair(rgb, inverse_depth, size)
    # Over so few tokens the plain product beats the fused kernel.
    with torch.autocast('cpu', torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        output = state.network(network_input(rgb))
    loss = demo_loss(output.float(), inverse_depth)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.step += 1
    if not torch.isfinite(norm):
        return float('nan')
    state.optimiser.step()
    keep = min(recipe.ema, state.step / (state.step + 10.0))
    with torch.no_grad():
        mean: list[Tensor] = list(state.average.parameters())
        torch._foreach_lerp_(mean, list(state.network.parameters()), 1.0 - keep)
    return float(loss.detach())


def _probe(state: TrainingState) -> dict[str, float]:
    """Judge the average on a few held-out pictures of both families."""
    samples = [draw(index, _PROBE_SEED) for index in range(_PROBES)]
    outputs = predictor(state.average)([image for image, _ in samples])
    errors = [aligned_figures(q, z).abs_rel for q, (_, z) in zip(outputs, samples, strict=True)]
    return {
        'step': float(state.step),
        'minutes': state.spent_s / 60.0,
        'room_abs_rel': float(np.mean(errors[0::2])),
        'road_abs_rel': float(np.mean(errors[1::2])),
    }


def _run(state: TrainingState, data: DataSet, recipe: Recipe, given: argparse.Namespace) -> None:
    checkpoint = given.work / 'checkpoint.pt'
    threads = torch.get_num_threads()
    budget_s = recipe.minutes * 60.0
    saved_at = time.monotonic()
    smooth = float('nan')
    with tqdm(total=round(budget_s), initial=round(state.spent_s), unit='s', mininterval=5) as bar:
        while state.spent_s < budget_s:
            # Processor time over all threads: standing still while paused or crowded out.
            before_s = time.process_time()
            loss = _train_step(state, data, recipe)
            state.spent_s += (time.process_time() - before_s) / threads
            if math.isfinite(loss):
                smooth = loss if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss
            bar.n = round(min(state.spent_s, budget_s))
            bar.set_postfix(step=state.step, loss=f'{smooth:.4f}', refresh=False)
            bar.update(0)
            if time.monotonic() - saved_at > given.save_every_s or state.spent_s >= budget_s:
                state.history.append(_probe(state))
                state.save(checkpoint)
                save_demo(state.average.state_dict(), given.out / 'demo.safetensors')
                tqdm.write(str({k: round(v, 4) for k, v in state.history[-1].items()}))
                saved_at = time.monotonic()


def main(argv: Sequence[str] | None = None) -> int:
    """Render, train, judge, and write the weights with their card."""
    parser = argparse.ArgumentParser(prog='train_demo', description=__doc__)
    parser.add_argument('--out', type=Path, default=PACKAGED['demo'].parent)
    parser.add_argument('--work', type=Path, help='folder of checkpoints (default: in the cache)')
    parser.add_argument('--cache', type=Path, default=default_cache())
    parser.add_argument('--minutes', type=float, default=Recipe.minutes)
    parser.add_argument('--samples', type=int, default=Recipe.samples)
    parser.add_argument('--seed', type=int, default=Recipe.seed)
    # Layers this small gain nothing from a second thread: it spins.
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--save-every-s', type=float, default=240.0)
    parser.add_argument('--judged', type=int, default=100, help='held-out pictures per family')
    parser.add_argument('--resume', action='store_true', help='go on from the last checkpoint')
    given = parser.parse_args(argv)
    recipe = Recipe(seed=given.seed, samples=given.samples, minutes=given.minutes)
    given.work = given.work or given.cache / 'training'
    given.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    data = open_cache(given.cache, recipe.samples, recipe.seed)
    state = _start(recipe)
    if given.resume and (given.work / 'checkpoint.pt').is_file():
        state.load(given.work / 'checkpoint.pt')
    _run(state, data, recipe, given)
    scores = held_out_scores(predictor(state.average), given.judged)
    parameters = sum(value.numel() for value in state.average.parameters())
    write_card(given.out / 'demo.md', asdict(recipe), state.step, parameters, scores)
    print(f'wrote {given.out / "demo.safetensors"} and {given.out / "demo.md"}')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
