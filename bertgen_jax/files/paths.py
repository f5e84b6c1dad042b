"""Where data is looked up and where derived files are cached."""

import os
import pathlib

from bertgen_jax.errors import ConfigError

StrPath = str | os.PathLike[str]


def data_dir() -> pathlib.Path | None:
    """The folder that relative data names are looked up in: `BERTGEN_DATA_DIR`."""
    value = os.environ.get("BERTGEN_DATA_DIR")
    return pathlib.Path(value).expanduser() if value else None


def cache_dir() -> pathlib.Path:
    """The folder of derived files: `BERTGEN_CACHE_DIR`, else `~/.cache/bertgen_jax`.

    Everything in it can be deleted at any time; it is made again when needed.
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
    given = pathlib.Path(name).expanduser()
    places = [folder / given for folder in (data_dir(), pathlib.Path.cwd()) if folder]
    for place in places:
        if place.exists():
            return place
    raise ConfigError(
        f"{field} is {name!r}; looked for "
        f"{' and '.join(dict.fromkeys(str(place) for place in places))} and found "
        "neither file nor folder. Relative names are looked up in BERTGEN_DATA_DIR, "
        "then in the working directory."
    )
