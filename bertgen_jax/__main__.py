"""`python -m bertgen_jax` is `bertgen`."""

import sys

from bertgen_jax import cli

if __name__ == "__main__":
    sys.exit(cli.main())
