"""The families of checkpoints, one a file."""
