"""The tasks of the paper: what is measured of them, beside what, and how it trained.

A new task is an entry here, and a config that names it.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from bertgen_jax.errors import ConfigError, nearest
from bertgen_jax.experiment import paper_results
from bertgen_jax.experiment.paper_results import Published
from bertgen_jax.models.config import Seq2SeqConfig
from bertgen_jax.models.presets import SIZES


@dataclasses.dataclass(frozen=True)
class Task:
    """What an evaluation measures; and the paper's runs, if it has any (section 4).

    Attributes:
      metrics: names in `metrics.catalogue.METRICS`, which the table begins with.
      baseline: of `metrics.baselines.BASELINES`.
      dataset: of `paper_results.DATASETS`; "" for what is not in the paper.
      published: the paper's name of a measurement, by ours, where they differ.
      total_steps, batch_size, max_source_tokens, max_target_tokens: as in a config.
      fraction: of the training data.
      test_examples: in the test set; 0: not stated.
    """

    metrics: tuple[str, ...] = ("rouge",)
    baseline: str = "lead-1"
    dataset: str = ""
    published: Mapping[str, str] = dataclasses.field(default_factory=dict)
    total_steps: int = 0
    batch_size: int = 0
    max_source_tokens: int = 0
    max_target_tokens: int = 0
    fraction: float = 1.0
    test_examples: int = 0


_DISCOFUSE = Task(
    metrics=("exact", "sari", "exact-lower", "sari-beta0"),
    baseline="copy",
    dataset="discofuse",
    total_steps=300_000,
    batch_size=256,
    max_source_tokens=128,
    max_target_tokens=128,
)
_WMT = Task(
    metrics=("bleu-tfmodels", "bleu", "chrf"),
    baseline="copy",
    published={"bleu-tfmodels": "bleu"},
    total_steps=527_000,  # 30 epochs
    batch_size=256,
    max_source_tokens=128,
    max_target_tokens=128,
)


def _wmt(dataset: str, test_examples: int) -> Task:
    return dataclasses.replace(_WMT, dataset=dataset, test_examples=test_examples)


TASKS: Mapping[str, Task] = {
    "": Task(),
    "bbc_xsum": Task(
        metrics=("rouge", "length", "repetition", "novelty"),
        dataset="bbc_xsum",
        total_steps=200_000,
        batch_size=128,
        max_source_tokens=512,
        max_target_tokens=64,
        test_examples=11_334,
    ),
    "cnn_dailymail": Task(
        baseline="lead-3",
        dataset="cnn_dailymail",
        # Only three points below R-1, it is summary level (see configs/).
        published={"rougeLsum": "rougeL"},
        total_steps=300_000,
        batch_size=128,
        max_source_tokens=512,
        max_target_tokens=128,
        test_examples=11_490,
    ),
    "gigaword": Task(
        baseline="copy",
        dataset="gigaword",
        total_steps=500_000,
        batch_size=256,
        max_source_tokens=128,
        max_target_tokens=32,
        test_examples=1_951,
    ),
    "discofuse": _DISCOFUSE,
    "discofuse-10%": dataclasses.replace(
        _DISCOFUSE, dataset="discofuse-10%", fraction=0.1
    ),
    "discofuse-1%": dataclasses.replace(
        _DISCOFUSE, dataset="discofuse-1%", fraction=0.01
    ),
    "discofuse-sports": dataclasses.replace(_DISCOFUSE, dataset=""),
    "wikisplit": Task(
        metrics=("exact", "sari", "bleu-nltk", "exact-lower", "sari-beta0"),
        baseline="halve",
        dataset="wikisplit",
        published={"bleu-nltk": "bleu"},
        total_steps=300_000,
        batch_size=256,
        max_source_tokens=128,
        max_target_tokens=128,
        test_examples=5_000,
    ),
    "newstest2014-en-de": _wmt("newstest2014-en-de", 3_003),
    "newstest2014-de-en": _wmt("newstest2014-de-en", 3_003),
    "newstest2016-en-de": _wmt("newstest2016-en-de", 2_999),
    "newstest2016-de-en": _wmt("newstest2016-de-en", 2_999),
}


def get(name: str) -> Task:
    """The task of that name.

    Raises:
      ConfigError: there is none.
    """
    if name not in TASKS:
        raise ConfigError(
            f"task is {name!r}; expected one of {', '.join(filter(None, TASKS))}, or "
            f"'' for ROUGE alone.{nearest(name, TASKS)}"
        )
    return TASKS[name]


@dataclasses.dataclass(frozen=True)
class Yardstick:
    """What the paper reached with the same setup, and what was different there.

    Attributes:
      source: "Table 5".
      setup: a recipe.
      layers: 12 or 24.
      metrics: its scores, by our names of measurements.
      differences: between this run and the paper's, a few words each.
    """

    source: str
    setup: str
    layers: int
    metrics: Mapping[str, float]
    differences: tuple[str, ...]


def yardstick(
    config: ConfigDict, model: Seq2SeqConfig, split: str, examples: int
) -> Yardstick | None:
    """The paper's row for a run; None where it has none.

    Args:
      config: the experiment's.
      model: its architecture.
      split: that is scored.
      examples: how many.
    """
    task = get(config.task)
    if not task.dataset:
        return None
    layers = model.decoder.num_hidden_layers
    row = paper_results.find(task.dataset, config.init.recipe, layers)
    if row is None:
        return None
    renamed = task.published.values()
    names = {name: name for name in row.metrics if name not in renamed}
    return Yardstick(
        source=row.source,
        setup=row.setup,
        layers=row.layers,
        metrics={
            ours: row.metrics[theirs]
            for ours, theirs in {**names, **task.published}.items()
        },
        differences=tuple(_differences(task, row, config, model, split, examples)),
    )


def _differences(
    task: Task,
    row: Published,
    config: ConfigDict,
    model: Seq2SeqConfig,
    split: str,
    examples: int,
) -> Iterator[str]:
    """Yields "600 steps, not 200,000" and the like."""
    data = config.data
    is_whole = examples == task.test_examples or not task.test_examples
    if split != "test" or not is_whole or data[split].startswith("demo:"):
        size = f" of {task.test_examples:,}" if task.test_examples else ""
        yield f"{examples:,} examples of {data[split]}, not the test set{size}"
    ours = model.decoder.num_hidden_layers, model.decoder.hidden_size
    preset = SIZES["large" if row.layers == 24 else "base"]
    theirs = preset["num_hidden_layers"], preset["hidden_size"]
    if ours != theirs:
        yield (
            f"{ours[0]} layers of width {ours[1]}, not {theirs[0]} of width {theirs[1]}"
        )
    if model.decoder.vocab_size not in _VOCABULARIES:
        yield f"a vocabulary of {model.decoder.vocab_size:,} pieces, not the published"
    counts: tuple[tuple[str, Any, Any], ...] = (
        ("steps", config.total_steps, task.total_steps),
        ("examples a step", config.batch_size, task.batch_size),
        ("source tokens", data.max_source_tokens, task.max_source_tokens),
        ("target tokens", data.max_target_tokens, task.max_target_tokens),
    )
    for what, ours, theirs in counts:
        if ours != theirs:
            yield f"{ours:,} {what}, not {theirs:,}"
    if data.fraction != task.fraction:
        yield f"{data.fraction:.4g} of the training data, not {task.fraction:g}"


# Of BERT (cased, uncased, multilingual), the paper's SentencePiece model and its WMT14
# word pieces, GPT-2 and RoBERTa.
_VOCABULARIES = (28_996, 30_522, 119_547, 50_358, 31_950, 50_257, 50_265)
