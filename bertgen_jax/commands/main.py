"""`bertgen`: the library's verbs as commands, each of which is a file of commands/."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from bertgen_jax.commands.messages import Sayer, say
from bertgen_jax.errors import BertgenError

_COMMANDS = {
    "generate": "turn each text of a file into a generated one",
    "score": "compare texts with references: ROUGE, BLEU, SARI, exact match",
    "convert": "write a checkpoint of any format as a model directory",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      arguments: those of the command line by default.

    Returns:
      The exit status: 0, or 1 where every text failed, or 2 for an error of the
      user's, which is printed, or 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="bertgen", description="Sequence-to-sequence models from checkpoints."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in _COMMANDS.items():
        its_own = commands.add_parser(name, help=summary)
        # Only the one that runs is loaded: it may need little of what the others do.
        if arguments[:1] == [name]:
            command = importlib.import_module(f"bertgen_jax.commands.{name}")
            command.define(its_own)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, handlers=[Sayer()], force=True)
    try:
        return command.run(options)
    except BertgenError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        if options.command == "generate" and options.output:
            say("interrupted; without --overwrite the command goes on from here")
        return 130  # as a shell reports a process that SIGINT ended
    except BrokenPipeError:  # `bertgen ... | head`: the reader has seen enough
        # Python flushes standard output once more at exit, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
