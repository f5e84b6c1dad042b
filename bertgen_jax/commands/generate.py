"""`bertgen generate`: each text of a file becomes a generated one."""

import argparse
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bertgen_jax.commands.messages import say, several
from bertgen_jax.data import texts as data_texts
from bertgen_jax.errors import ConfigError, nearest
from bertgen_jax.files import paths
from bertgen_jax.generation import bulk, result_files
from bertgen_jax.generation.pipeline import pipeline
from bertgen_jax.generation.result_files import Result, ResultWriter

_WARNINGS = 10  # texts that failed are named, at most


def define(parser: argparse.ArgumentParser) -> None:
    """Says what the command takes."""
    parser.usage = "bertgen generate [options] MODEL [FILE]"
    parser.description = (
        "Turns each text of a file into a generated one, on a line of its own, in the "
        "same order."
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
        help="texts, in UTF-8: .jsonl (an object a line), .csv or .tsv (the first line "
        "names the columns), else a text a line; each also .gz. Standard input if left "
        "out, or -",
    )
    parser.add_argument(
        "--format",
        choices=data_texts.FORMATS,
        help="of the texts, where no name says it",
    )
    parser.add_argument(
        "--column",
        metavar="NAME",
        help="where the text is in an object or a row; 0, 1, ... in csv and tsv files "
        "whose first line is a text; a+b joins two. By default "
        f"{data_texts.DEFAULT_COLUMNS[0]}, else {data_texts.DEFAULT_COLUMNS[1]}",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=".jsonl (score, id, errors) or .txt, instead of standard output. If there "
        "is a part of it already, the rest is added",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="begin the output anew"
    )
    parser.add_argument(
        "--batch-size", type=int, default=16, metavar="N", help="texts at a time (16)"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of the computation; bfloat16 is for GPU and TPU",
    )
    _add_settings(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    is_piped = options.file == "-"
    at_keyboard = is_piped and sys.stdin.isatty()
    texts = data_texts.stream(
        sys.stdin.buffer if is_piped else options.file, options.format, options.column
    )
    if options.output:
        result_files.check(options.output, None if is_piped else options.file)
    elif options.overwrite:
        raise ConfigError("--overwrite is given without --output; expected both.")
    _keep_programs()
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
    if at_keyboard:
        say("a line is a text; Ctrl-D ends")
    warnings = _Warnings("standard input" if is_piped else options.file)
    with (
        _writer(options.output, options.overwrite) as writer,
        _count(writer.count, bool(options.output) or not sys.stdout.isatty()) as step,
    ):
        if writer.count:
            say(
                f"{writer.name} has {several(writer.count, 'result')} already "
                "(--overwrite begins anew)"
            )
        tally = bulk.generate(
            pipe,
            texts,
            writer,
            settings,
            batch_size=options.batch_size,
            # Who types is answered line by line.
            sizes=itertools.repeat(1) if at_keyboard else None,
            on_failure=warnings,
            on_result=step,
        )
    if tally.failed:
        say(f"{tally.failed:,} of {several(tally.texts, 'text')} failed")
    return int(0 < tally.texts == tally.failed)


_EXAMPLES = """\
examples:
  echo "Some text." | bertgen generate runs/papers/model
  bertgen generate runs/papers/model texts.txt > summaries.txt
  bertgen generate runs/papers/model papers.jsonl.gz --column abstract \\
      --output summaries.jsonl --num-beams 4 --length-penalty 0.6

A text that cannot be read gives an empty line, or an object with "error" in place of
"generated_text", and a warning. The exit status is 1 if all fail, 2 if nothing can be
done. A command that was stopped goes on where it was if it is given again.
"""


def _early_stopping(word: str) -> bool | str:
    values = {"true": True, "false": False, "never": "never"}
    if word not in values:
        raise argparse.ArgumentTypeError(
            f"{word!r} is none of {', '.join(values)}.{nearest(word, values)}"
        )
    return values[word]


# Of `GenerationConfig`, by the headings of the help.
_SETTINGS: Mapping[str, Mapping[str, tuple[Any, str, str]]] = {
    "lengths": {
        "max_new_tokens": (int, "N", "longest text, in tokens"),
        "min_new_tokens": (int, "N", "shortest text, in tokens"),
    },
    "search": {
        "num_beams": (int, "N", "beams that are followed; 1 is greedy search"),
        "num_return_sequences": (
            int,
            "N",
            "hypotheses of each text, best first; in lines separated by tabs",
        ),
        "length_penalty": (
            float,
            "X",
            "above 0 favours long texts among beams, below 0 short ones",
        ),
        "length_penalty_form": (
            str,
            "FORM",
            "power (n ** X, as Hugging Face) or gnmt (((5 + n) / 6) ** X, the paper's)",
        ),
        "early_stopping": (
            _early_stopping,
            "WHEN",
            "true: as soon as there are enough hypotheses; false: when better ones are "
            "unlikely; never: when there can be none",
        ),
        "num_beam_groups": (int, "N", "groups of beams that differ from each other"),
        "diversity_penalty": (float, "X", "how much they are to differ"),
        "no_repeat_ngram_size": (int, "N", "no N tokens come twice in the same order"),
        "repetition_penalty": (float, "X", "above 1: tokens seldom come again"),
    },
    "sampling": {
        "do_sample": (
            bool,
            "",
            "draw tokens; of one beam (--num-beams=1) for texts that differ much",
        ),
        "temperature": (float, "X", "below 1 for likelier texts, above 1 for others"),
        "top_k": (int, "N", "draw among the N likeliest tokens; 0: among all"),
        "top_p": (float, "P", "draw among the likeliest that have P together"),
        "seed": (int, "N", "another one draws other texts"),
    },
}


def _add_settings(parser: argparse.ArgumentParser) -> None:
    for heading, settings in _SETTINGS.items():
        group = parser.add_argument_group(
            heading, description="by default as the model directory says"
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
    """Says which texts failed, of the first few."""

    def __init__(self, name: str):
        self._name, self._left = name, _WARNINGS

    def __call__(self, text: data_texts.SourceText, result: Result) -> None:
        if self._left > 0:
            # They differ where a header or line breaks in quotes come before.
            number = "" if text.line == result.number else f" (text {result.number})"
            say(f"{self._name}, line {text.line}{number}: {result.error}")
        elif self._left == 0:
            say("more texts failed; their number comes at the end")
        self._left -= 1


def _writer(
    output: str | None, overwrite: bool
) -> contextlib.AbstractContextManager[ResultWriter]:
    if output:
        return result_files.opened(output, overwrite)
    return contextlib.nullcontext(ResultWriter(sys.stdout.buffer))


@contextlib.contextmanager
def _count(start: int, wanted: bool) -> Iterator[Callable[[], object]]:
    """Shows how many texts are done; what comes out counts one more.

    On a terminal only, and only if the texts themselves are not to be seen there.
    """
    if not (wanted and sys.stderr.isatty()):
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


def _keep_programs() -> None:
    """Lets the next process find compiled what this one compiles.

    What is in the folder is run as it is, so nobody else may write there.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return  # the user keeps them somewhere
    folder = paths.cache_dir() / "programs"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)  # only the owner can
    except OSError as error:
        say(
            f"compiled programs are not kept for the next time, as {folder} cannot be "
            f"used: {error.strerror}. BERTGEN_CACHE_DIR names another folder"
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)  # of any size
