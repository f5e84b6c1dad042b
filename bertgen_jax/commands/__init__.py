"""Implements the verbs of the command `bertgen`: their arguments and output."""
