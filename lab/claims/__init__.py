"""One script for each figure that docs/ claims: `python -m lab.claims.NAME`."""
