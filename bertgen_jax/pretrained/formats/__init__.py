"""Recognition and reading of published checkpoints: one module for each family."""
