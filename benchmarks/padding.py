"""Computes the share of padding in the batches of real corpora, for several settings.

    python -m benchmarks.padding [--output=FILE]

The corpora are in `BERTGEN_DATA_DIR`; each is tokenized by WordPiece. "Longest of the
batch" draws batches at random and pads each to its longest source and target.
"""

import argparse
import dataclasses
import os
import pathlib
import sys
from typing import Any

import numpy as np

from benchmarks import record, wikisplit
from bertgen_jax.data import batching

# (buckets, multiple of their lengths); the last one is the default
SETTINGS = ((4, 32), (8, 32), (4, 16), (8, 16), (4, 8), (12, 8), (8, 8))
BATCHES = (16, 256)
LONGEST = "longest of the batch"


@dataclasses.dataclass(frozen=True)
class _Lengths:
    """What a plan needs to know of a corpus."""

    source_lengths: np.ndarray
    target_lengths: np.ndarray
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.source_lengths)


def main() -> int:
    """Prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file; by default one in results/"
    )
    options = parser.parse_args()
    machine = record.machine("bertgen_jax", "numpy")
    rows = []
    for corpus, (sources, targets) in lengths().items():
        for batch in BATCHES:
            row = {
                "corpus": corpus,
                "batch": batch,
                "padding": {
                    key: round(share, 4)
                    for key, share in shares(sources, targets, batch).items()
                },
            }
            rows.append(row)
            print(row, flush=True)
    record.write(
        options.output or record.RESULTS / "padding.json",
        record.command("padding"),
        machine,
        {"load": round(os.getloadavg()[0], 2), "rows": rows},
    )
    return 0


def lengths() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the lengths in tokens, end included, of sources and targets by corpus."""
    tokenizer = wikisplit.tokenizer()

    def counted(texts: list[str]) -> np.ndarray:
        return np.array([min(len(tokenizer.encode(text)) + 1, 128) for text in texts])

    split = [line.split("\t") for line in wikisplit.lines("wikisplit/tune.tsv.gz")]
    return {
        "WikiSplit": (
            counted([row[0] for row in split]),
            counted([r[1] for r in split]),
        ),
        "WMT en-de": (
            counted(wikisplit.lines("opennmt_ende/train.en.gz")),
            counted(wikisplit.lines("opennmt_ende/train.de.gz")),
        ),
    }


def shares(sources: np.ndarray, targets: np.ndarray, batch: int) -> dict[str, float]:
    """Returns the share of padding by setting."""
    results = {}
    encoded: Any = _Lengths(sources, targets)
    for num_buckets, multiple in SETTINGS:
        buckets = batching.choose_buckets(
            sources,
            targets,
            num_buckets=num_buckets,
            multiple=multiple,
            max_source=128,
            max_target=128,
        )
        plan = batching.TrainPlan(encoded, buckets, batch_size=batch, seed=0)
        results[f"{num_buckets} x {multiple}"] = plan.padding_share()
    order = np.random.default_rng(0).permutation(len(sources))
    rows = order[: len(order) // batch * batch].reshape(-1, batch)
    tokens = sources[rows].sum() + targets[rows].sum()
    computed = batch * (sources[rows].max(axis=1) + targets[rows].max(axis=1)).sum()
    results[LONGEST] = 1 - tokens / computed
    return results


if __name__ == "__main__":
    sys.exit(main())
