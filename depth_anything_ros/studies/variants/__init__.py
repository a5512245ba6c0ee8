"""The variants against each other on the same images: `sheet` and `compare` see, `speed` times."""
