"""Names of topics in sample bags."""

__all__ = ['TRUTH']

TRUTH = '/ground_truth/depth/image'
"""Where sample bags have the true depth."""
