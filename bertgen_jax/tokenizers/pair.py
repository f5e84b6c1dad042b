"""`TokenizerPair`: the tokenizers of sources and targets, which are usually one."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Self

from bertgen_jax.files.paths import StrPath
from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.interface import Tokenizer

TARGET = "decoder_tokenizer"  # subdirectory of a model directory, if the two differ


@dataclasses.dataclass(frozen=True)
class TokenizerPair:
    """The tokenizers of a model.

    A model that starts from two checkpoints with different vocabularies, such as BERT
    and GPT-2, has two tokenizers.

    Attributes:
      source: the tokenizer of the encoder's input.
      target: the tokenizer of the decoder's input and output.
    """

    source: Tokenizer
    target: Tokenizer

    @property
    def is_one(self) -> bool:
        """Whether both sides have one vocabulary."""
        return self.source.fingerprint == self.target.fingerprint

    @property
    def fingerprint(self) -> str:
        """The fingerprints of both tokenizers, or of the only one."""
        if self.is_one:
            return self.source.fingerprint
        return f"{self.source.fingerprint}+{self.target.fingerprint}"

    @classmethod
    def of(cls, source: Tokenizer, target: Tokenizer | None = None) -> Self:
        """Returns a pair of two tokenizers, or of one that serves both sides."""
        return cls(source, source if target is None else target)

    @classmethod
    def from_pretrained(cls, directory: StrPath) -> Self:
        """Reads the tokenizers of a model directory or a work directory.

        Raises:
          TokenizerError: a tokenizer is missing or corrupt.
        """
        source = AutoTokenizer.from_pretrained(directory)
        directory = pathlib.Path(directory)
        for inner in (directory / TARGET, directory / "tokenizer" / TARGET):
            if inner.is_dir():
                return cls(source, AutoTokenizer.from_pretrained(inner))
        return cls(source, source)

    def generated_text(self, ids: Sequence[int]) -> str:
        """Returns the text that a model generated.

        Special strings are dropped, except the separator of sentences: "<::::>" is a
        special string of the published vocabulary, but part of the texts of WikiSplit.
        (Hugging Face drops it.) In the vocabularies of BERT and RoBERTa the separator
        is the string that ends a text, so it is dropped.

          [2, 30996, 865, 33, 609, 1] -> "sank . <::::> who"
        """
        special = self.target.special_ids
        if special.sep in (None, special.eos):
            return self.target.decode(ids, skip_special_tokens=True)
        sentences: list[list[int]] = [[]]
        for id_ in ids:
            if id_ == special.sep:
                sentences.append([])
            else:
                sentences[-1].append(int(id_))
        texts = self.target.batch_decode(sentences, skip_special_tokens=True)
        return f" {self.target.decode([special.sep])} ".join(texts).strip(" ")

    def save_pretrained(self, directory: StrPath) -> None:
        """Writes the files; a second tokenizer goes to a subdirectory.

        Hugging Face expects one tokenizer in a directory and finds the source's.
        """
        self.source.save_pretrained(directory)
        if not self.is_one:
            self.target.save_pretrained(pathlib.Path(directory) / TARGET)
