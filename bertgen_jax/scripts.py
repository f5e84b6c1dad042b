"""What train.py and eval.py share: a command line in, a config and a work directory out."""

import logging
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from bertgen_jax.errors import BertgenError, ConfigError

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines --config, with its --config.FIELD=VALUE, and --workdir."""
    config_flags.DEFINE_config_file(
        "config", help_string="experiment card, such as configs/bbc_summarize.py:demo"
    )
    flags.DEFINE_string(
        "workdir", "", "where the run is kept; runs/NAME-VARIANT by default"
    )


def run(
    main: Callable[[ConfigDict, pathlib.Path], int], arguments: Sequence[str]
) -> int:
    """Parses the command line, runs `main` and prints an error of the user's as text.

    Args:
      main: takes the config and the work directory, returns the exit status.
      arguments: `sys.argv`.

    Returns:
      The exit status: that of `main`, or 2 for an error of the user's.
    """
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", force=True
    )
    logging.getLogger("bertgen_jax").setLevel(logging.INFO)
    try:
        config, workdir = _parse(arguments)
        return main(config, workdir)
    except BertgenError as error:
        print(f"{pathlib.Path(arguments[0]).name}: {error}", file=sys.stderr)
        return 2


def config_arguments(arguments: Sequence[str]) -> list[str]:
    """The words of a command line that make its config, to repeat them in another."""
    words = []
    for previous, word in zip(["", *arguments], arguments, strict=False):
        if re.match(r"--?config\b", word) or (
            re.fullmatch(r"--?config[\w.]*", previous) and not word.startswith("-")
        ):
            words.append(word)
    return words


def _parse(arguments: Sequence[str]) -> tuple[ConfigDict, pathlib.Path]:
    try:
        rest = FLAGS(list(arguments))
        if len(rest) > 1:
            raise ConfigError(f"{rest[1]!r} is no flag; flags begin with --.")
        config = FLAGS.config
    except flags.Error as error:
        raise ConfigError(f"{error}") from error
    except (AttributeError, KeyError) as error:
        # What ml_collections says of an unknown field names the nearest one.
        raise ConfigError(f"no such field in the config: {error.args[0]}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a value does not fit the config: {error}") from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ConfigError(
            f"--config: {error}. Expected a file such as configs/bbc_summarize.py:demo."
        ) from error
    if config is None:
        raise ConfigError(
            "--config is missing; expected --config=configs/bbc_summarize.py:demo or "
            "another file of configs/."
        )
    name = _name(config_arguments(arguments))
    workdir = FLAGS.workdir or str(pathlib.Path("runs") / name)
    return config, pathlib.Path(workdir)


def _name(words: Sequence[str]) -> str:
    """configs/bbc_summarize.py:demo -> bbc_summarize-demo."""
    path = next(word for word in words if ".py" in word).split("=")[-1]
    file, _, variant = path.partition(":")
    return "-".join(filter(None, (pathlib.Path(file).stem, variant)))
