"""Measurements on the user's own machine: how fast a network is, and which one fits."""
