"""Process the bags of a fleet of robots on a Ray cluster, or on this machine."""
