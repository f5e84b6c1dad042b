"""Models that start from published checkpoints, by the recipes of the paper."""
