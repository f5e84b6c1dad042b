"""Turns the config of an experiment into the parts of a run."""
