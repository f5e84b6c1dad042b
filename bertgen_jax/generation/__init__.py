"""Generates texts: runs the searches of `decoding` over the models of `models`."""
