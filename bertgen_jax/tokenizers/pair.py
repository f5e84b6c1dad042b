"""`TokenizerPair`: the tokenizer of the sources and that of the targets, mostly one."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Self

from bertgen_jax.tokenizers.auto import AutoTokenizer
from bertgen_jax.tokenizers.interface import Tokenizer

TARGET = "decoder_tokenizer"  # folder in a model directory, where the two differ


@dataclasses.dataclass(frozen=True)
class TokenizerPair:
    """What turns sources into ids, and ids of targets into text and back.

    A pair of checkpoints with two vocabularies, such as BERT and GPT-2, has two.

    Attributes:
      source: of the encoder's input.
      target: of the decoder's input and output.
    """

    source: Tokenizer
    target: Tokenizer

    @property
    def is_one(self) -> bool:
        """Whether both sides have one vocabulary."""
        return self.source.fingerprint == self.target.fingerprint

    @property
    def fingerprint(self) -> str:
        """Of both; that of the tokenizer where it is one."""
        if self.is_one:
            return self.source.fingerprint
        return f"{self.source.fingerprint}+{self.target.fingerprint}"

    @classmethod
    def of(cls, source: Tokenizer, target: Tokenizer | None = None) -> Self:
        """A pair of two, or of one that serves both sides."""
        return cls(source, source if target is None else target)

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> Self:
        """Reads the tokenizers of a model directory, or of a work directory.

        Raises:
          TokenizerError: there is none, or it is corrupt.
        """
        source = AutoTokenizer.from_pretrained(directory)
        directory = pathlib.Path(directory)
        for inner in (directory / TARGET, directory / "tokenizer" / TARGET):
            if inner.is_dir():
                return cls(source, AutoTokenizer.from_pretrained(inner))
        return cls(source, source)

    def generated_text(self, ids: Sequence[int]) -> str:
        """What a model has written: no special strings, but the one between sentences.

        In the published vocabulary " <::::> " is a special string, and a part of the
        texts of WikiSplit as well; Hugging Face leaves it out. In BERT's and RoBERTa's
        the string that separates is the one that ends a text.

          [2, 30996, 865, 33, 609, 1] -> "sank . <::::> who"
        """
        special = self.target.special_ids
        if special.sep in (None, special.eos):
            return self.target.decode(ids, skip_special_tokens=True)
        parts: list[list[int]] = [[]]
        for id_ in ids:
            if id_ == special.sep:
                parts.append([])
            else:
                parts[-1].append(int(id_))
        texts = [self.target.decode(part, skip_special_tokens=True) for part in parts]
        return f" {self.target.decode([special.sep])} ".join(texts).strip(" ")

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes the files; a second tokenizer to a folder of its own.

        Hugging Face knows one tokenizer a directory, and there finds the source's.
        """
        self.source.save_pretrained(directory)
        if not self.is_one:
            inner = pathlib.Path(directory) / TARGET
            inner.mkdir(parents=True, exist_ok=True)
            self.target.save_pretrained(inner)
