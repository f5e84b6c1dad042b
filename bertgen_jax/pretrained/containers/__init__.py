"""Readers of the file formats that hold named arrays: one module for each format."""
