"""The errors that users can cause, and the parts of messages that they share.

A message says what was found, what was expected, and what to do next.

Commands catch `BertgenError`, print its message as one paragraph and exit with status
2; any other exception is a bug and keeps its traceback.
"""

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator


class BertgenError(Exception):
    """Base of every error that a user's files, flags or arguments can cause."""


class ConfigError(BertgenError, ValueError):
    """An invalid configuration or argument."""


class DataError(BertgenError, ValueError):
    """A data file that is missing, malformed or empty."""


class TokenizerError(BertgenError, ValueError):
    """A tokenizer file that is missing, corrupt or of another kind."""


class CheckpointError(BertgenError, ValueError):
    """A checkpoint or work directory that is missing, damaged or of another run."""


class TrainingError(BertgenError, RuntimeError):
    """A run that must not go on, such as one whose loss is no longer finite."""


def nearest(name: object, valid: Iterable[object]) -> str:
    """Returns a sentence that suggests the valid name most like `name`.

    Returns:
      " Did you mean 'x'?" with its leading space, or "" when nothing is similar.
    """
    matches = difflib.get_close_matches(str(name), [str(v) for v in valid], n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def check_choice(name: str, value: object, valid: Iterable[object]) -> None:
    """Checks that a value is valid.

    Raises:
      ConfigError: `value` is not in `valid`; the message names it, the valid values
        and the nearest of them.
    """
    valid = list(valid)
    if value not in valid:
        raise ConfigError(
            f"{name} is {value!r}; expected one of {', '.join(map(str, valid))}."
            f"{nearest(value, valid)}"
        )


@contextlib.contextmanager
def in_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Reports an invalid value as an error of the file that it was read from.

    Raises:
      CheckpointError: the block raised a ConfigError; the message starts with `path`.
    """
    try:
        yield
    except ConfigError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error
