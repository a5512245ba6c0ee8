"""Bags: read, write, process, compare, prove."""
