"""Predictions and references in, scores with signature and interval out; no jax."""
