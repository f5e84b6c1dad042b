"""Weights on disk: checkpoints that others published, and the states of our runs."""
