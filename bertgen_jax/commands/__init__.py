"""A verb of the library as a command: flags in, text out."""
