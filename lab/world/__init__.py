"""Ray-cast scenes with true depth, and simulated sensors on the same geometry.

World frame `map` by REP 103: x forward, y left, z up, metres. Optical frames have z forward.
"""
