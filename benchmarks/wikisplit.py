"""Reads real texts from `BERTGEN_DATA_DIR`, WikiSplit's validation pairs above all."""

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


def lines(name: str) -> list[str]:
    """Returns the lines of a gzipped file in the folder of real data.

    Raises:
      LookupError: see `folder`.
    """
    with gzip.open(folder() / name, "rt", encoding="utf-8", newline="\n") as file:
        return file.read().removesuffix("\n").split("\n")


def pairs() -> list[tuple[str, str]]:
    """Returns each sentence with the two sentences that replace it.

    Raises:
      LookupError: see `folder`.
    """
    rows = (line.split("\t") for line in lines(_PAIRS))
    return [(source, target.replace(f" {SEPARATOR} ", " ")) for source, target in rows]


def tokenizer() -> WordPieceTokenizer:
    """Returns the tokenizer of uncased BERT.

    Raises:
      LookupError: see `folder`.
    """
    return WordPieceTokenizer(folder() / _VOCABULARY)
