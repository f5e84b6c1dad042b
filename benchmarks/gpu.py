"""Measures on one GPU what matters most, within 15 minutes.

    python -m benchmarks.gpu [--output=FILE] [--minutes=14] [--parts=NAME,...]
        [--vocabulary=FILE] [--small]

The parts run one after the other, the most valuable first, each in a process of its own
with a time limit. Their output is printed as it comes, and the JSON file of results is
written after each of them, so nothing is lost when time runs out. A part that fails or
takes too long does not stop the others.

--vocabulary is a SentencePiece model for the training run; by default that of the
paper, if `BERTGEN_DATA_DIR` names the folder of real data, and else a learned one.
--small makes everything tiny, to try the script on a CPU.
--parts names those to run; by default all.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import arguments, record

ROOT = pathlib.Path(__file__).parents[1]
_WORDS = 4_000  # of the random documents
_STEPS = 50
_LEAST_S = 20.0  # a part is not started with less time


@dataclasses.dataclass(frozen=True)
class Part:
    """One measurement.

    Attributes:
      name: says what is measured.
      limit_s: the most time that it may take.
      command: without the interpreter.
      results: the JSON file that the command writes; with lines if it is ".jsonl".
    """

    name: str
    limit_s: float
    command: Sequence[str]
    results: pathlib.Path


def main() -> int:
    """Runs all parts; returns 1 if one of them failed or had no time."""
    options = _options()
    deadline = time.monotonic() + 60 * options.minutes
    ends: dict[str, str] = {}
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        _write_data(folder)
        for part in parts(folder, small=options.small, vocabulary=options.vocabulary):
            if part.name not in options.parts:
                continue
            left_s = deadline - time.monotonic()
            if left_s < _LEAST_S:
                ends[part.name] = "no time was left"
                continue
            ends[part.name] = run(part, min(part.limit_s, left_s))
            print(f"== {part.name}: {ends[part.name]}", flush=True)
            if part.results.exists():
                results[part.name] = _read(part.results)
            record.write(
                options.output,
                record.command("gpu"),
                record.machine("bertgen_jax", "jax", "jaxlib", "torch", "transformers"),
                {"ends": ends, "results": results},
            )
    print(json.dumps(ends, indent=1))
    return int(any(not end.startswith("done") for end in ends.values()))


def parts(folder: pathlib.Path, *, small: bool, vocabulary: str | None) -> list[Part]:
    """Returns the parts, the most valuable first.

    Args:
      folder: for results, and for the data and the work directory of a training run.
      small: whether everything is tiny.
      vocabulary: a SentencePiece model for the training run; None to learn one.
    """
    base, large = ("micro", "micro") if small else ("base", "large")
    lengths = ("32", "16") if small else ("512", "128")
    many, few = ("8", "4") if small else ("64", "16")

    def train(name: str, limit_s: float, size: str, batch: str, *flags: str) -> Part:
        results = folder / f"{name}.json"
        command = ["-m", "benchmarks.train_step", f"--sizes={size}"]
        command += [f"--batches={batch}", f"--source={lengths[0]}"]
        command += [f"--target={lengths[1]}", "--repeats=5", *flags]
        return Part(name, limit_s, [*command, f"--output={results}"], results)

    decoded = folder / "decode.json"
    decode = ["-m", "benchmarks.decode", f"--sizes={base}"]
    decode += [f"--batches={'1,2' if small else '64,1'}", "--beams=4,1"]
    decode += ["--cases=fixed", f"--repeats={1 if small else 3}"]
    decode.append(f"--output={decoded}")
    ours, theirs = "--systems=ours", "--systems=theirs"
    compiled = () if small else ("--compile",)
    training = _training(folder, small=small, vocabulary=vocabulary)
    return [
        train("train-base-ours", 150, base, many, ours),
        train("train-base-theirs", 150, base, many, theirs, *compiled),
        train("train-large-ours", 150, large, few, ours),
        Part("decode", 180, decode, decoded),
        train("train-large-theirs", 120, large, few, theirs),
        Part("bbc_summarize", 180, training, folder / "run" / "metrics.jsonl"),
        train("train-base-dots", 90, base, many, ours, "--remat=dots"),
        train("train-large-64", 120, large, many, ours, "--remat=dots"),
        train("train-large-64-theirs", 90, large, many, theirs),
    ]


def run(part: Part, limit_s: float) -> str:
    """Runs a part, and ends it and its processes after its time.

    Returns:
      "done in N s", or why not.
    """
    print(f"\n== {part.name}: at most {limit_s:.0f} s", flush=True)
    print(f"$ python {' '.join(part.command)}", flush=True)
    started_s = time.monotonic()
    # Two libraries share the GPU in some parts, so none takes all of its memory.
    environment = os.environ | {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, *part.command],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit_s, end)
    timer.start()
    try:
        status = process.wait()
    finally:
        timer.cancel()
    seconds = time.monotonic() - started_s
    if late.is_set():
        return f"stopped after {seconds:.0f} s"
    return f"done in {seconds:.0f} s" if status == 0 else f"failed with status {status}"


def _read(file: pathlib.Path) -> Any:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text)


def _training(
    folder: pathlib.Path, *, small: bool, vocabulary: str | None
) -> list[str]:
    """Returns the command that trains configs/bbc_summarize.py for 50 steps.

    The one stack that encoder and decoder share starts from random weights instead of
    RoBERTa's. For the data, see `_write_data`.
    """
    values = {
        "init.recipe": "rndshare",
        "init.encoder": "",
        "data.train": str(folder / "train.jsonl"),
        "data.validation": str(folder / "validation.jsonl"),
        "data.test": str(folder / "test.jsonl"),
        "data.num_buckets": 1,
        "tokenizer.path": vocabulary or "learn",
        "model.dtype": "float32" if small else "bfloat16",
        "total_steps": _STEPS,
        "eval.every_steps": 0,
        "checkpoint.every_steps": _STEPS,
        "log.every_steps": 10,
        "log.tensorboard": False,
        "eval.num_examples": 16,
    }
    if not vocabulary:
        values |= {"tokenizer.vocab_size": 4_000}
    if small:
        values |= {
            "model.size": "micro",
            "batch_size": 8,
            "eval.batch_size": 8,
            "data.max_source_tokens": 32,
            "data.max_target_tokens": 16,
            "decode.max_new_tokens": 16,
        }
    else:
        values |= {"eval.batch_size": 16}
    flags = [f"--config.{name}={value}" for name, value in values.items()]
    return [
        "train.py",
        "--config=configs/bbc_summarize.py",
        *flags,
        f"--workdir={folder / 'run'}",
    ]


def _write_data(folder: pathlib.Path) -> None:
    """Writes documents of random words that fill 512 and 64 tokens."""
    for split, number in (("train", 512), ("validation", 16), ("test", 16)):
        _write_documents(folder / f"{split}.jsonl", number)


def _write_documents(file: pathlib.Path, number: int) -> None:
    """Writes random documents and summaries, longer than a source and a target."""
    rng = np.random.default_rng(number)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(_WORDS)]
    with file.open("w", encoding="utf-8") as lines:
        for i in range(number):
            document = " ".join(rng.choice(words, 520))
            row = {
                "id": f"{file.stem}-{i}",
                "document": document,
                "summary": document[: document.index(" ", 400)],
            }
            lines.write(json.dumps(row) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("gpu.json"))
    parser.add_argument("--minutes", type=float, default=14.0)
    known = [part.name for part in parts(pathlib.Path(), small=True, vocabulary=None)]
    parser.add_argument("--parts", type=arguments.names(known), default=known)
    parser.add_argument("--vocabulary", help="SentencePiece model")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    vocabularies = pathlib.Path(os.environ.get("BERTGEN_DATA_DIR", ""), "vocab")
    paper = vocabularies / "bertgen_50358.model"
    if options.vocabulary is None and paper.is_file():
        options.vocabulary = str(paper)
    return options


if __name__ == "__main__":
    sys.exit(main())
