"""Results in, lines of text or JSON out, behind those that are in the file already."""

import contextlib
import dataclasses
import fcntl
import io
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bertgen_jax.errors import ConfigError, DataError

_EXCERPT = 60  # characters
_WAY_OUT = "Name another --output, or start anew with --overwrite."


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one text.

    Attributes:
      number: the text's, from 1.
      hypotheses: {"generated_text": ..., "score": ...}, best first; none if it failed.
      error: why it failed.
      id: the text's; None where it has none.
    """

    number: int
    hypotheses: Sequence[Mapping[str, Any]] = ()
    error: str | None = None
    id: Any = None


def as_text(result: Result) -> str:
    """One line: the generated text, empty if it failed.

    Line breaks become blanks, so that line n is of text n. Several hypotheses are
    separated by tabs, and tabs within them become blanks.
    """
    texts = [" ".join(one["generated_text"].splitlines()) for one in result.hypotheses]
    if len(texts) > 1:
        texts = [text.replace("\t", " ") for text in texts]
    return "\t".join(texts) + "\n"


def as_json(result: Result) -> str:
    r"""One JSON object.

    {"line": 1, "id": "a", "generated_text": "...", "score": -0.5}
    {"line": 2, "error": "..."}

    "id" is there where the text has one; with several hypotheses "hypotheses" lists
    them all.
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


_FORMS: Mapping[str, Callable[[Result], str]] = {".jsonl": as_json, ".txt": as_text}


class ResultWriter:
    """Where results go, in the order of their texts.

    Attributes:
      name: of the file, for messages.
      count: how many are there already.
      failed: how many of these are errors, as far as the file says so.
    """

    def __init__(
        self,
        file: io.BufferedIOBase,
        form: Callable[[Result], str] = as_text,
        name: str = "standard output",
    ):
        self.name, self.count, self.failed = name, 0, 0
        self._file, self._form = file, form
        self._end: int | None = None  # of what is sound, in bytes, if it is to be cut

    def resume(self) -> None:
        """Counts the results that are there; a line that was cut off is none.

        Raises:
          DataError: something else is there.
        """
        self._file.seek(0)
        self._end = 0
        while (line := self._file.readline()).endswith(b"\n"):
            if self._form is as_json:
                try:
                    value = json.loads(line)
                except ValueError:
                    if not self._file.read(1):
                        return  # the last one
                    value = None
                number = self.count + 1
                if not isinstance(value, dict) or value.get("line") != number:
                    found = line.decode("utf-8", "replace").rstrip("\n")
                    raise DataError(
                        f"{self.name}, line {number}: found {found[:_EXCERPT]!r}; "
                        f'expected {{"line": {number}, ...}}, the result of text '
                        f"{number}. {_WAY_OUT}"
                    )
                self.failed += "error" in value
            self.count += 1
            self._end += len(line)

    def overwrite(self) -> None:
        """Takes what is there for nothing."""
        self._end = 0

    def write(self, results: Iterable[Result]) -> None:
        """Writes lines, and lets others see them. The first time cuts what is unsound.

        Raises:
          DataError: no space is left, or the like.
        """
        # Half a surrogate pair, which an id may have, becomes what JSON writes for it.
        lines = "".join(map(self._form, results)).encode("utf-8", "backslashreplace")
        try:
            if self._end is not None:
                self._file.truncate(self._end)
                self._end = None
            self._file.write(lines)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _cannot_write(self.name, error) from error

    def check_input_had(self, count: int) -> None:
        """Refuses an input of fewer texts than there are results.

        Raises:
          DataError: names both numbers.
        """
        if count < self.count:
            raise DataError(
                f"{self.name} has more results ({self.count:,}) than there are texts "
                f"({count:,}); expected results of these texts only. {_WAY_OUT}"
            )


def check(name: str, source: str | None = None) -> None:
    """Refuses a name that cannot be meant.

    Args:
      name: of the file of results. Its suffix tells the format.
      source: the file of texts.

    Raises:
      ConfigError: another suffix, or the file of texts.
    """
    path = pathlib.Path(name).expanduser()
    if _is_device(path):
        return
    if path.suffix.lower() not in _FORMS:
        raise ConfigError(
            f"the output is {name!r}; expected a name that ends in .jsonl (a JSON "
            "object a line) or .txt (a text a line)."
        )
    if source is None or not path.exists():
        return
    if path.samefile(pathlib.Path(source).expanduser()):
        raise ConfigError(
            f"{name} is the input as well as the output; expected another name."
        )


@contextlib.contextmanager
def opened(name: str, overwrite: bool = False) -> Iterator[ResultWriter]:
    """Opens a file of results, or makes it, and counts those that are in it.

    Args:
      name: see `check`.
      overwrite: the results that are there do not count.

    Raises:
      DataError: it cannot be written, another process is writing it, or something else
        than results is there.
    """
    path = pathlib.Path(name).expanduser()
    try:
        file = path.open("wb" if _is_device(path) else "a+b")
    except OSError as error:
        raise _cannot_write(name, error) from error
    try:
        writer = ResultWriter(file, _FORMS.get(path.suffix.lower(), as_text), name)
        if not _is_device(path):
            _lock(file, name)
            writer.overwrite() if overwrite else writer.resume()
        yield writer
    except BaseException:
        with contextlib.suppress(OSError):  # what cannot be written was told by `write`
            file.close()
        raise
    try:
        file.close()
    except OSError as error:
        raise _cannot_write(name, error) from error


def _is_device(path: pathlib.Path) -> bool:
    """Whether it is a pipe or the like: nothing is there, and nothing can be cut."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _lock(file: io.BufferedIOBase, name: str) -> None:
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
