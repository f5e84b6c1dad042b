"""Finds the folders of data and of cached files, and files that a config names."""

import os
import pathlib

from bertgen_jax.errors import ConfigError

StrPath = str | os.PathLike[str]


def data_dir() -> pathlib.Path | None:
    """Returns the folder where relative names of data are looked up, if there is one.

    The environment variable `BERTGEN_DATA_DIR` names it.
    """
    value = os.environ.get("BERTGEN_DATA_DIR")
    return pathlib.Path(value).expanduser() if value else None


def cache_dir() -> pathlib.Path:
    """Returns the folder of derived files.

    The environment variable `BERTGEN_CACHE_DIR` names it; the default is
    `~/.cache/bertgen_jax`. Everything in it can be deleted at any time, and is made
    again when needed.
    """
    value = os.environ.get("BERTGEN_CACHE_DIR") or "~/.cache/bertgen_jax"
    return pathlib.Path(value).expanduser()


def find(name: str, field: str) -> pathlib.Path:
    """Finds a file or folder that a config names.

    Args:
      name: absolute, or relative to `data_dir()` or else to the working directory.
      field: the config's field, for the message.

    Raises:
      ConfigError: it is in neither place.
    """
    path = pathlib.Path(name).expanduser()
    candidates = [
        folder / path for folder in (data_dir(), pathlib.Path.cwd()) if folder
    ]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise ConfigError(
        f"{field} is {name!r}; looked for "
        f"{' and '.join(dict.fromkeys(map(str, candidates)))} and found neither file "
        "nor folder. Relative names are looked up in BERTGEN_DATA_DIR, "
        "then in the working directory."
    )
