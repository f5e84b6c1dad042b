"""Writes files of results, one line for each text, and continues interrupted ones."""

import contextlib
import dataclasses
import fcntl
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from bertgen_jax.errors import ConfigError, DataError

_EXCERPT = 60  # characters
_WAY_OUT = "Name another --output, or start anew with --overwrite."


@dataclasses.dataclass(frozen=True)
class TextResult:
    """The hypotheses for one text, or the error that it failed with.

    Attributes:
      number: the number of the text, from 1.
      hypotheses: {"generated_text": ..., "score": ...}, best first; none if it failed.
      error: why it failed; None if it did not.
      id: the id of the text; None if it has no id.
    """

    number: int
    hypotheses: Sequence[Mapping[str, Any]] = ()
    error: str | None = None
    id: Any = None


def as_text(result: TextResult) -> str:
    """Returns a line with the generated text; an empty one if the text failed.

    Line breaks become spaces, so that line n belongs to text n. Several hypotheses are
    separated by tabs, and tabs within them become spaces.
    """
    texts = [
        " ".join(hypothesis["generated_text"].splitlines())
        for hypothesis in result.hypotheses
    ]
    if len(texts) > 1:
        texts = [text.replace("\t", " ") for text in texts]
    return "\t".join(texts) + "\n"


def as_json(result: TextResult) -> str:
    r"""Returns a line with one JSON object.

    {"line": 1, "id": "a", "generated_text": "...", "score": -0.5}
    {"line": 2, "error": "..."}

    It has the key "id" if the text has an id. With several hypotheses, "hypotheses"
    lists all of them.
    """
    values: dict[str, Any] = {"line": result.number}
    if result.id is not None:
        values["id"] = result.id
    if result.error is not None:
        values["error"] = result.error
    else:
        values |= result.hypotheses[0]
        if len(result.hypotheses) > 1:
            values["hypotheses"] = list(result.hypotheses)
    return json.dumps(values, ensure_ascii=False) + "\n"


_FORMATS: Mapping[str, Callable[[TextResult], str]] = {
    ".jsonl": as_json,
    ".txt": as_text,
}


class ResultWriter:
    """Writes results to an open file, in the order of their texts.

    Attributes:
      name: the name of the file, for messages.
      count: number of results that the file has already.
      failed: number of these that are errors; known for JSON files only.
    """

    def __init__(
        self,
        file: IO[bytes],
        format_result: Callable[[TextResult], str] = as_text,
        name: str = "standard output",
    ):
        self.name, self.count, self.failed = name, 0, 0
        self._file, self._format_result = file, format_result
        self._valid_bytes: int | None = None  # to truncate the file to, before writing

    def resume(self) -> None:
        """Counts the results in the file; an incomplete last line does not count.

        Raises:
          DataError: a line of the file is not a result.
        """
        self._file.seek(0)
        self._valid_bytes = 0
        while (line := self._file.readline()).endswith(b"\n"):
            if self._format_result is as_json:
                try:
                    value = json.loads(line)
                except ValueError:
                    is_last = not self._file.read(1)
                    if is_last:
                        return
                    value = None
                number = self.count + 1
                if not isinstance(value, dict) or value.get("line") != number:
                    text = line.decode("utf-8", "replace").rstrip("\n")
                    raise DataError(
                        f"{self.name}, line {number}: found {text[:_EXCERPT]!r}; "
                        f'expected {{"line": {number}, ...}}, the result of text '
                        f"{number}. {_WAY_OUT}"
                    )
                self.failed += "error" in value
            self.count += 1
            self._valid_bytes += len(line)

    def overwrite(self) -> None:
        """Discards existing results."""
        self._valid_bytes = 0

    def write(self, results: Iterable[TextResult]) -> None:
        """Writes and flushes results. The first call replaces an incomplete last line.

        Raises:
          DataError: the file cannot be written, for example because the disk is full.
        """
        # An id may have half a surrogate pair, which is escaped as in JSON.
        text = "".join(map(self._format_result, results))
        try:
            if self._valid_bytes is not None:
                self._file.truncate(self._valid_bytes)
                self._valid_bytes = None
            self._file.write(text.encode("utf-8", "backslashreplace"))
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _cannot_write(self.name, error) from error

    def check_number_of_texts(self, count: int) -> None:
        """Checks that there are as many texts as results, or more.

        Raises:
          DataError: there are fewer.
        """
        if count < self.count:
            raise DataError(
                f"{self.name} has more results ({self.count:,}) than there are texts "
                f"({count:,}); expected results of these texts only. {_WAY_OUT}"
            )


def check(name: str, input_name: str | None = None) -> None:
    """Checks the name of a file of results before it is opened.

    Args:
      name: path of the file. Its suffix states the format.
      input_name: path of the file of texts; None if they come from standard input.

    Raises:
      ConfigError: the suffix is unknown, or the file is also the file of texts.
    """
    path = pathlib.Path(name).expanduser()
    if _is_device(path):
        return
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(
            f"the output is {name!r}; expected a name that ends in .jsonl (a JSON "
            "object a line) or .txt (a text a line)."
        )
    if input_name is None or not path.exists():
        return
    if path.samefile(pathlib.Path(input_name).expanduser()):
        raise ConfigError(
            f"{name} is the input as well as the output; expected another name."
        )


@contextlib.contextmanager
def opened(name: str, overwrite: bool = False) -> Iterator[ResultWriter]:
    """Opens a file of results, or creates it, and counts the results in it.

    Args:
      name: see `check`.
      overwrite: discards existing results.

    Yields:
      A writer that continues the file.

    Raises:
      DataError: the file cannot be written, another process is writing it, or a line
        of it is not a result.
    """
    path = pathlib.Path(name).expanduser()
    try:
        file = path.open("wb" if _is_device(path) else "a+b")
    except OSError as error:
        raise _cannot_write(name, error) from error
    try:
        format_result = _FORMATS.get(path.suffix.lower(), as_text)
        writer = ResultWriter(file, format_result, name)
        if not _is_device(path):
            _lock(file, name)
            writer.overwrite() if overwrite else writer.resume()
        yield writer
    except BaseException:
        with contextlib.suppress(OSError):  # `write` has raised it already
            file.close()
        raise
    try:
        file.close()
    except OSError as error:
        raise _cannot_write(name, error) from error


def _is_device(path: pathlib.Path) -> bool:
    """Whether a path is a pipe or a device, which holds no results to continue."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _lock(file: IO[bytes], name: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(
            f"{name} is being written by another process; wait for it to end, or name "
            "another --output."
        ) from None
    except OSError:
        pass  # a file system without locks


def _cannot_write(name: str, error: OSError) -> DataError:
    return DataError(f"{name} cannot be written: {error.strerror}.")
