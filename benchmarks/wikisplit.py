"""Reads real sentences: WikiSplit's validation pairs, from `BERTGEN_DATA_DIR`."""

import gzip
import pathlib

from bertgen_jax.files import paths
from bertgen_jax.normalization import SEPARATOR
from bertgen_jax.tokenizers.wordpiece import WordPieceTokenizer

_PAIRS = "wikisplit/validation.tsv.gz"
_VOCABULARY = "vocab/bert_base_uncased_vocab.txt"


def folder() -> pathlib.Path:
    """Returns the folder of real data.

    Raises:
      LookupError: `BERTGEN_DATA_DIR` is not set.
    """
    directory = paths.data_dir()
    if directory is None:
        raise LookupError("BERTGEN_DATA_DIR is not set; it names the folder of data")
    return directory


def pairs() -> list[tuple[str, str]]:
    """Returns each sentence with the two sentences that replace it.

    Raises:
      LookupError: see `folder`.
    """
    with gzip.open(folder() / _PAIRS, "rt", encoding="utf-8", newline="\n") as file:
        lines = file.read().removesuffix("\n").split("\n")
    rows = (line.split("\t") for line in lines)
    return [(source, target.replace(f" {SEPARATOR} ", " ")) for source, target in rows]


def tokenizer() -> WordPieceTokenizer:
    """Returns the tokenizer of uncased BERT.

    Raises:
      LookupError: see `folder`.
    """
    return WordPieceTokenizer(folder() / _VOCABULARY)
