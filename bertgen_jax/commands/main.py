"""The command `bertgen`: parses arguments and runs a verb, a module of commands/."""

import argparse
import importlib
import logging
import os
import re
import sys
import types
from collections.abc import Sequence

from bertgen_jax.commands.messages import MessageHandler, print_message
from bertgen_jax.errors import BertgenError, ConfigError, check_choice, nearest

_COMMANDS = {
    "generate": "generate a text for each text of a file",
    "score": "compare texts with references: ROUGE, BLEU, SARI, exact match",
    "convert": "write a checkpoint of any format as a model directory",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      arguments: the arguments after `bertgen`; by default, of this process.

    Returns:
      The exit status: 0; 1 if every text failed; 2 for an error that the
      user can fix, whose message is printed; 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="bertgen", description="Sequence-to-sequence models from checkpoints."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in _COMMANDS.items():
        subparser = commands.add_parser(name, help=summary)
        # Import only the command that runs: `score` must not need jax.
        if arguments[:1] == [name]:
            _module(name).add_arguments(subparser)
    if arguments and not arguments[0].startswith("-"):
        try:
            check_choice("the command", arguments[0], _COMMANDS)
        except ConfigError as error:
            parser.error(str(error))
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        subparser = commands.choices[options.command]
        flag = unknown[0].partition("=")[0]
        valid = sorted(set(re.findall(r"--\w[\w-]*", subparser.format_help())))
        subparser.error(f"there is no option {flag!r}.{nearest(flag, valid)}")
    logging.basicConfig(level=logging.WARNING, handlers=[MessageHandler()], force=True)
    try:
        return _module(options.command).run(options)
    except BertgenError as error:
        print_message(str(error))
        return 2
    except KeyboardInterrupt:
        if options.command == "generate" and options.output:
            print_message(
                "interrupted; without --overwrite the same command continues from here"
            )
        return 130  # as a shell reports a process that SIGINT ended
    except BrokenPipeError:  # `bertgen ... | head`: the reader has closed the pipe
        # Python flushes standard output again at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _module(command: str) -> types.ModuleType:
    return importlib.import_module(f"bertgen_jax.commands.{command}")
