"""The network, its variants and its weights."""
