"""`bertgen generate`: generates a text for each text of a file."""

import argparse
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax.numpy as jnp
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bertgen_jax.commands.messages import plural, print_message
from bertgen_jax.data import texts as data_texts
from bertgen_jax.errors import ConfigError, check_choice
from bertgen_jax.files import compilation_cache
from bertgen_jax.generation import bulk, result_files
from bertgen_jax.generation.pipeline import pipeline
from bertgen_jax.generation.result_files import ResultWriter, TextResult

_MAX_WARNINGS = 10  # messages about single failed texts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.usage = "bertgen generate [options] MODEL [FILE]"
    parser.description = (
        "Generates a text for each text of a file: one line each, in the same order."
    )
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "model", metavar="MODEL", help="model directory, such as WORKDIR/model"
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help="the texts in UTF-8: .jsonl (an object a line), .csv or .tsv (the first "
        "line names the columns), else a text a line; each also .gz. Standard input if "
        "omitted, or -",
    )
    parser.add_argument(
        "--format",
        choices=data_texts.FORMATS,
        help="format of the texts (default: by the suffix of FILE)",
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="key or column of the text; 0, 1, ... in CSV and TSV files whose first "
        "line is a text; a+b joins two. Default: "
        f"{data_texts.DEFAULT_COLUMNS[0]}, else {data_texts.DEFAULT_COLUMNS[1]}",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write to this file, .jsonl (with score, id, errors) or .txt, instead of "
        "standard output. Results in an existing file are kept",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="discard the results in an existing output file",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=16,
        metavar="N",
        help="texts generated at a time (default 16)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="precision of the computation; bfloat16 is for GPU and TPU",
    )
    _add_settings(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    is_piped = options.file == "-"
    is_interactive = is_piped and sys.stdin.isatty()
    texts = data_texts.stream(
        sys.stdin.buffer if is_piped else options.file, options.format, options.column
    )
    if options.output:
        result_files.check(options.output, None if is_piped else options.file)
    elif options.overwrite:
        raise ConfigError("--overwrite is given without --output; expected both.")
    compilation_cache.enable()
    pipe = pipeline(
        "text2text-generation", model=options.model, dtype=jnp.dtype(options.dtype)
    )
    settings = {
        name: value
        for names in _SETTINGS.values()
        for name in names
        if (value := getattr(options, name)) is not None
    }
    bulk.check(pipe, options.batch_size, settings)
    if is_interactive:
        print_message("type one text a line; Ctrl-D ends")
    warnings = _Warnings("standard input" if is_piped else options.file)
    with (
        _writer(options.output, options.overwrite) as writer,
        _progress(
            writer.count, bool(options.output) or not sys.stdout.isatty()
        ) as advance,
    ):
        if writer.count:
            print_message(
                f"{writer.name} already has {plural(writer.count, 'result')} "
                "(--overwrite discards them)"
            )
        tally = bulk.generate(
            pipe,
            texts,
            writer,
            settings,
            batch_size=options.batch_size,
            # Interactive input: answer each line at once.
            sizes=itertools.repeat(1) if is_interactive else None,
            on_failure=warnings,
            on_result=advance,
        )
    if tally.failed:
        print_message(f"{tally.failed:,} of {plural(tally.texts, 'text')} failed")
    return int(0 < tally.texts == tally.failed)


_EXAMPLES = """\
examples:
  echo "Some text." | bertgen generate runs/papers/model
  bertgen generate runs/papers/model texts.txt > summaries.txt
  bertgen generate runs/papers/model papers.jsonl.gz --column abstract \\
      --output summaries.jsonl --num-beams 4 --length-penalty 0.6

A text that cannot be read gives a warning and an empty line, or an object with "error"
instead of "generated_text". The exit status is 1 if all texts fail, and 2 if the
options or the file are invalid. A command that was stopped continues when it is run
again.
"""


def _early_stopping(text: str) -> bool | str:
    values = {"true": True, "false": False, "never": "never"}
    try:
        check_choice("the value", text, values)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return values[text]


# Fields of `GenerationConfig` under the headings of the help: type, metavar, help.
_SETTINGS: Mapping[str, Mapping[str, tuple[Any, str, str]]] = {
    "lengths": {
        "max_new_tokens": (int, "N", "maximum length of a text in tokens"),
        "min_new_tokens": (int, "N", "minimum length of a text in tokens"),
    },
    "search": {
        "num_beams": (int, "N", "number of beams; 1 is greedy search"),
        "num_return_sequences": (
            int,
            "N",
            "hypotheses for each text, best first; as lines of text, separated by tabs",
        ),
        "length_penalty": (
            float,
            "X",
            "above 0 favours long texts, below 0 short ones",
        ),
        "length_penalty_form": (
            str,
            "FORM",
            "power (n ** X, as Hugging Face) or gnmt (((5 + n) / 6) ** X, the paper)",
        ),
        "early_stopping": (
            _early_stopping,
            "WHEN",
            "when a search ends. true: as soon as N texts are complete, for N "
            "beams; false: when a better one is unlikely; never: when a better one is "
            "impossible",
        ),
        "num_beam_groups": (
            int,
            "N",
            "number of groups of beams that differ from each other",
        ),
        "diversity_penalty": (float, "X", "how strongly the groups differ"),
        "no_repeat_ngram_size": (int, "N", "no N tokens occur twice in the same order"),
        "repetition_penalty": (float, "X", "above 1: tokens are repeated less often"),
    },
    "sampling": {
        "do_sample": (
            bool,
            "",
            "draw tokens at random; texts vary most with --num-beams=1",
        ),
        "temperature": (
            float,
            "X",
            "below 1: likelier texts; above 1: more varied ones",
        ),
        "top_k": (int, "N", "sample from the N likeliest tokens; 0: from all"),
        "top_p": (
            float,
            "P",
            "sample from the likeliest tokens that together have probability P",
        ),
        "seed": (int, "N", "another seed samples other texts"),
    },
}


def _add_settings(parser: argparse.ArgumentParser) -> None:
    for heading, settings in _SETTINGS.items():
        group = parser.add_argument_group(
            heading, description="default: as the model directory says"
        )
        for name, (type_, metavar, text) in settings.items():
            flag = f"--{name.replace('_', '-')}"
            if type_ is bool:
                group.add_argument(
                    flag, action=argparse.BooleanOptionalAction, help=text
                )
            else:
                group.add_argument(flag, type=type_, metavar=metavar, help=text)


class _Warnings:
    """Prints a message for each of the first texts that fail."""

    def __init__(self, name: str):
        self._name, self._left = name, _MAX_WARNINGS

    def __call__(self, text: data_texts.SourceText, result: TextResult) -> None:
        if self._left > 0:
            # Line and number differ after a header and after line breaks in quotes.
            number = "" if text.line == result.number else f" (text {result.number})"
            print_message(f"{self._name}, line {text.line}{number}: {result.error}")
        elif self._left == 0:
            print_message("more texts failed; the total is printed at the end")
        self._left -= 1


def _writer(
    output: str | None, overwrite: bool
) -> contextlib.AbstractContextManager[ResultWriter]:
    if output:
        return result_files.opened(output, overwrite)
    return contextlib.nullcontext(ResultWriter(sys.stdout.buffer))


@contextlib.contextmanager
def _progress(start: int, is_shown: bool) -> Iterator[Callable[[], object]]:
    """Shows how many texts are done, on a terminal.

    Args:
      start: the number of results that the output already has.
      is_shown: False if the terminal shows the texts themselves.

    Yields:
      A function that counts one more text.
    """
    if not (is_shown and sys.stderr.isatty()):
        yield lambda: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.completed:,} texts"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, completed=start)
        yield lambda: bar.advance(task)
