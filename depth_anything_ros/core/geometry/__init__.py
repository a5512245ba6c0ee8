"""Lenses, frames, points and scans: where in space a pixel is, and back."""
