"""Depth against true depth: `dataset` reads pairs, `judge` scores, `evaluate` runs methods."""
