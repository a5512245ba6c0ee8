"""Frames shown by rerun: of files, bags and a running node."""
