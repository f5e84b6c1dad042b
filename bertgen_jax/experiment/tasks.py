"""Defines the tasks of the paper: metrics, baselines and settings of its training.

To add a task, add an entry to `TASKS` and a config that names it.
"""

import dataclasses
from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict

from bertgen_jax.errors import ConfigError, nearest
from bertgen_jax.experiment import paper_results
from bertgen_jax.models.config import Seq2SeqConfig
from bertgen_jax.models.presets import SIZES


@dataclasses.dataclass(frozen=True)
class Task:
    """The metrics of a task, and the settings of the paper's training (section 4).

    Attributes:
      metrics: names in `metrics.catalogue.METRICS`, in the order of the table.
      baseline: a name in `metrics.baselines.BASELINES`.
      dataset: a name in `paper_results.DATASETS`; "" if it is not in the paper.
      paper_names: our name of a metric -> the paper's name, where they differ.
      total_steps, batch_size, max_source_tokens, max_target_tokens: as in a config.
      fraction: share of the training data.
      test_examples: size of the test set; 0 if the paper does not state it.
    """

    metrics: tuple[str, ...] = ("rouge",)
    baseline: str = "lead-1"
    dataset: str = ""
    paper_names: Mapping[str, str] = dataclasses.field(default_factory=dict)
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
    paper_names={"bleu-tfmodels": "bleu"},
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
        # The paper's ROUGE-L is only three points below ROUGE-1, so it must be at
        # summary level (see configs/).
        paper_names={"rougeLsum": "rougeL"},
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
        paper_names={"bleu-nltk": "bleu"},
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
    """Returns the task with a name.

    Raises:
      ConfigError: there is no such task.
    """
    if name not in TASKS:
        raise ConfigError(
            f"task is {name!r}; expected one of {', '.join(filter(None, TASKS))}, or "
            f"'' for ROUGE alone.{nearest(name, TASKS)}"
        )
    return TASKS[name]


@dataclasses.dataclass(frozen=True)
class PaperResult:
    """The paper's result for a setup, and how this run differs from the paper's run.

    Attributes:
      table: "Table 5".
      setup: a name in `recipes.RECIPES`.
      layers: 12 or 24.
      metrics: the paper's scores, by our names of metrics.
      differences: differences between the two runs, a few words each.
    """

    table: str
    setup: str
    layers: int
    metrics: Mapping[str, float]
    differences: tuple[str, ...]


def paper_result(
    config: ConfigDict, architecture: Seq2SeqConfig, split: str, examples: int
) -> PaperResult | None:
    """Returns the paper's result for a run, or None if the paper has none.

    Args:
      config: the experiment's config.
      architecture: the architecture of the run's model.
      split: the split that is scored.
      examples: the number of scored examples.
    """
    task = get(config.task)
    if not task.dataset:
        return None
    layers = architecture.decoder.num_hidden_layers
    row = paper_results.find(task.dataset, config.init.recipe, layers)
    if row is None:
        return None
    renamed = task.paper_names.values()
    paper_names = {name: name for name in row.metrics if name not in renamed}
    paper_names |= task.paper_names
    return PaperResult(
        table=row.table,
        setup=row.setup,
        layers=row.layers,
        metrics={ours: row.metrics[theirs] for ours, theirs in paper_names.items()},
        differences=tuple(
            _differences(task, row, config, architecture, split, examples)
        ),
    )


def _differences(
    task: Task,
    row: paper_results.Row,
    config: ConfigDict,
    architecture: Seq2SeqConfig,
    split: str,
    examples: int,
) -> Iterator[str]:
    """Yields the differences from the paper's run: "600 steps, not 200,000"."""
    data, stack = config.data, architecture.decoder
    is_whole = examples == task.test_examples or not task.test_examples
    if split != "test" or not is_whole or data[split].startswith("demo:"):
        size = f" of {task.test_examples:,}" if task.test_examples else ""
        yield f"{examples:,} examples of {data[split]}, not the test set{size}"
    size = stack.num_hidden_layers, stack.hidden_size
    preset = SIZES["large" if row.layers == 24 else "base"]
    paper_size = preset["num_hidden_layers"], preset["hidden_size"]
    if size != paper_size:
        yield (
            f"{size[0]} layers of width {size[1]}, not {paper_size[0]} of width "
            f"{paper_size[1]}"
        )
    if stack.vocab_size not in _VOCABULARIES:
        yield f"a vocabulary of {stack.vocab_size:,} pieces, not a published one"
    for unit, value, paper_value in (
        ("steps", config.total_steps, task.total_steps),
        ("examples a step", config.batch_size, task.batch_size),
        ("source tokens", data.max_source_tokens, task.max_source_tokens),
        ("target tokens", data.max_target_tokens, task.max_target_tokens),
    ):
        if value != paper_value:
            yield f"{value:,} {unit}, not {paper_value:,}"
    if data.fraction != task.fraction:
        yield f"{data.fraction:.4g} of the training data, not {task.fraction:g}"


# Sizes of the vocabularies of BERT (cased, uncased, multilingual), of the paper's
# SentencePiece model and its WMT14 word pieces, of GPT-2 and of RoBERTa.
_VOCABULARIES = (28_996, 30_522, 119_547, 50_358, 31_950, 50_257, 50_265)
