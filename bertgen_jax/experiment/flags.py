"""For train.py and eval.py: a command line in, a config and a work directory out."""

import logging
import pathlib
import re
import sys
from collections.abc import Callable, Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from bertgen_jax.errors import BertgenError, ConfigError, nearest
from bertgen_jax.experiment import workdir as workdir_lib


def define_flags(
    values: flags.FlagValues = flags.FLAGS, arguments: Sequence[str] | None = None
) -> None:
    """Defines --config, with its --config.FIELD=VALUE, and --workdir.

    Args:
      values: where to define them.
      arguments: the command line in which fields are looked for; `sys.argv` by default.
    """
    config_flags.DEFINE_config_file(
        "config",
        help_string="experiment card, such as configs/bbc_summarize.py:demo",
        flag_values=values,
        sys_argv=arguments,
    )
    flags.DEFINE_string(
        "workdir",
        "",
        "where the run is kept; runs/NAME-VARIANT by default",
        flag_values=values,
    )


def run(
    main: Callable[[ConfigDict, pathlib.Path], int],
    arguments: Sequence[str],
    usage: str | None,
    *,
    workdir_is_enough: bool = False,
    values: flags.FlagValues = flags.FLAGS,
) -> int:
    """Parses the command line, runs `main` and prints an error of the user's as text.

    Args:
      main: takes the config and the work directory, returns the exit status.
      arguments: `sys.argv`.
      usage: what --help says before it lists the flags.
      workdir_is_enough: without --config, the config is the one that the work
        directory was trained with.
      values: where the flags were defined.

    Returns:
      The exit status: that of `main`, or 2 for an error of the user's.
    """
    if {"-h", "-help", "--help"} & set(arguments):
        print(f"{usage}\nEvery field of a config: configs/common.py. Flags:\n")
        print(values.get_help())
        return 0
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s  %(message)s",
        datefmt="%H:%M:%S",
        force=True,
    )
    logging.getLogger("bertgen_jax").setLevel(logging.INFO)
    # A save that fails is told once, as our error; Orbax's tasks would tell it of each
    # array again.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        config, workdir = _parse(arguments, workdir_is_enough, values)
        return main(config, workdir)
    except BertgenError as error:
        print(f"{pathlib.Path(arguments[0]).name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was saved stands", file=sys.stderr)
        return 130  # as a shell reports a process that SIGINT ended


def config_arguments(arguments: Sequence[str]) -> list[str]:
    """The words of a command line that make its config, to repeat them in another."""
    words = []
    for previous, word in zip(["", *arguments], arguments, strict=False):
        if re.match(r"--?config\b", word) or (
            re.fullmatch(r"--?config[\w.]*", previous) and not word.startswith("-")
        ):
            words.append(word)
    return words


def _parse(
    arguments: Sequence[str], workdir_is_enough: bool, values: flags.FlagValues
) -> tuple[ConfigDict, pathlib.Path]:
    words = config_arguments(arguments)
    if words or not workdir_is_enough:
        file, variant = _config_file(words)  # before absl, whose words are its own
    try:
        rest = values(list(arguments))
        if len(rest) > 1:
            raise ConfigError(f"{rest[1]!r} is no flag; flags begin with --.")
        config = values.config
    except ConfigError:
        raise
    except flags.Error as error:
        # A config file that raised is quoted with its traceback: its last line will do.
        line = f"{error}".strip().split("\n")[-1]
        raise ConfigError(re.sub(r"^\w+Error: ", "", line)) from error
    except (AttributeError, KeyError) as error:
        # What ml_collections says of an unknown field names the nearest one.
        # It may come as the repr of a repr of two lines.
        said = re.sub(r"[\\']*(\\n|\n)", ". ", str(error.args[0])).strip("'\\")
        raise ConfigError(f"no such field in the config: {said}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a value does not fit the config: {error}") from error
    if words:
        name = "-".join(filter(None, (file.stem, variant)))
        return config, pathlib.Path(values.workdir or f"runs/{name}")
    if not values.workdir:
        raise ConfigError("--workdir is missing; expected that of a training run.")
    workdir = pathlib.Path(values.workdir)
    return ConfigDict(workdir_lib.read(workdir)).lock(), workdir


def _config_file(words: Sequence[str]) -> tuple[pathlib.Path, str]:
    """["--config=configs/bbc_summarize.py:demo"] -> that path, "demo".

    Raises:
      ConfigError: no config is named, or its file does not exist.
    """
    files = pathlib.Path("configs").glob("*.py")
    cards = sorted(str(path) for path in files if path.name != "common.py")
    joined = " ".join(words).replace("--config ", "--config=")
    named = re.search(r"--?config=(\S+)", joined)
    if named is None:
        raise ConfigError(
            "--config is missing; expected an experiment card, such as "
            "--config=configs/bbc_summarize.py:demo. There are "
            f"{', '.join(cards)}."
        )
    file, _, variant = named[1].partition(":")
    if not pathlib.Path(file).is_file():
        raise ConfigError(
            f"--config names {file}, which is no file.{nearest(file, cards)} "
            f"There are {', '.join(cards)}."
        )
    return pathlib.Path(file), variant
