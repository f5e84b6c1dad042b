"""`bertgen`: the library's verbs as commands."""

import argparse
import os
import sys
from collections.abc import Sequence

from bertgen_jax import conversion
from bertgen_jax.checkpoints.checkpoint import ARCHITECTURES
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
    convert = commands.add_parser(
        "convert", help="write a checkpoint of any format as a model directory"
    )
    convert.add_argument("source", help="directory, file or archive of a checkpoint")
    convert.add_argument("directory", help="where to; must not be there, or be empty")
    convert.add_argument(
        "--to", default="huggingface", help=" or ".join(conversion.TARGETS)
    )
    convert.add_argument(
        "--architecture",
        help=f"{', '.join(ARCHITECTURES)}; by default the checkpoint's",
    )
    convert.add_argument(
        "--mlm-bias", action="store_true", help="an encoder's, kept by a decoder"
    )
    convert.add_argument("--quantization", help="int8, float16, ...: for ctranslate2")
    convert.set_defaults(run=_convert)
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


def _convert(options: argparse.Namespace) -> None:
    print(
        conversion.convert(
            options.source,
            options.directory,
            options.to,
            architecture=options.architecture,
            mlm_bias=options.mlm_bias,
            quantization=options.quantization,
        )
    )


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
