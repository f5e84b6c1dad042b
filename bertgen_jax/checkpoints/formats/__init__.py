"""Formats of published checkpoints: a path in, a `Source` out; one file a lineage."""
