"""Bags: sample bags, offline processing, playing, comparing, reporting."""
