"""Real sentences: WikiSplit's validation pairs, from `BERTGEN_DATA_DIR`."""

import gzip
import pathlib

from bertgen_jax.files import paths
from bertgen_jax.normalization import SEPARATOR
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

_PAIRS = "wikisplit/validation.tsv.gz"
_VOCABULARY = "vocab/bert_base_uncased_vocab.txt"


def folder() -> pathlib.Path:
    """The folder of real data.

    Raises:
      LookupError: `BERTGEN_DATA_DIR` does not say where it is.
    """
    found = paths.data_dir()
    if found is None:
        raise LookupError("BERTGEN_DATA_DIR is not set; it names the folder of data")
    return found


def pairs() -> list[tuple[str, str]]:
    """Each sentence, and the two sentences that say the same.

    Raises:
      LookupError: see `folder`.
    """
    with gzip.open(folder() / _PAIRS, "rt", encoding="utf-8", newline="\n") as file:
        lines = file.read().removesuffix("\n").split("\n")
    rows = (line.split("\t") for line in lines)
    return [(source, target.replace(f" {SEPARATOR} ", " ")) for source, target in rows]


def tokenizer() -> WordPieceTokenizer:
    """That of BERT, uncased.

    Raises:
      LookupError: see `folder`.
    """
    return WordPieceTokenizer(folder() / _VOCABULARY)
