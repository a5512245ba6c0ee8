"""The variants against each other on the same images."""
