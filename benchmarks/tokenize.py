"""Measures how long tokenizing a corpus takes, beside an earlier commit.

    python -m benchmarks.tokenize [--baseline=710f9a9] [--repeats=3] [--output=FILE]
    python -m benchmarks.tokenize --memory

The corpus is real text from `BERTGEN_DATA_DIR`: 86,000 different pairs of sentences.
Each run is a process of its own that fills an empty cache. The runs take turns:

- the baseline on one core and on all cores, where its libraries start threads;
- this tree on one core, with a process for each core, and with eight processes;
- the floor: only the calls of the C++ and Rust libraries, with threads on all cores.

All runs must write the same bytes as the baseline. On fewer than eight cores, eight
processes do not show the time of eight cores. It is computed from CPU time: the first
process's, which nothing shares, and an eighth of the others', and the time of one part
of the corpus, because the last process ends a part later.

With `--memory` the peaks of resident memory are compared, for the corpus and for four
copies of it.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks import arguments, record, wikisplit
from bertgen_jax.data import encoding

_BASELINE = "710f9a9"  # the last commit that tokenized in one process
_ROOT = pathlib.Path(__file__).parents[1]
_TOKENIZERS = ("SentencePiece", "WordPiece", "byte-level BPE")
_MANY = 8  # processes
_COPIES = 4  # of the corpus, to see whether memory grows with it
_TABLES = (
    "wikisplit/tune.tsv.gz",
    "wikisplit/validation.tsv.gz",
    "wikisplit/test.tsv.gz",
    "minwiki/train.tsv.gz",
    "desse/train.tsv.gz",
)
_PARALLEL = ("multi30k/train", "opennmt_ende/train")


def main() -> int:
    """Prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--baseline", default=_BASELINE, help="commit to compare with")
    parser.add_argument(
        "--repeats", type=arguments.count, default=3, help="rounds that are timed"
    )
    parser.add_argument(
        "--memory", action="store_true", help="compare memory in place of time"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file; by default one in results/"
    )
    options = parser.parse_args()
    machine = record.machine("bertgen_jax", "sentencepiece", "tokenizers")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        workspace = pathlib.Path(folder)
        old = workspace / "baseline"
        _check_out(options.baseline, old)
        corpus = workspace / "corpus.tsv"
        pairs = sorted(set(_pairs()))
        corpus.write_text("\n".join(pairs) + "\n", encoding="utf-8")
        cores = record.cores()
        if options.memory:
            larger = workspace / "larger.tsv"
            larger.write_text(("\n".join(pairs) + "\n") * _COPIES, encoding="utf-8")
            rows = [
                {"case": f"{name}, {count} x {len(pairs):,} pairs"}
                | _memory(_run(tree, file, "WordPiece", "all", workers))
                for name, tree, workers in (
                    ("baseline", old, "baseline"),
                    (f"{cores} processes", _ROOT, str(cores)),
                )
                for count, file in ((1, corpus), (_COPIES, larger))
            ]
            for row in rows:
                print(row)
        else:
            runs = {
                "baseline, 1 core": (old, corpus, "1", "baseline"),
                f"baseline, {cores} cores": (old, corpus, "all", "baseline"),
                "1 process": (_ROOT, corpus, "1", "1"),
                f"{cores} processes": (_ROOT, corpus, "all", str(cores)),
                f"{_MANY} processes": (_ROOT, corpus, "all", str(_MANY)),
                "floor": (_ROOT, corpus, "all", "floor"),
            }
            rows = [_compare(name, runs, options.repeats) for name in _TOKENIZERS]
            for row in rows:
                _print(row)
            if any(len(row.pop("sha256")) != 1 for row in rows):
                print("The bytes differ; nothing is written")
                return 1
    values = {"load": round(load, 2), "baseline": options.baseline, "rows": rows}
    if not options.memory:
        values["repeats"] = options.repeats
    name = "tokenize-memory" if options.memory else "tokenize"
    record.write(
        options.output or record.results_file(name, machine),
        record.command("tokenize"),
        machine,
        values,
    )
    return 0


def _check_out(commit: str, folder: pathlib.Path) -> None:
    """Writes the package of a commit to a folder."""
    command = ["git", "-C", str(_ROOT), "archive", commit, "bertgen_jax"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as git,
        tarfile.open(fileobj=git.stdout, mode="r|") as archive,
    ):
        archive.extractall(folder, filter="data")


def _pairs() -> Iterator[str]:
    """Yields the lines of the corpus: source, tab, target."""
    rows = [line.split("\t")[:2] for name in _TABLES for line in wikisplit.lines(name)]
    for name in _PARALLEL:
        columns = (
            wikisplit.lines(f"{name}.{language}.gz") for language in ("en", "de")
        )
        rows += [
            [text.replace("\t", " ") for text in row]
            for row in zip(*columns, strict=True)
        ]
    for source, target in rows:
        if source.strip() and target.strip():
            yield f"{source}\t{target}"


def _run(
    tree: pathlib.Path, corpus: pathlib.Path, tokenizer: str, cores: str, workers: str
) -> dict[str, Any]:
    script = _ROOT / "benchmarks" / "tokenize_run.py"
    done = subprocess.run(
        [sys.executable, "-P", script, corpus, tokenizer, cores, workers],
        env=os.environ | {"PYTHONPATH": str(tree), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def _compare(
    tokenizer: str,
    runs: dict[str, tuple[pathlib.Path, pathlib.Path, str, str]],
    repeats: int,
) -> dict[str, Any]:
    """Returns medians of each run, and the ratios to this tree's times."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, (tree, corpus, cores, workers) in runs.items():
            results[name].append(_run(tree, corpus, tokenizer, cores, workers))

    def median(name: str, field: str) -> float:
        return statistics.median(result[field] for result in results[name])

    count = results["floor"][0]["examples"]
    many = f"{_MANY} processes"
    part_s = median(many, "workers_cpu_s") * encoding._PART / count
    eight_s = median(many, "cpu_s") + median(many, "workers_cpu_s") / _MANY + part_s
    one_core, all_cores, *_ = runs
    one, several, *_ = list(runs)[2:]
    return {
        "tokenizer": tokenizer,
        "examples": count,
        "seconds": {name: round(median(name, "seconds"), 3) for name in runs},
        "min_s": {
            name: round(min(r["seconds"] for r in results[name]), 3) for name in runs
        },
        "cpu_s": {
            name: round(median(name, "cpu_s") + median(name, "workers_cpu_s"), 3)
            for name in runs
        },
        "eight_cores_computed_s": round(eight_s, 3),
        "ratios": {
            f"{one_core} / {one}": _ratio(
                median(one_core, "seconds"), median(one, "seconds")
            ),
            f"{all_cores} / {several}": _ratio(
                median(all_cores, "seconds"), median(several, "seconds")
            ),
            f"{one_core} / 8 cores, computed": _ratio(
                median(one_core, "seconds"), eight_s
            ),
            f"{all_cores} / 8 cores, computed": _ratio(
                median(all_cores, "seconds"), eight_s
            ),
        },
        "sha256": {
            r["sha256"] for name in runs if name != "floor" for r in results[name]
        },
    }


def _ratio(seconds: float, ours_s: float) -> float:
    return round(seconds / ours_s, 2)


def _memory(result: dict[str, Any]) -> dict[str, int]:
    fields = ("before_mb", "peak_mb", "worker_peak_mb")
    return {field.removesuffix("_mb"): round(result[field]) for field in fields}


def _print(row: dict[str, Any]) -> None:
    print(f"{row['tokenizer']}, {row['examples']:,} examples")
    for name, seconds in row["seconds"].items():
        print(f"  {name:20}{seconds:8.2f} s  {row['cpu_s'][name]:8.2f} s CPU")
    print(f"  8 cores, computed   {row['eight_cores_computed_s']:8.2f} s")
    for name, ratio in row["ratios"].items():
        print(f"  {name}: {ratio:.2f}x")


if __name__ == "__main__":
    sys.exit(main())
