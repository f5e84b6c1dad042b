"""Measures generation from texts to texts.

It times our pipeline and Hugging Face's `generate` in one process, with weights loaded
and programs compiled, and the shell command, which has to load and compile.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import huggingface, system, timing
from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.generation.pipeline import Pipeline
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.pretrained import loading
from bertgen_jax.tokenizers.pair import TokenizerPair

BATCH_SIZE, NUM_BEAMS = 16, 4


def measure(
    model: str | os.PathLike[str], texts: Sequence[str], repeats: int, device: str
) -> dict[str, Any]:
    """Times the generation for all texts.

    Args:
      model: directory of an encoder-decoder with one tokenizer.
      texts: of one line each.
      repeats: rounds that are timed.
      device: "cpu" or "cuda".

    Raises:
      RuntimeError: the two do not read the same ids, or the shell command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder) / "model"
        search = _with_same_settings(pathlib.Path(model), directory)
        ours = Pipeline(directory)
        theirs = huggingface.TextToText(directory, search, device)
        _check_ids(directory, theirs, texts)

        def run() -> list[str]:
            results = ours(texts, batch_size=BATCH_SIZE, num_beams=NUM_BEAMS)
            return [result["generated_text"] for result in results]

        timings = timing.race(
            {
                system.Ours.name: run,
                huggingface.NAME: lambda: theirs(texts, BATCH_SIZE),
            },
            repeats,
        )
        shell_s, lines = _in_a_shell(directory, texts)
    generated = timings[system.Ours.name].result
    return {
        "case": "end-to-end",
        "sentences": len(texts),
        "batch": BATCH_SIZE,
        "beams": NUM_BEAMS,
        "settings": search.to_dict(),
        "systems": timing.compared(timings, system.Ours.name),
        "shell": {
            "seconds": round(shell_s, 2),
            "agreement": timing.agreement(lines, list(map(_one_line, generated))),
        },
    }


def _with_same_settings(
    model: pathlib.Path, directory: pathlib.Path
) -> GenerationConfig:
    """Makes a directory of the same files with settings that all systems have.

    Hugging Face does not have the "gnmt" form of the length penalty.
    """
    config = EncoderDecoderConfig.from_pretrained(model)
    search = dataclasses.replace(
        loading.generation_config(model),
        num_beams=NUM_BEAMS,
        length_penalty=1.0,
        length_penalty_form="power",
        early_stopping=True,
        decoder_start_token_id=config.start_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
    )
    directory.mkdir()
    for path in model.resolve().iterdir():
        (directory / path.name).symlink_to(path)
    file = directory / loading.GENERATION_CONFIG
    file.unlink(missing_ok=True)
    file.write_text(json.dumps(search.to_dict()), encoding="utf-8")
    return search


def _check_ids(
    directory: pathlib.Path, theirs: huggingface.TextToText, texts: Sequence[str]
) -> None:
    """Checks that both read the same ids, because otherwise the times say nothing."""
    pair = TokenizerPair.from_pretrained(directory)
    if not pair.is_one:
        raise RuntimeError("the model has two tokenizers; expected one.")
    tokenizer = pair.source
    prefix, suffix = tokenizer.source_prefix, tokenizer.source_suffix
    for text, ids, their_ids in zip(
        texts, tokenizer.encode_batch(texts), theirs.encode(texts), strict=True
    ):
        our_ids = [*prefix, *ids, *suffix]
        # Their truncated ids still end with the suffix.
        num_kept = len(their_ids) - len(suffix)
        if [*our_ids[:num_kept], *suffix] != their_ids:
            raise RuntimeError(
                f"{text!r} has the ids {our_ids}, and with Hugging Face {their_ids}; "
                "expected a tokenizer that both read the same way."
            )


def _in_a_shell(
    directory: pathlib.Path, texts: Sequence[str]
) -> tuple[float, list[str]]:
    """Returns the seconds that the command takes, and the lines that it writes."""
    file = directory.with_name("sentences.txt")
    file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    command = [sys.executable, "-m", "bertgen_jax", "generate", directory, file]
    settings = [f"--num-beams={NUM_BEAMS}", f"--batch-size={BATCH_SIZE}"]
    started_s = time.perf_counter()
    process = subprocess.run(
        [*command, *settings], stdout=subprocess.PIPE, check=False, encoding="utf-8"
    )
    seconds = time.perf_counter() - started_s
    if process.returncode:
        raise RuntimeError(f"{[*command, *settings]} failed")
    return seconds, process.stdout.removesuffix("\n").split("\n")


def _one_line(text: str) -> str:
    return " ".join(text.split("\n"))
