"""Finds the files that the name of a data set stands for: paths, globs and braces."""

import collections
import dataclasses
import glob
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from bertgen_jax import errors
from bertgen_jax.files import paths

_THREE_WAYS = (
    "Data can be local files (BERTGEN_DATA_DIR names the folder of relative names), a "
    "dataset of the Hugging Face hub (hf:NAME), or an embedded corpus (demo:NAME; with "
    "':demo' behind its name every config runs on one)."
)

# Braces without a comma are part of a name.
_BRACES = re.compile(r"\{(?P<names>[^{}]*,[^{}]*)\}")
_WILDCARDS = re.compile(r"(\*\*/?|\*|\?|\[!?[^/][^\]/]*\])")


@dataclasses.dataclass(frozen=True)
class FileGroup:
    """Files that belong together, line by line or segment by segment.

    Attributes:
      name: their common name, with braces.
      files: by their names in the braces, in that order.
    """

    name: str
    files: Mapping[str, pathlib.Path]


def find(name: str, data_dir: pathlib.Path | None = None) -> list[pathlib.Path]:
    """Finds the files of a path or a glob, in the order of their names.

    Args:
      name: absolute, or relative to `data_dir`, else to the working directory. All
        files come from the first of the two that has any.
      data_dir: where to look first; None means `paths.data_dir()`.

    Raises:
      DataError: there is no such file, or it is a folder.
    """
    candidates = _candidates(name, data_dir or paths.data_dir())
    for path in candidates:
        if path.is_dir():
            inside = sorted(entry.name for entry in path.iterdir())
            raise errors.DataError(
                f"{path} is a folder; expected files, as in "
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
    raise _missing(name, candidates, candidates)


def has_braces(name: str) -> bool:
    """Whether a name has braces, for several files that belong together."""
    return _BRACES.search(name) is not None


def find_groups(name: str, data_dir: pathlib.Path | None = None) -> list[FileGroup]:
    """Finds the files of a name with braces, such as "wmt14/shard-*.{en,de}.gz".

    Args:
      name: as in `find`, with a pair of braces. The text in the braces is taken
        literally; wildcards outside of them may match several groups of files, each
        with the same text in place of the wildcards. Groups come in the order of their
        names.
      data_dir: as in `find`.

    Raises:
      ConfigError: the braces are invalid.
      DataError: there are no such files, or one of a group is missing.
    """
    names = _names_in_braces(name)
    candidates = _candidates(name, data_dir or paths.data_dir())
    for path in candidates:
        groups = _groups(str(path), names)
        if groups:
            return sorted(groups, key=lambda group: next(iter(group.files.values())))
    expanded = [
        pathlib.Path(_BRACES.sub(lambda _, part=part: part, str(path)))
        for path in candidates
        for part in names
    ]
    raise _missing(name, candidates, expanded)


def _names_in_braces(name: str) -> list[str]:
    braces = _BRACES.findall(name)
    if len(braces) > 1:
        raise errors.ConfigError(
            f"{name!r} has {len(braces)} pairs of braces; expected one, as in "
            "'wmt14/train.{en,de}'."
        )
    names = braces[0].split(",")
    repeated = [part for part, n in collections.Counter(names).items() if n > 1]
    if repeated or not all(part.strip() for part in names):
        fault = f"{repeated[0]!r} twice" if repeated else "an empty name"
        raise errors.ConfigError(
            f"The braces of {name!r} hold {fault}; expected the different endings of "
            "files that belong together, as in 'wmt14/train.{en,de}'."
        )
    return names


def _groups(path: str, names: Sequence[str]) -> list[FileGroup]:
    """Finds all groups of files that match a path with braces."""
    *_, braces = _BRACES.finditer(path)
    before, after = path[: braces.start()], path[braces.end() :]
    groups: dict[tuple[str, str], dict[str, pathlib.Path]] = {}
    for name in names:
        for context, file in _matches(before, name, after):
            groups.setdefault(context, {})[name] = file
    for (head, tail), files in groups.items():
        missing = [name for name in names if name not in files]
        if missing:
            absent = pathlib.Path(f"{head}{missing[0]}{tail}")
            present = " and ".join(str(file) for file in files.values())
            raise errors.DataError(
                f"There is {present}, and no {absent.name} that belongs to it."
                f"{_nearest(absent)}"
            )
    return [
        FileGroup(f"{head}{braces[0]}{tail}", files)
        for (head, tail), files in groups.items()
    ]


def _matches(
    before: str, name: str, after: str
) -> list[tuple[tuple[str, str], pathlib.Path]]:
    """Finds the files of one name in the braces, each with the text around the name."""
    exact = pathlib.Path(before + name + after)
    if exact.is_file():
        return [((before, after), exact)]
    pattern = re.compile(
        f"(?P<head>{_regex(before)}){re.escape(name)}(?P<tail>{_regex(after)})",
        re.DOTALL,
    )
    files = glob.glob(before + glob.escape(name) + after, recursive=True)
    return [
        ((match["head"], match["tail"]), pathlib.Path(file))
        for file in files
        if os.path.isfile(file) and (match := pattern.fullmatch(file))
    ]


def _regex(pattern: str) -> str:
    """Returns a regular expression for everything that a glob matches, or more."""
    pieces = _WILDCARDS.split(pattern)
    wildcards = {"*": "[^/]*", "**": ".*", "**/": "(?:.*/)?"}
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = [wildcards.get(piece, "[^/]") for piece in pieces[1::2]]
    return "".join(pieces)


def _missing(
    name: str, candidates: Sequence[pathlib.Path], expanded: Sequence[pathlib.Path]
) -> errors.DataError:
    places = " and ".join(str(path) for path in candidates)
    hints = dict.fromkeys(filter(None, map(_nearest, expanded)))
    return errors.DataError(
        f"There is no file {name!r}: looked for {places}.{''.join(hints)} {_THREE_WAYS}"
    )


def _candidates(name: str, data_dir: pathlib.Path | None) -> list[pathlib.Path]:
    path = pathlib.Path(name).expanduser()
    if path.is_absolute():
        return [path]
    here = pathlib.Path.cwd() / path
    return [here] if data_dir is None else list(dict.fromkeys([data_dir / path, here]))


def _nearest(path: pathlib.Path) -> str:
    """Suggests the name most like the first part of the path that does not exist."""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    folder = missing.parent
    if not folder.is_dir():
        return ""
    return errors.nearest(missing.name, [entry.name for entry in folder.iterdir()])


def _listed(names: list[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
