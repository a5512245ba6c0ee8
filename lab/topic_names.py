"""Names of topics that sample bags have; apart, so that a command line is quick to start."""

__all__ = ['TRUTH']

TRUTH = '/ground_truth/depth/image'
"""Where sample bags have the true depth."""
