"""Searches for the best token sequences; knows a model only as a step function."""
