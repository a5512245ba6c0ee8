"""What the package is trusted by: the demo, benchmarks, training of the `demo` variant."""
