"""Measures how long scoring takes, beside libraries that compute the same numbers.

    python -m benchmarks.score [--repeats=5] [--output=FILE]

Published outputs of the size of whole test sets, from `BERTGEN_DATA_DIR`: ROUGE-1, -2
and -L of 11,334 summaries (XSum), BLEU of 3,004 translations (WMT17), and SARI and BLEU
of 5,000 split sentences (WikiSplit, cut in half). Our scores have 95% intervals, those
of the libraries have none. No library computes the paper's SARI.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import numpy as np
import sacrebleu
from rouge_score import rouge_scorer

from benchmarks import arguments, record, timing, wikisplit
from bertgen_jax.metrics import baselines, catalogue
from bertgen_jax.metrics.bootstrap import Resamples, scores
from bertgen_jax.metrics.outputs import Outputs

OURS = "bertgen_jax"
Runs = dict[str, Callable[[], list[float]]]


def main() -> int:
    """Prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--repeats", type=arguments.count, default=5, help="rounds that are timed"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file; by default one in results/"
    )
    options = parser.parse_args()
    machine = record.machine("bertgen_jax", "numpy", "rouge-score", "sacrebleu")
    load, rows = os.getloadavg()[0], []
    for case, outputs, runs in (_rouge(), _bleu(), _splitting()):
        timings = timing.race(runs, options.repeats)
        compared = timing.compared(timings, OURS)
        rows.append({"case": case, "examples": len(outputs), "systems": compared})
        print(f"{case}, {len(outputs):,} examples")
        for name, times in compared.items():
            ratio = f"{times['ratio']:.2f}x" if "ratio" in times else ""
            print(f"  {name:16}{times['median_s']:8.2f} s  {ratio}")
        for name, times in compared.items():
            if times.get("agreement", 1.0) < 1:
                print(f"{name} computes other numbers; nothing is written")
                return 1
    record.write(
        options.output or record.results_file("score", machine),
        record.command("score"),
        machine,
        {"load": round(load, 2), "repeats": options.repeats, "rows": rows},
    )
    return 0


def _scored(names: Sequence[str], outputs: Outputs, shown: Sequence[str]):
    def run() -> list[float]:
        values = scores(catalogue.compute(names, outputs), Resamples(len(outputs)))
        return [round(values[name].value, 9) for name in shown]

    return run


def _rouge() -> tuple[str, Outputs, Runs]:
    names = ("rouge1", "rouge2", "rougeL")
    references = wikisplit.lines("xsum_outputs/references.txt.gz")
    predictions = wikisplit.lines("xsum_outputs/outputs.tconvs2s.txt.gz")
    outputs = Outputs.of(predictions, [[reference] for reference in references])

    def library() -> list[float]:
        scorer = rouge_scorer.RougeScorer(names, use_stemmer=True)
        rows = [
            scorer.score(reference, prediction)
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        means = [np.mean([row[name].fmeasure for row in rows]) for name in names]
        return [round(100 * float(mean), 9) for mean in means]

    runs = {OURS: _scored(["rouge"], outputs, names), "rouge-score": library}
    return "ROUGE", outputs, runs


def _bleu() -> tuple[str, Outputs, Runs]:
    references = wikisplit.lines("wmt17_en_de/references.de.gz")
    predictions = wikisplit.lines("wmt17_en_de/outputs.LIUM.de.gz")
    outputs = Outputs.of(predictions, [[reference] for reference in references])

    def library() -> list[float]:
        return [round(sacrebleu.corpus_bleu(predictions, [references]).score, 9)]

    return (
        "BLEU",
        outputs,
        {
            OURS: _scored(["bleu"], outputs, ["bleu"]),
            "sacrebleu": library,
        },
    )


def _splitting() -> tuple[str, Outputs, Runs]:
    rows = [line.split("\t") for line in wikisplit.lines("wikisplit/test.tsv.gz")]
    outputs = Outputs.of(
        [baselines.halve(source) for source, _ in rows],
        [[target] for _, target in rows],
        [source for source, _ in rows],
    )
    names = ["sari", "bleu"]
    return "SARI and BLEU", outputs, {OURS: _scored(names, outputs, names)}


if __name__ == "__main__":
    sys.exit(main())
