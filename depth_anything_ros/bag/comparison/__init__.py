"""What two bags are compared by: frames, figures, limits, the truth, and the results."""
