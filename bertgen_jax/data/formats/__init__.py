"""Reads the file formats of training data, one format in each module."""
