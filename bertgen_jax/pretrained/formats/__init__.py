"""Recognises and reads published checkpoints, with one module for each family."""
