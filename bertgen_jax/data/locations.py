"""The name of some data in, the files that it stands for out."""

import glob
import pathlib

from bertgen_jax import errors, paths, suggest

_THREE_WAYS = (
    "Data can be local files (BERTGEN_DATA_DIR names the folder of relative names), a "
    "dataset of the Hugging Face hub (hf:NAME), or an embedded corpus (demo:NAME; with "
    "':demo' behind its name every config runs on one)."
)


def find(name: str, data_dir: pathlib.Path | None = None) -> list[pathlib.Path]:
    """The files of a path or a glob, in the order of their names.

    Args:
      name: absolute, or relative to `data_dir`, else to the working directory. The
        first of the two where anything is found gives all of it.
      data_dir: where to look; None means `paths.data_dir()`.

    Raises:
      DataError: there is no such file, or it is a folder.
    """
    tried = _candidates(name, data_dir or paths.data_dir())
    for path in tried:
        if path.is_dir():
            inside = sorted(entry.name for entry in path.iterdir())
            raise errors.DataError(
                f"{path} is a folder, and files are expected, as in "
                f"'{name.rstrip('/')}/*.jsonl'. It holds {_listed(inside)}."
            )
        if path.is_file():
            return [path]
        matches = sorted(
            pathlib.Path(match) for match in glob.glob(str(path), recursive=True)
        )
        files = [match for match in matches if match.is_file()]
        if files:
            return files
    looked = " and ".join(str(path) for path in tried)
    hints = dict.fromkeys(filter(None, map(_near, tried)))
    raise errors.DataError(
        f"There is no file {name!r}: looked for {looked}.{''.join(hints)} {_THREE_WAYS}"
    )


def _candidates(name: str, data_dir: pathlib.Path | None) -> list[pathlib.Path]:
    path = pathlib.Path(name).expanduser()
    if path.is_absolute():
        return [path]
    here = pathlib.Path.cwd() / path
    return [here] if data_dir is None else list(dict.fromkeys([data_dir / path, here]))


def _near(path: pathlib.Path) -> str:
    """A sentence on the names where the path leaves what exists."""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    folder = missing.parent
    if not folder.is_dir():
        return ""
    return suggest.nearest(missing.name, [entry.name for entry in folder.iterdir()])


def _listed(names: list[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
