"""`bertgen`: the library's verbs as commands."""

import argparse
import os
import sys
from collections.abc import Sequence

from bertgen_jax.errors import BertgenError
from bertgen_jax.pipeline import pipeline


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      arguments: those of the command line by default.

    Returns:
      The exit status: 0, or 2 for an error of the user's, which is printed.
    """
    parser = argparse.ArgumentParser(
        prog="bertgen", description="Sequence-to-sequence models from checkpoints."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser(
        "generate", help="turn each line of text into a generated one"
    )
    generate.add_argument("model", help="model directory, such as WORKDIR/model")
    generate.add_argument(
        "file", nargs="?", help="text file; standard input if left out"
    )
    generate.add_argument("--num-beams", type=int, help="1 is greedy search")
    generate.add_argument(
        "--max-new-tokens", type=int, help="longest output, in tokens"
    )
    generate.add_argument("--batch-size", type=int, default=16, help="lines at a time")
    generate.set_defaults(run=_generate)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except BertgenError as error:
        print(f"bertgen: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # as a shell reports a process that SIGINT ended
    except BrokenPipeError:  # `bertgen ... | head`: the reader has seen enough
        # Python flushes standard output once more at exit, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _generate(options: argparse.Namespace) -> None:
    generator = pipeline("text2text-generation", model=options.model)
    settings = {
        name: value
        for name in ("num_beams", "max_new_tokens")
        if (value := getattr(options, name)) is not None
    }
    text = _read(options.file)
    lines = text.removesuffix("\n").split("\n") if text else []
    for result in generator(lines, batch_size=options.batch_size, **settings):
        print(result["generated_text"], flush=True)


def _read(name: str | None) -> str:
    """The text of a file, or of standard input."""
    try:
        if name is None:
            return sys.stdin.read()
        with open(name, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        where = name or "standard input"
        raise BertgenError(f"{where}: {error}. Expected UTF-8 text.") from error
