"""The name of some data in, the files that it stands for out."""

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

# Braces that hold no comma are part of a name.
_BRACES = re.compile(r"\{(?P<names>[^{}]*,[^{}]*)\}")
_WILDCARDS = re.compile(r"(\*\*/?|\*|\?|\[!?[^/][^\]/]*\])")


@dataclasses.dataclass(frozen=True)
class Parallel:
    """Files that belong together.

    Attributes:
      name: of all of them, with braces.
      files: by what stands for each in the braces, in that order.
    """

    name: str
    files: Mapping[str, pathlib.Path]


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
    raise _missing(name, tried, tried)


def is_parallel(name: str) -> bool:
    """Whether braces name several files that belong together."""
    return _BRACES.search(name) is not None


def find_parallel(name: str, data_dir: pathlib.Path | None = None) -> list[Parallel]:
    """The files of a name with braces, such as "wmt14/shard-*.{en,de}.gz".

    Args:
      name: as in `find`, with a pair of braces. What is in them is taken as it stands;
        signs of a glob outside of them may match several groups of files, each with
        the same text in place of the signs. They come in the order of their names.
      data_dir: as in `find`.

    Raises:
      ConfigError: braces that cannot be meant.
      DataError: there are no such files, or one of a group is missing.
    """
    names = _names_in_braces(name)
    tried = _candidates(name, data_dir or paths.data_dir())
    for path in tried:
        groups = _groups(str(path), names)
        if groups:
            return sorted(groups, key=lambda group: next(iter(group.files.values())))
    spelled = [
        pathlib.Path(_BRACES.sub(lambda _, one=one: one, str(path)))
        for path in tried
        for one in names
    ]
    raise _missing(name, tried, spelled)


def _names_in_braces(name: str) -> list[str]:
    found = _BRACES.findall(name)
    if len(found) > 1:
        raise errors.ConfigError(
            f"{name!r} has {len(found)} pairs of braces; one is expected, as in "
            "'wmt14/train.{en,de}'."
        )
    names = found[0].split(",")
    repeated = [one for one, n in collections.Counter(names).items() if n > 1]
    if repeated or not all(one.strip() for one in names):
        wrong = f"{repeated[0]!r} twice" if repeated else "an empty name"
        raise errors.ConfigError(
            f"The braces of {name!r} hold {wrong}; the different endings of files that "
            "belong together are expected, as in 'wmt14/train.{en,de}'."
        )
    return names


def _groups(path: str, names: Sequence[str]) -> list[Parallel]:
    """Everything that fits a path with braces."""
    *_, braces = _BRACES.finditer(path)
    before, behind = path[: braces.start()], path[braces.end() :]
    found: dict[tuple[str, str], dict[str, pathlib.Path]] = {}
    for one in names:
        for around, file in _matches(before, one, behind):
            found.setdefault(around, {})[one] = file
    for (head, tail), files in found.items():
        missing = [one for one in names if one not in files]
        if missing:
            absent = pathlib.Path(f"{head}{missing[0]}{tail}")
            there = " and ".join(str(file) for file in files.values())
            raise errors.DataError(
                f"There is {there}, and no {absent.name} that belongs to it."
                f"{_near(absent)}"
            )
    return [
        Parallel(f"{head}{braces[0]}{tail}", files)
        for (head, tail), files in found.items()
    ]


def _matches(
    before: str, one: str, behind: str
) -> list[tuple[tuple[str, str], pathlib.Path]]:
    """The files of one name in the braces, each with what stands around that name."""
    exact = pathlib.Path(before + one + behind)
    if exact.is_file():
        return [((before, behind), exact)]
    pattern = f"({_regex(before)}){re.escape(one)}({_regex(behind)})"
    return [
        (re.fullmatch(pattern, match, re.DOTALL).groups(), pathlib.Path(match))
        for match in glob.glob(before + glob.escape(one) + behind, recursive=True)
        if os.path.isfile(match)
    ]


def _regex(pattern: str) -> str:
    """Matches what a glob matches, and perhaps more."""
    pieces = _WILDCARDS.split(pattern)
    meant = {"*": "[^/]*", "**": ".*", "**/": "(?:.*/)?"}
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = [meant.get(sign, "[^/]") for sign in pieces[1::2]]
    return "".join(pieces)


def _missing(
    name: str, tried: Sequence[pathlib.Path], spelled: Sequence[pathlib.Path]
) -> errors.DataError:
    looked = " and ".join(str(path) for path in tried)
    hints = dict.fromkeys(filter(None, map(_near, spelled)))
    return errors.DataError(
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
    return errors.nearest(missing.name, [entry.name for entry in folder.iterdir()])


def _listed(names: list[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more
