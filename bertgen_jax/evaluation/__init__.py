"""Evaluation: a model and a split in, predictions and scored results out."""
