"""Opens and encodes the splits of an experiment's data."""

import dataclasses
import logging
import time
from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from bertgen_jax.data import batching, encoding
from bertgen_jax.data import examples as examples_lib
from bertgen_jax.data.examples import Examples, Subset
from bertgen_jax.errors import ConfigError
from bertgen_jax.experiment import settings
from bertgen_jax.tokenizers.pair import TokenizerPair

SPLITS = ("train", "validation", "test")

# A bucket costs a program of the loss and one of the search, which are compiled while
# the evaluation waits.
_MOST_EVALUATION_BUCKETS = 4
_LOG_PERIOD_S = 10  # between log lines while texts are tokenized

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Split:
    """One split, opened and encoded.

    Attributes:
      name: one of `SPLITS`.
      examples: the texts.
      encoded: the token ids of the texts.
      buckets: the shapes of its batches.
    """

    name: str
    examples: Examples | Subset
    encoded: encoding.EncodedExamples
    buckets: tuple[batching.Bucket, ...]


def open_examples(config: ConfigDict, split: str) -> Examples | Subset:
    """Opens the texts of a split and checks every row.

    Raises:
      ConfigError: the config names no data for the split.
      DataError: see `data.examples.open_examples`.
    """
    location = config.data[split]
    if not location:
        named = [name for name in SPLITS if config.data[name]]
        raise ConfigError(
            f"data.{split} is empty; expected a file, a glob, 'hf:...' or 'demo:...'. "
            f"The config names data for: {', '.join(named) or 'nothing'}."
        )
    columns = {field: name for field, name in config.data.columns.items() if name}
    examples = examples_lib.open_examples(
        location, columns, on_bad_row=config.data.on_bad_row
    )
    _log.info("%s: %s", split, examples.description)
    for message in examples.skipped.messages:
        _log.warning("%s: a skipped row, for example: %s", split, message)
    if split == "train":
        return examples_lib.draw(examples, config.data.fraction, config.seed)
    return examples


def encode(
    config: ConfigDict,
    name: str,
    examples: Examples | Subset,
    tokenizers: TokenizerPair,
) -> Split:
    """Tokenizes a split, or finds its tokens in the cache, and chooses its buckets.

    Args:
      config: the experiment's config.
      name: one of `SPLITS`, for the log.
      examples: all texts of the split, or a subset.
      tokenizers: the tokenizers of source and target texts.

    Raises:
      ConfigError: `data.buckets` is invalid.
    """
    data = config.data
    encoded = encoding.encode(
        examples,
        tokenizers.source,
        settings.encoding_spec(config),
        _progress_log(name),
        target=tokenizers.target,
        workers=data.workers,
        share=encoding.Share(jax.process_index(), jax.process_count()),
    )
    _log.info("%s: %s", name, encoded.report)
    if data.buckets:
        buckets = batching.parse_buckets(data.buckets)
    else:
        buckets = batching.choose_buckets(
            encoded.source_lengths,
            encoded.target_lengths,
            num_buckets=(
                data.num_buckets
                if name == "train"
                else min(data.num_buckets, _MOST_EVALUATION_BUCKETS)
            ),
            multiple=data.bucket_multiple,
            max_source=data.max_source_tokens,
            max_target=data.max_target_tokens,
        )
    _log.info("%s: batches of shape %s", name, ", ".join(map(str, buckets)))
    return Split(name, examples, encoded, buckets)


def _progress_log(split: str) -> Callable[[int, int], None]:
    """Returns a callback that logs from time to time how far tokenization is."""
    last_s = time.monotonic()

    def log(done: int, total: int) -> None:
        nonlocal last_s
        if time.monotonic() - last_s > _LOG_PERIOD_S:
            last_s = time.monotonic()
            _log.info(
                "%s: %s of %s examples tokenized", split, f"{done:,}", f"{total:,}"
            )

    return log
