"""Parses the command lines of train.py and eval.py."""

import logging
import os
import pathlib
import re
import runpy
import sys
from collections.abc import Callable, Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from bertgen_jax import processes
from bertgen_jax.errors import BertgenError, ConfigError, nearest
from bertgen_jax.experiment import workdir as workdir_lib


def define_flags(
    values: flags.FlagValues = flags.FLAGS, arguments: Sequence[str] | None = None
) -> None:
    """Defines the flags --config, --config.FIELD and --workdir.

    Args:
      values: the registry to define them in.
      arguments: the command line to read --config.FIELD from; `sys.argv` by default.
    """
    config_flags.DEFINE_config_file(
        "config",
        help_string="config, such as configs/bbc_summarize.py:demo",
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
    defaults: ConfigDict | None = None,
    values: flags.FlagValues = flags.FLAGS,
) -> int:
    """Parses the command line, runs `main` and prints errors that the user can fix.

    Args:
      main: takes the config and the work directory, returns the exit status.
      arguments: `sys.argv`.
      usage: the text of --help before the list of flags.
      defaults: given, a command without --config uses the config that the work
        directory was trained with. Fields that an earlier version did not have then
        have these values.
      values: the registry that the flags are defined in.

    Returns:
      The exit status: what `main` returned, or 2 for a `BertgenError`. Ctrl-C ends the
      process with 130.
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
    # Report a failed save once, as our error; Orbax would log it again for every array.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        config, workdir = _parse(arguments, defaults, values)
        status = main(config, workdir)
        processes.close()
        return status
    except BertgenError as error:
        reason = f"stopped: {error}"
        processes.give_way(reason)
        print(f"{pathlib.Path(arguments[0]).name}: {error}", file=sys.stderr)
        return processes.leave(2, reason)
    except KeyboardInterrupt:
        print("interrupted; everything saved before is intact", file=sys.stderr)
        # As a shell reports a process that SIGINT ended.
        status = processes.leave(130, "was interrupted")
        sys.stdout.flush()
        sys.stderr.flush()
        # At a normal exit, Python waits for a compilation that has begun.
        os._exit(status)
    except Exception:
        processes.fail()
        raise


def config_arguments(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments that define the config, for use in another command."""
    selected = []
    for previous, argument in zip(["", *arguments], arguments, strict=False):
        is_value = re.fullmatch(r"--?config[\w.]*", previous) is not None
        if re.match(r"--?config\b", argument) or (
            is_value and not argument.startswith("-")
        ):
            selected.append(argument)
    return selected


def _parse(
    arguments: Sequence[str], defaults: ConfigDict | None, values: flags.FlagValues
) -> tuple[ConfigDict, pathlib.Path]:
    selected = config_arguments(arguments)
    uses_workdir = defaults is not None and not selected
    # Before absl parses the arguments, because its messages are less clear.
    name = "" if uses_workdir else _config_name(selected)
    try:
        rest = values(list(arguments))
        if len(rest) > 1:
            raise ConfigError(f"{rest[1]!r} is not a flag; flags begin with --.")
        config = values.config
    except ConfigError:
        raise
    except flags.Error as error:
        # absl quotes the traceback of a config file; its last line is the message.
        line = f"{error}".strip().split("\n")[-1]
        number = re.match(
            r"flag --config\.([\w.]+)=(.*): (invalid lit|could not)", line
        )
        if number is not None:
            kind = "whole number" if number[3] == "invalid lit" else "number"
            line = f"{number[1]} is {number[2]!r}; expected a {kind}."
        raise ConfigError(re.sub(r"^\w+Error: ", "", line)) from error
    except (AttributeError, KeyError) as error:
        # The message of ml_collections names the nearest field. It may be quoted twice
        # and contain a line break.
        message = re.sub(r"[\\']*(\\n|\n)", ". ", str(error.args[0])).strip("\"'\\")
        raise ConfigError(
            f"no such field in the config: {message}.{_full_name(message, selected)}"
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a value does not fit the config: {error}") from error
    if name:
        return config, pathlib.Path(values.workdir or f"runs/{name}")
    if not values.workdir:
        raise ConfigError(
            "--workdir is missing; expected the work directory of a training run."
        )
    workdir = pathlib.Path(values.workdir)
    return workdir_lib.read_config(workdir, defaults), workdir


def _config_match(arguments: Sequence[str]) -> re.Match[str] | None:
    joined = " ".join(arguments).replace("--config ", "--config=")
    return re.search(r"--?config=(\S+)", joined)


def _full_name(field: str, arguments: Sequence[str]) -> str:
    """Returns a sentence that suggests the field of any section with this name."""
    match = _config_match(arguments)
    path = pathlib.Path(match[1] if match else "").parent / "common.py"
    if "." in field or " " in field or not path.is_file():
        return ""
    defaults = runpy.run_path(str(path))["get_config"]()
    names = _fields(defaults)
    same = [name for name in names if name.rpartition(".")[2] == field]
    return f" Did you mean {same[0]!r}?" if same else nearest(field, names)


def _fields(config: ConfigDict, prefix: str = "") -> list[str]:
    """Returns the full names of the fields of a config."""
    names = []
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            names += _fields(value, f"{prefix}{name}.")
        else:
            names.append(f"{prefix}{name}")
    return names


def _config_name(arguments: Sequence[str]) -> str:
    """["--config=configs/bbc_summarize.py:demo"] -> "bbc_summarize-demo".

    Raises:
      ConfigError: no config is named, or its file does not exist.
    """
    files = pathlib.Path("configs").glob("*.py")
    cards = sorted(str(path) for path in files if path.name != "common.py")
    match = _config_match(arguments)
    if match is None:
        raise ConfigError(
            "--config is missing; expected a config, such as "
            "--config=configs/bbc_summarize.py:demo. The configs here are "
            f"{', '.join(cards)}."
        )
    file, _, variant = match[1].partition(":")
    if not pathlib.Path(file).is_file():
        raise ConfigError(
            f"--config names {file}, which is not a file.{nearest(file, cards)} "
            f"The configs here are {', '.join(cards)}."
        )
    return "-".join(filter(None, (pathlib.Path(file).stem, variant)))
