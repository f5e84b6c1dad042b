"""The checkpoints of a training run: saving, verifying, keeping and restoring steps."""
