"""A config becomes the parts of a run."""
