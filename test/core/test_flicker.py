"""Flicker is what the network adds: not scale, not shift, not motion. Cuts are other scenes."""

from __future__ import annotations

import itertools
import math
import os
import time

import cv2
import numpy as np
import pytest
from rig import picture

from depth_anything_ros.core.cuts import CutDetector
from depth_anything_ros.core.flicker import flicker, look_of
from lab.world.world import World

RNG = np.random.default_rng(0)
WORLD = World('room', size=(160, 120))
BGR, DEPTH_M = WORLD.picture(1.0)
Q = (1.0 / np.where(np.isfinite(DEPTH_M), DEPTH_M, 50.0)).astype(np.float32)


def test_scale_and_shift_are_no_flicker() -> None:
    assert flicker(look_of(BGR, Q), look_of(BGR, 3.0 * Q + 0.2)) < 1e-4


@pytest.mark.parametrize('share', [0.01, 0.03])
def test_it_is_how_much_still_surfaces_jump(share: float) -> None:
    # Half of the pixels come nearer, half go away, in patches that survive a reduction.
    sign = np.sign(np.kron(RNG.standard_normal((12, 16)), np.ones((10, 10)))).astype(np.float32)
    found = flicker(look_of(BGR, Q), look_of(BGR, Q * np.exp(sign * share).astype(np.float32)))
    assert found == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize('size', [(160, 120), (640, 480)])
def test_it_does_not_depend_on_the_size_of_depth(size: tuple[int, int]) -> None:
    wave = 1.0 + 0.02 * np.sign(np.sin(np.arange(160) / 8.0)).astype(np.float32)
    before, now = (cv2.resize(each, size) for each in (Q, Q * wave))
    assert flicker(look_of(BGR, before), look_of(BGR, now)) == pytest.approx(0.02, rel=0.2)


def test_what_moves_does_not_count() -> None:
    moved = BGR.copy(), Q.copy()
    moved[0][:, :60] = picture(60, 120, 3)
    moved[1][:, :60] *= 2.0
    assert flicker(look_of(BGR, Q), look_of(*moved)) < 1e-3


def test_without_anything_still_there_is_none() -> None:
    assert math.isnan(flicker(look_of(picture(160, 120, 1), Q), look_of(picture(160, 120, 2), Q)))
    assert math.isnan(flicker(look_of(BGR, Q), look_of(BGR[:60], Q[:60])))
    assert math.isnan(flicker(look_of(BGR, Q), look_of(BGR, np.zeros_like(Q))))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason='one core: no other thread helps')
def test_it_keeps_to_its_own_thread() -> None:
    looks = look_of(BGR, Q), look_of(BGR, 1.01 * Q)
    flicker(*looks)
    own_s, all_s = time.thread_time(), time.process_time()
    for _ in range(20):
        flicker(*looks)
    own_s, all_s = time.thread_time() - own_s, time.process_time() - all_s
    # Threads of BLAS take as much again.
    assert all_s < 1.3 * own_s + 0.01


def test_cuts_are_found_and_motion_is_none() -> None:
    cuts = CutDetector()
    worlds = [World(family, seed, size=(160, 120)) for family, seed in (('room', 1), ('road', 2))]
    film = [world.picture(time_s)[0] for world in worlds for time_s in np.arange(0.0, 2.0, 0.1)]
    found = [
        index + 1
        for index, (before, now) in enumerate(itertools.pairwise(film))
        if cuts.is_cut(before, now)
    ]
    assert found == [20]


def test_a_film_of_single_shots_is_not_cut_everywhere() -> None:
    cuts = CutDetector()
    levels = RNG.integers(0, 255, 60)
    shots = [np.full((12, 16, 3), level, np.uint8) for level in levels]
    found = [cuts.is_cut(before, now) for before, now in itertools.pairwise(shots)]
    assert sum(found[20:]) == 0
