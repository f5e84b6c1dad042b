"""Where data is looked up and where derived files are cached."""

import os
import pathlib


def data_dir() -> pathlib.Path | None:
    """The folder that relative data names are looked up in: `BERTGEN_DATA_DIR`."""
    value = os.environ.get("BERTGEN_DATA_DIR")
    return pathlib.Path(value).expanduser() if value else None


def cache_dir() -> pathlib.Path:
    """The folder of derived files: `BERTGEN_CACHE_DIR`, else `~/.cache/bertgen_jax`.

    Everything in it can be deleted at any time; it is made again when needed.
    """
    value = os.environ.get("BERTGEN_CACHE_DIR", "~/.cache/bertgen_jax")
    return pathlib.Path(value).expanduser()
