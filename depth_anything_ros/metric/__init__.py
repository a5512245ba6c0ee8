"""How a frame gets metres: samples of a reference, alignment, and what is made of metric depth."""
