"""Trains a model: the loop, its steps, its optimizers and its log."""
