"""The names of some data in, `Examples` out: random access to sources and references.

Nothing is loaded as a whole. Every file is read once to check all of its rows and to
note where they are; that index is cached, so opening the same data again takes no time.
"""

import bisect
import collections
import dataclasses
import hashlib
import itertools
import json
import operator
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from bertgen_jax import errors
from bertgen_jax.data import locations, record_index
from bertgen_jax.data.columns import Columns, Example
from bertgen_jax.data.demo import corpora
from bertgen_jax.data.formats import (
    byte_file,
    delimited,
    hub,
    json_lines,
    parallel_text,
    parquet,
    suffixes,
    table,
    tfrecord,
)

_FORMAT = 1  # part of the fingerprint: raise it when the same files give other examples
_DEMO = "demo:"
_READERS: Mapping[str, Callable[[byte_file.ByteFile, Columns], table.Table]] = {
    "jsonl": lambda file, columns: json_lines.JsonLines(file),
    "json": lambda file, columns: json_lines.JsonLines(file),
    "csv": lambda file, columns: delimited.Delimited(file, columns, quoted=True),
    "tsv": lambda file, columns: delimited.Delimited(file, columns, quoted=False),
    "parquet": parquet.ParquetTable,
    "tfrecord": lambda file, columns: tfrecord.TfRecords(file),
    "tfrecords": lambda file, columns: tfrecord.TfRecords(file),
}
_SGML = ("sgm", "sgml")
_PAIRS = (
    "Files that belong together line by line are named by braces, such as "
    "'train.{en,de}' or 'train.{article,title}.txt' (with the quotes in a shell)."
)
_SLASH = re.compile(r"/(?![^{}]*\})")  # not within braces
_LABELS_SHOWN = 3


class Examples:
    """A corpus by number, from any thread.

    Attributes:
      fingerprint: digest of the texts, the columns and `on_bad_row`: equal where the
        examples are equal, whatever the files are called and wherever they lie.
      description: one line for people.
      skipped: the rows that are not in it because they are no examples.
    """

    def __init__(
        self,
        parts: Sequence[Sequence[Example]],
        fingerprint: str,
        description: str,
        skipped: record_index.Skipped,
    ):
        self.fingerprint = fingerprint
        self.description = description
        self.skipped = skipped
        self._parts = parts
        self._ends = list(itertools.accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Example:
        index = operator.index(index)
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self):,}")
        part = bisect.bisect_right(self._ends, index)
        return self._parts[part][index - self._ends[part] + len(self._parts[part])]


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """The examples of one table.

    Attributes:
      source: what reads the rows.
      index: where the good ones are.
      columns: what makes examples of them.
      label: the name of the table in ids, different for each.
    """

    source: table.Table
    index: record_index.RecordIndex
    columns: Columns
    label: str

    def __len__(self) -> int:
        return len(self.index.rows)

    def __getitem__(self, index: int) -> Example:
        *address, number, _ = self.index.rows[index].tolist()
        try:
            values = self.source.read(*address)
            return self.columns.to_example(values, f"{self.label}:{number}")
        except table.BadRow as bad:
            raise errors.DataError(
                f"{self.source.name}, row {number}: {bad.detail} It was a good row "
                "when it was indexed, so the file was changed since. Start again."
            ) from None


def open_examples(
    location: str | Sequence[str],
    columns: Mapping[str, str],
    *,
    on_bad_row: str = "raise",
    data_dir: pathlib.Path | None = None,
) -> Examples:
    """Opens a corpus, and checks every row of it the first time.

    Args:
      location: one of these, or a list of them, to be read one after the other:
        - a path, or a glob, whose files are taken in the order of their names. The
          suffix tells the format: .jsonl or .json (an object a line), .csv, .tsv,
          .parquet, .tfrecord or .tfrecords (of tf.Example), each also with .gz;
        - the same with braces, for files that belong together line by line:
          "wmt14/train.{en,de}", "gigaword/train.{article,title}.txt". Each is a column,
          and what stands in the braces is its name. With the suffix .sgm they belong
          together segment by segment: "newstest2014-deen-{src.de,ref.en}.sgm". Each
          also with .gz;
        - "hf:NAME[:CONFIG][@REVISION][#SPLIT]", a dataset of the Hugging Face hub; the
          split is "train" where none is named;
        - "demo:NAME[/SPLIT]", an embedded corpus, "train" where no split is named; its
          columns are known.
      columns: the column of "source", "target" and, where there is one, "id". "target"
        may name several columns, joined by ",": each gives a reference. Columns that
        are joined by "+" are one text, with a blank between what is in them. In csv and
        tsv files without a header line columns are named by position: "0", "1", ...
      on_bad_row: "raise", or "skip" to leave rows that are no examples out and to count
        them. Where it cannot be told where rows begin and end, that does not help.
      data_dir: where relative names are looked up before the working directory; None
        means `paths.data_dir()`.

    Returns:
      The examples in the order of files and rows.

    Raises:
      ConfigError: arguments that cannot be meant.
      DataError: data that are missing, damaged or empty, a row that is no example, or
        an id that is given twice.
    """
    if on_bad_row not in ("raise", "skip"):
        raise errors.ConfigError(
            f"on_bad_row is {on_bad_row!r}; it must be 'raise' or 'skip'."
            f"{errors.nearest(on_bad_row, ['raise', 'skip'])}"
        )
    named = [location] if isinstance(location, str) else list(location)
    if not named or not all(isinstance(one, str) and one for one in named):
        raise errors.ConfigError(
            f"{location!r} names no data; a path, a glob, hf:NAME, demo:NAME or a list "
            "of these is expected."
        )
    mapped = Columns.from_mapping(columns)
    opened = [pair for name in named for pair in _open(name, mapped, data_dir)]
    labels = _labels([one.name for one, _ in opened])
    parts = [
        _Rows(one, record_index.build(one, its_columns, on_bad_row), its_columns, label)
        for (one, its_columns), label in zip(opened, labels, strict=True)
    ]
    _check_ids(parts)
    skipped = sum((part.index.skipped for part in parts), record_index.Skipped())
    return Examples(
        parts, _fingerprint(parts, on_bad_row), _describe(parts, skipped), skipped
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Subset:
    """A selection of the examples of a corpus.

    Attributes:
      examples: the whole corpus.
      numbers: i64[n], the indices of the selected examples, ascending.
      label: describes the selection; different selections have different labels.
    """

    examples: Examples
    numbers: np.ndarray
    label: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the corpus, with the label of the selection."""
        return f"{self.examples.fingerprint}[{self.label}]"

    @property
    def description(self) -> str:
        """One line for the log."""
        return f"{len(self):,} ({self.label}) of {self.examples.description}"

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.examples[int(self.numbers[index])]


def first(examples: Examples, count: int) -> Examples | Subset:
    """Returns the first `count` examples, or all of them if `count` is 0."""
    if not 0 < count < len(examples):
        return examples
    return Subset(examples, np.arange(count), f"the first {count}")


def draw(examples: Examples, fraction: float, seed: int) -> Examples | Subset:
    """Draws a fraction of the examples at random (paper, section 4.1), in order."""
    if fraction == 1:
        return examples
    count = max(1, round(fraction * len(examples)))
    order = np.random.default_rng(seed).permutation(len(examples))
    label = f"drawn with seed {seed}, {count}"
    return Subset(examples, np.sort(order[:count]), label)


def _open(
    name: str, columns: Columns, data_dir: pathlib.Path | None
) -> list[tuple[table.Table, Columns]]:
    """The tables that one location names, each with its columns."""
    if name.startswith(_DEMO):
        return [(_Corpus(name), _CORPUS_COLUMNS)]
    if name.startswith(hub.PREFIX):
        return [(hub.HubTable(name, columns), columns)]
    if locations.is_parallel(name):
        groups = locations.find_parallel(name, data_dir)
        return [(_open_parallel(group, columns), columns) for group in groups]
    files = locations.find(name, data_dir)
    return [(_open_file(path, columns), columns) for path in files]


def _open_file(path: pathlib.Path, columns: Columns) -> table.Table:
    read = _READERS.get(suffixes.format_of(path.name) or "")
    if read is None:
        raise errors.DataError(
            f"{path} has none of the suffixes that tell the format: "
            f"{', '.join('.' + suffix for suffix in _READERS)}, each also with .gz. "
            f"{_PAIRS}"
        )
    return read(suffixes.open_file(path), columns)


def _open_parallel(
    group: locations.Parallel, columns: Columns
) -> parallel_text.ParallelFiles:
    sgml = []
    for path in group.files.values():
        format = suffixes.format_of(path.name)
        if format in _SGML:
            sgml.append(path)
        elif format is not None:
            raise errors.DataError(
                f"{path} has columns of its own, as .{format} tells; several such "
                f"files are named by a glob or a list. {_PAIRS}"
            )
    if sgml and len(sgml) < len(group.files):
        raise errors.DataError(
            f"{group.name}: {sgml[0].name} is SGML and others are not; files that "
            "belong together are expected to be of one kind."
        )
    files = {column: suffixes.open_file(path) for column, path in group.files.items()}
    layout = parallel_text.SEGMENTS if sgml else parallel_text.LINES
    return parallel_text.ParallelFiles(group.name, files, columns, layout)


_CORPUS_COLUMNS = Columns(source="source", target=("references",), id="id")


class _Corpus:
    """An embedded corpus as a table: see `table.Table`."""

    unit = "example"
    identity = None  # it is made anew by every process

    def __init__(self, location: str):
        corpus, _, split = location.removeprefix(_DEMO).partition("/")
        split = split or "train"
        self.name = f"{_DEMO}{corpus}/{split}"
        self._examples = corpora.corpus(corpus, split)
        self.size = sum(len(one.source.encode()) for one in self._examples)

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[table.Record]:
        """See `table.Table`."""
        for row in range(len(self._examples)):
            values = self.read(row, row + 1)
            feed(json.dumps(values).encode())
            yield table.Record((row, row + 1), row + 1, values)

    def read(self, first: int, second: int) -> Mapping[str, object]:
        """See `table.Table`."""
        del second
        one = self._examples[first]
        return {"id": one.id, "source": one.source, "references": one.references}


def _labels(names: Sequence[str]) -> list[str]:
    """The shortest ends of paths that tell them apart; other names as they are.

    ["/d/a/x.tsv", "/d/b/x.tsv"] -> ["a/x.tsv", "b/x.tsv"]
    """
    repeated = [name for name, times in collections.Counter(names).items() if times > 1]
    if repeated:
        raise errors.ConfigError(
            f"{repeated[0]} is named twice; each file is read once."
        )
    split = [
        [name] if name.startswith((_DEMO, hub.PREFIX)) else _SLASH.split(name)
        for name in names
    ]
    for depth in itertools.count(1):
        labels = ["/".join(parts[-depth:]) for parts in split]
        if len(set(labels)) == len(labels):
            return labels


def _check_ids(parts: Sequence[_Rows]) -> None:
    """Refuses an id that a column gives twice: predictions are told apart by it."""
    named = [part for part in parts if part.columns.id is not None]
    digests = np.concatenate([part.index.rows[:, -1] for part in named] or [[]])
    order = np.argsort(digests, kind="stable")
    (repeats,) = np.nonzero(np.diff(digests[order]) == 0)
    if not repeats.size:
        return
    ends = np.cumsum([len(part) for part in named])
    places = []
    for position in sorted(order[repeats[0] : repeats[0] + 2].tolist()):
        which = int(np.searchsorted(ends, position, side="right"))
        part = named[which]
        row = position - int(ends[which]) + len(part)
        places.append(f"row {part.index.rows[row, -2]} of {part.source.name}")
        identifier = part[row].id
    raise errors.DataError(
        f"The id {identifier!r} is given to {' and to '.join(places)}; an id must be "
        "unique. Map another column, or no column, and the rows are numbered."
    )


def _fingerprint(parts: Sequence[_Rows], on_bad_row: str) -> str:
    decides = [
        _FORMAT,
        on_bad_row,
        [(*dataclasses.astuple(p.columns), p.index.content_digest) for p in parts],
    ]
    return hashlib.blake2b(json.dumps(decides).encode(), digest_size=16).hexdigest()


def _describe(parts: Sequence[_Rows], skipped: record_index.Skipped) -> str:
    """As in "1,992 examples, 2.3 MB: train.jsonl.gz"."""
    rows = sum(len(part) for part in parts)
    size = sum(part.source.size for part in parts)
    amount = f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"
    labels = ", ".join(part.label for part in parts[:_LABELS_SHOWN])
    more = len(parts) - _LABELS_SHOWN
    return (
        f"{rows:,} examples, {amount}: {labels}"
        + (f" and {more:,} more" if more > 0 else "")
        + (f"; {skipped}" if skipped.count else "")
    )
