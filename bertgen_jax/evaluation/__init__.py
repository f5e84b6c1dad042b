"""Evaluates a model on a split: loss, generated texts, scores and their files."""
