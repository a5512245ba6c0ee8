"""Bags in, bags out, compared."""
