"""What a user asks of a network on his own machine: how fast it is, and which one fits."""
