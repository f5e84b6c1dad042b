"""Training: batches in, a better model in a work directory out."""
