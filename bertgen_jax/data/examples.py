"""Opens a corpus: random access to its examples, whatever the format of its files.

No file is loaded as a whole. Every file is read once, to check all of its rows and to
note their positions. This index is cached, so opening the same data again is fast.
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
    tfrecord,
)
from bertgen_jax.data.formats.table import BadRow, Record, Table

_FORMAT = 1  # part of the fingerprint: raise it when the same files give other examples
_DEMO = "demo:"
_READERS: Mapping[str, Callable[[byte_file.ByteFile, Columns], Table]] = {
    "jsonl": lambda file, columns: json_lines.JsonLines(file),
    "json": lambda file, columns: json_lines.JsonLines(file),
    "csv": lambda file, columns: delimited.Delimited(file, columns, quoted=True),
    "tsv": lambda file, columns: delimited.Delimited(file, columns, quoted=False),
    "parquet": parquet.ParquetTable,
    "tfrecord": lambda file, columns: tfrecord.TfRecords(file),
    "tfrecords": lambda file, columns: tfrecord.TfRecords(file),
}
_SGML = ("sgm", "sgml")
_BRACES_HINT = (
    "Files that belong together line by line are named by braces, such as "
    "'train.{en,de}' or 'train.{article,title}.txt' (with the quotes in a shell)."
)
_SLASH = re.compile(r"/(?![^{}]*\})")  # outside braces
_LABELS_SHOWN = 3


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """The examples of one table.

    Attributes:
      table: reads the rows.
      index: the positions of the good rows.
      columns: the columns that make an example.
      label: names the table in ids; different tables have different labels.
    """

    table: Table
    index: record_index.RecordIndex
    columns: Columns
    label: str

    def __len__(self) -> int:
        return len(self.index.rows)

    def __getitem__(self, index: int) -> Example:
        *address, number, _ = self.index.rows[index].tolist()
        try:
            values = self.table.read(*address)
            return self.columns.to_example(values, f"{self.label}:{number}")
        except BadRow as bad:
            raise errors.DataError(
                f"{self.table.name}, row {number}: {bad.detail} The row was valid "
                "when it was indexed, so the file has changed since. Start again."
            ) from None


class Examples:
    """The examples of a corpus by number; may be read from several threads.

    Attributes:
      fingerprint: digest of the texts, the columns and `on_bad_row`. It does not depend
        on the names and places of the files.
      description: one line for people.
      skipped: the rows that were left out because they are not valid examples.
    """

    def __init__(
        self,
        tables: Sequence[_Rows],
        fingerprint: str,
        description: str,
        skipped: record_index.Skipped,
    ):
        self.fingerprint = fingerprint
        self.description = description
        self.skipped = skipped
        self._tables = tables
        self._ends = list(itertools.accumulate(map(len, tables)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Example:
        index = operator.index(index)
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self):,}")
        number = bisect.bisect_right(self._ends, index)
        rows = self._tables[number]
        return rows[index - self._ends[number] + len(rows)]


def open_examples(
    location: str | Sequence[str],
    columns: Mapping[str, str],
    *,
    on_bad_row: str = "raise",
    data_dir: pathlib.Path | None = None,
) -> Examples:
    """Opens a corpus; the first time, checks every row of it.

    Args:
      location: one of these, or a list of them, which is read in its order:
        - a path, or a glob, whose files are read in the order of their names. The
          suffix states the format: .jsonl or .json (an object a line), .csv, .tsv,
          .parquet, .tfrecord or .tfrecords (of tf.Example), each also with .gz;
        - a path or a glob with braces, for files that belong together line by line:
          "wmt14/train.{en,de}", "gigaword/train.{article,title}.txt". Each file is a
          column, which has its name from the braces. With the suffix .sgm files belong
          together segment by segment: "newstest2014-deen-{src.de,ref.en}.sgm". Each
          also with .gz;
        - "hf:NAME[:CONFIG][@REVISION][#SPLIT]", a dataset of the Hugging Face hub; the
          split is "train" if none is named;
        - "demo:NAME[/SPLIT]", an embedded corpus, whose columns are known; the split is
          "train" if none is named.
      columns: the columns of "source", "target" and, optionally, "id". "target" may
        name several columns, separated by ",": each gives a reference. Columns joined
        by "+" are one text, with a blank between them. In CSV and TSV files without a
        header line, columns are named by position: "0", "1", ...
      on_bad_row: "raise", or "skip" to leave out and count the rows that are not valid
        examples. A file of which the rows cannot be told apart is always an error.
      data_dir: where relative names are looked up before the working directory; None
        means `paths.data_dir()`.

    Returns:
      The examples in the order of files and rows.

    Raises:
      ConfigError: an argument is invalid.
      DataError: data are missing, damaged or empty, a row is not a valid example, or
        two rows have the same id.
    """
    errors.check_choice("on_bad_row", on_bad_row, ("raise", "skip"))
    names = [location] if isinstance(location, str) else list(location)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise errors.ConfigError(
            f"{location!r} names no data; expected a path, a glob, hf:NAME, demo:NAME "
            "or a list of these."
        )
    mapped = Columns.from_mapping(columns)
    tables = [pair for name in names for pair in _open(name, mapped, data_dir)]
    labels = _labels([table.name for table, _ in tables])
    corpus = [
        _Rows(table, record_index.build(table, used, on_bad_row), used, label)
        for (table, used), label in zip(tables, labels, strict=True)
    ]
    _check_ids(corpus)
    skipped = sum((rows.index.skipped for rows in corpus), record_index.Skipped())
    return Examples(
        corpus, _fingerprint(corpus, on_bad_row), _describe(corpus, skipped), skipped
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Subset:
    """A selection of the examples of a corpus.

    Attributes:
      examples: the whole corpus.
      numbers: i64[n], the indices of the selected examples, ascending.
      label: describes the selection; different selections have different labels.
    """

    examples: "Examples | Subset"
    numbers: np.ndarray
    label: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the corpus, with the label of the selection."""
        return f"{self.examples.fingerprint}[{self.label}]"

    @property
    def description(self) -> str:
        """One line for people."""
        return f"{len(self):,} ({self.label}) of {self.examples.description}"

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.examples[int(self.numbers[index])]


def first(examples: Examples | Subset, count: int) -> Examples | Subset:
    """Returns the first `count` examples, or all of them if `count` is 0."""
    if not 0 < count < len(examples):
        return examples
    return Subset(examples, np.arange(count), f"the first {count}")


def draw(examples: Examples | Subset, fraction: float, seed: int) -> Examples | Subset:
    """Draws a fraction of the examples at random (paper, section 4.1), in order."""
    if fraction == 1:
        return examples
    count = max(1, round(fraction * len(examples)))
    order = np.random.default_rng(seed).permutation(len(examples))
    label = f"drawn with seed {seed}, {count}"
    return Subset(examples, np.sort(order[:count]), label)


def _open(
    name: str, columns: Columns, data_dir: pathlib.Path | None
) -> list[tuple[Table, Columns]]:
    """Opens the tables that one location names, each with its columns."""
    if name.startswith(_DEMO):
        return [(_Corpus(name), _CORPUS_COLUMNS)]
    if name.startswith(hub.PREFIX):
        return [(hub.HubTable(name, columns), columns)]
    if locations.has_braces(name):
        groups = locations.find_groups(name, data_dir)
        return [(_open_group(group, columns), columns) for group in groups]
    files = locations.find(name, data_dir)
    return [(_open_file(path, columns), columns) for path in files]


def _open_file(path: pathlib.Path, columns: Columns) -> Table:
    read = _READERS.get(suffixes.format_of(path.name) or "")
    if read is None:
        raise errors.DataError(
            f"{path} has none of the suffixes that state the format: "
            f"{', '.join('.' + suffix for suffix in _READERS)}, each also with .gz. "
            f"{_BRACES_HINT}"
        )
    return read(suffixes.open_file(path), columns)


def _open_group(
    group: locations.FileGroup, columns: Columns
) -> parallel_text.ParallelText:
    sgml_files = []
    for path in group.files.values():
        format = suffixes.format_of(path.name)
        if format in _SGML:
            sgml_files.append(path)
        elif format is not None:
            raise errors.DataError(
                f"{path} has columns of its own, because it is .{format}; several such "
                f"files are named by a glob or a list. {_BRACES_HINT}"
            )
    if sgml_files and len(sgml_files) < len(group.files):
        raise errors.DataError(
            f"{group.name}: {sgml_files[0].name} is SGML and others are not; expected "
            "files of one kind."
        )
    files = {column: suffixes.open_file(path) for column, path in group.files.items()}
    division = parallel_text.SEGMENTS if sgml_files else parallel_text.LINES
    return parallel_text.ParallelText(group.name, files, columns, division)


_CORPUS_COLUMNS = Columns(source="source", target=("references",), id="id")


class _Corpus:
    """An embedded corpus as a table; see `Table`."""

    unit = "example"
    identity: list[str | int] | None = None  # every process makes the corpus again

    def __init__(self, location: str):
        corpus, _, split = location.removeprefix(_DEMO).partition("/")
        split = split or "train"
        self.name = f"{_DEMO}{corpus}/{split}"
        self._examples = corpora.corpus(corpus, split)
        self.size = sum(len(row.source.encode()) for row in self._examples)

    def scan(self, feed: Callable[[bytes], object]) -> Iterator[Record]:
        """See `Table`."""
        for row in range(len(self._examples)):
            values = self.read(row, row + 1)
            feed(json.dumps(values).encode())
            yield Record((row, row + 1), row + 1, values)

    def read(self, *address: int) -> Mapping[str, object]:
        """See `Table`."""
        row = self._examples[address[0]]
        return {"id": row.id, "source": row.source, "references": row.references}


def _labels(names: Sequence[str]) -> list[str]:
    """Shortens paths to the shortest ends that differ; keeps other names.

    ["/d/a/x.tsv", "/d/b/x.tsv"] -> ["a/x.tsv", "b/x.tsv"]
    """
    repeated = [name for name, count in collections.Counter(names).items() if count > 1]
    if repeated:
        raise errors.ConfigError(
            f"{repeated[0]} is named twice; expected each file once."
        )
    split = [
        [name] if name.startswith((_DEMO, hub.PREFIX)) else _SLASH.split(name)
        for name in names
    ]
    depth, labels = 1, [parts[-1] for parts in split]
    while len(set(labels)) < len(labels):
        depth += 1
        labels = ["/".join(parts[-depth:]) for parts in split]
    return labels


def _check_ids(corpus: Sequence[_Rows]) -> None:
    """Rejects an id that a column gives to two rows: ids identify predictions."""
    tables = [rows for rows in corpus if rows.columns.id is not None]
    digests = np.concatenate([rows.index.rows[:, -1] for rows in tables] or [[]])
    order = np.argsort(digests, kind="stable")
    (repeats,) = np.nonzero(np.diff(digests[order]) == 0)
    if not repeats.size:
        return
    ends = np.cumsum([len(rows) for rows in tables])
    places, identifier = [], ""
    for position in sorted(order[repeats[0] : repeats[0] + 2].tolist()):
        number = int(np.searchsorted(ends, position, side="right"))
        rows = tables[number]
        row = position - int(ends[number]) + len(rows)
        places.append(f"row {rows.index.rows[row, -2]} of {rows.table.name}")
        identifier = rows[row].id
    raise errors.DataError(
        f"The id {identifier!r} is given to {' and to '.join(places)}; expected unique "
        "ids. Map another column, or none, and the rows are numbered."
    )


def _fingerprint(corpus: Sequence[_Rows], on_bad_row: str) -> str:
    content = [
        _FORMAT,
        on_bad_row,
        [
            (*dataclasses.astuple(rows.columns), rows.index.content_digest)
            for rows in corpus
        ],
    ]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def _describe(corpus: Sequence[_Rows], skipped: record_index.Skipped) -> str:
    """Returns, for example, "1,992 examples, 2.3 MB: train.jsonl.gz"."""
    count = sum(len(rows) for rows in corpus)
    size = sum(rows.table.size for rows in corpus)
    amount = f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"
    labels = ", ".join(rows.label for rows in corpus[:_LABELS_SHOWN])
    more = len(corpus) - _LABELS_SHOWN
    return (
        f"{count:,} examples, {amount}: {labels}"
        + (f" and {more:,} more" if more > 0 else "")
        + (f"; {skipped}" if skipped.count else "")
    )
