"""Depth against true depth: `dataset` reads pairs, `judge` scores, `methods` are compared."""
