"""Metrics of generated texts, each with a signature and an interval; needs no jax."""
