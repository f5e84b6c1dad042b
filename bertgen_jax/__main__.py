"""Runs the command `bertgen`, as `python -m bertgen_jax`."""

import sys

from bertgen_jax.commands import main

if __name__ == "__main__":
    sys.exit(main.main())
