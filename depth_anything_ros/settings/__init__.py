"""Settings in files that somebody else wrote."""
