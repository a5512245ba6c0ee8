"""The laboratory: a simulated world, the demo, and scripts that print the figures of docs/."""
