"""Loads, saves and converts published models."""
