"""A run on Flower: the strategy that drives any method, its messages, and what launches it."""
