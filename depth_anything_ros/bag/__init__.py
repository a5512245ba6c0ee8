"""Bags: read, write, process, compare, prove."""

__all__ = ['GROUND_TRUTH']

GROUND_TRUTH = '/ground_truth/depth/image'
"""The topic on which a simulator records true depth, unless another one is named."""
