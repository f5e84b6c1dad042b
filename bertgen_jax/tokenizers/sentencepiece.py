"""`BertGenerationTokenizer`: text in, SentencePiece ids out, the same as the peer's."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from bertgen_jax import errors
from bertgen_jax.suggest import nearest
from bertgen_jax.tokenizers import interface, pretrained_files, sentencepiece_model
from bertgen_jax.tokenizers.normalization import check_steps, normalize
from bertgen_jax.tokenizers.padding import pad_rows

VOCAB_FILE = "spiece.model"
# In the peer's order: it numbers the strings that the model lacks.
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token")
PADDINGS = ("longest", "max_length", "do_not_pad")
# What `clean_up_tokenization_spaces` strips of its spaces, in the peer's order.
CLEAN_UP = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


class BertGenerationTokenizer:
    """SentencePiece with special strings cut out first; an `interface.Tokenizer`.

    Ids and decoded text equal those of `transformers.BertGenerationTokenizer` 5. No
    special ids are added around a text. A special string that the model lacks gets an
    id after the vocabulary. Instances never change.

    Attributes:
      vocab_size: rows an embedding table needs, ids after the vocabulary included.
      special_ids: the ids with a role.
      fingerprint: hex digest of everything that changes ids.
      normalization: names of the steps applied to a text before it is encoded.
      model_max_length: where `truncation=True` cuts, in ids; None for no limit.
      bos_token, eos_token, unk_token, pad_token, sep_token: the special strings.
    """

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | bytes,
        bos_token: str | None = "<s>",
        eos_token: str = "</s>",
        unk_token: str = "<unk>",
        pad_token: str = "<pad>",
        sep_token: str | None = "<::::>",
        sp_model_kwargs: Mapping[str, Any] | None = None,
        *,
        normalization: Sequence[str] = (),
        extra_special_tokens: Sequence[str] = (),
        added_tokens: Mapping[str, int] | None = None,
        model_max_length: int | None = None,
        clean_up_tokenization_spaces: bool = False,
    ):
        """Loads a SentencePiece model.

        Args:
          vocab_file: path of the model, or its bytes.
          bos_token: starts a target; None if there is no such string.
          eos_token: ends a target.
          unk_token: written for what the vocabulary cannot spell.
          pad_token: fills up short rows.
          sep_token: separates two texts in a row; None if there is no such string.
          sp_model_kwargs: subword regularisation: `enable_sampling`, `nbest_size`,
            `alpha`. A text then gets other ids each time.
          normalization: names of `normalization.STEPS`, applied in this order.
          extra_special_tokens: further strings that are one id each, and that
            `skip_special_tokens` drops.
          added_tokens: strings with ids that the model does not know of.
          model_max_length: where `truncation=True` cuts without `max_length`, in ids.
          clean_up_tokenization_spaces: whether decoding removes the spaces before
            punctuation and English contractions.

        Raises:
          TokenizerError: no model can be read from `vocab_file`.
          ConfigError: an unknown normalization step or sampling argument; no string
            where one is needed.
        """
        self._options = {
            "bos_token": bos_token,
            "eos_token": eos_token,
            "unk_token": unk_token,
            "pad_token": pad_token,
            "sep_token": sep_token,
            "sp_model_kwargs": dict(sp_model_kwargs or {}),
            "normalization": check_steps(normalization),
            "extra_special_tokens": tuple(extra_special_tokens),
            "added_tokens": dict(added_tokens or {}),
            "model_max_length": model_max_length,
            "clean_up_tokenization_spaces": clean_up_tokenization_spaces,
        }
        for role in ("eos_token", "unk_token", "pad_token"):
            if not self._options[role]:
                raise errors.ConfigError(
                    f"{role} is {self._options[role]!r}; expected a special string."
                )
        self.bos_token, self.eos_token, self.unk_token = bos_token, eos_token, unk_token
        self.pad_token, self.sep_token = pad_token, sep_token
        self.normalization = self._options["normalization"]
        self._model, self._processor = sentencepiece_model.load(
            vocab_file, self._options["sp_model_kwargs"]
        )

        pieces = self._pieces()
        named = [self._options[role] for role in ROLES]
        self._special = [t for t in (*named, *extra_special_tokens) if t]
        self._added = dict(added_tokens or {})  # every string cut out of text: its id
        free = max([len(pieces), *(index + 1 for index in self._added.values())])
        for token in self._special:
            if token not in self._added:
                index = self._processor.piece_to_id(token)  # that of unk if absent
                if pieces[index] != token:
                    index, free = free, free + 1
                self._added[token] = index
        self._tokens = pieces + [""] * (free - len(pieces))
        for token, index in self._added.items():
            self._tokens[index] = token
        self._skipped = frozenset(self._added[token] for token in self._special)
        # Longest first: where one string begins another, the longer one is meant.
        by_length = sorted(self._added, key=len, reverse=True)
        self._cut = re.compile(f"({'|'.join(map(re.escape, by_length))})")

        self.vocab_size = free
        self.special_ids = interface.SpecialIds(
            pad=self._added[pad_token],
            eos=self._added[eos_token],
            unk=self._added[unk_token],
            bos=self._added[bos_token] if bos_token else None,
            sep=self._added[sep_token] if sep_token else None,
        )
        decisive = {
            "class": type(self).__name__,
            "model": hashlib.sha256(self._model).hexdigest(),
            "sp_model_kwargs": self._options["sp_model_kwargs"],
            "normalization": self.normalization,
            "added": self._added,
            "roles": dataclasses.asdict(self.special_ids),
        }
        self.fingerprint = hashlib.sha256(
            json.dumps(decisive, sort_keys=True).encode()
        ).hexdigest()

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], **overrides: Any) -> Self:
        """Loads a directory with spiece.model, or such a file alone.

        Args:
          source: the directory, with or without tokenizer_config.json, or the file.
          **overrides: arguments of the constructor that replace what the files say.

        Raises:
          TokenizerError: a file is missing, corrupt or of another kind.
          ConfigError: as the constructor.
        """
        vocab_file, options = pretrained_files.read(source, VOCAB_FILE, ROLES)
        return cls(vocab_file, **(options | overrides))

    def __reduce__(self):
        # The model's bytes travel along, so a pickle outlives the file.
        return functools.partial(type(self), **self._options), (self._model,)

    def __len__(self) -> int:
        return self.vocab_size

    def encode(self, text: str) -> list[int]:
        """The ids of one text.

        With the published vocabulary:

        ```
        "the <pad> bug"          -> [363, 0, 5535]
        "I said “quoted” – ok"   -> [415, 632, 321, 100, 522, ...]      100 is <unk>
        ```

        Args:
          text: any string. Half a surrogate pair, which no UTF-8 text can hold, is
            read as U+FFFD, the replacement character.

        Raises:
          TokenizerError: `text` is not a string.
        """
        return self._encode([text], num_threads=1)[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`[encode(text) for text in texts]`, on all cores.

        Raises:
          TokenizerError: `texts` is a string, or holds something else than strings.
        """
        if isinstance(texts, str):
            raise errors.TokenizerError(
                f"encode_batch got one text, {texts[:40]!r}; expected a list of them. "
                "`encode` takes one."
            )
        return self._encode(texts, num_threads=-1)  # -1 is one for each core

    def _encode(self, texts: Sequence[str], num_threads: int) -> list[list[int]]:
        cuts = [self._split(text) for text in texts]
        stretches = [stretch for parts in cuts for stretch in parts[0::2]]
        encoded = iter(self._processor.encode(stretches, num_threads=num_threads))
        rows = []
        for parts in cuts:
            row = list(next(encoded))
            for token in parts[1::2]:
                row.append(self._added[token])
                row.extend(next(encoded))
            rows.append(row)
        return rows

    def _split(self, text: str) -> list[str]:
        """Text, special string, text, ..., text, of which the texts may be empty."""
        return self._cut.split(normalize(text, self.normalization))

    def tokenize(self, text: str) -> list[str]:
        """The pieces of one text; what has no piece stands for itself."""
        tokens = []
        for number, part in enumerate(self._split(text)):
            is_special = number % 2 == 1
            tokens += [part] if is_special else self._processor.encode_as_pieces(part)
        return tokens

    def decode(
        self,
        ids: Sequence[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """The text of one row of ids.

        With the published vocabulary:

        ```
        [2, 363, 5535, 1]                             -> "<s> the bug</s>"
        [2, 363, 5535, 1], skip_special_tokens=True   -> "the bug"
        ```

        Args:
          ids: int[T], a list or an array.
          skip_special_tokens: whether to drop special ids, that of `<unk>` included.
          clean_up_tokenization_spaces: the constructor's if None.

        Raises:
          TokenizerError: an id outside of the vocabulary.
        """
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens)
        text = "".join(tokens).replace("▁", " ").strip()
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self._options["clean_up_tokenization_spaces"]
        if clean_up_tokenization_spaces:
            for found in CLEAN_UP:
                text = text.replace(found, found.strip())
        return text

    def batch_decode(
        self,
        batch: Sequence[Sequence[int]],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """`[decode(ids) for ids in batch]`, also for an array int[B, T]."""
        return [
            self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces)
            for ids in batch
        ]

    def convert_ids_to_tokens(
        self, ids: int | Sequence[int], skip_special_tokens: bool = False
    ) -> str | list[str]:
        """Pieces of ids: a string for one id, a list for several.

        Raises:
          TokenizerError: an id outside of the vocabulary.
        """
        if isinstance(ids, int | np.integer):
            return self.convert_ids_to_tokens([ids])[0]
        array = np.asarray(ids)
        if array.size and (array.ndim != 1 or array.dtype.kind not in "iu"):
            raise errors.TokenizerError(
                f"Cannot decode {array.dtype} of shape {array.shape}; expected one row "
                "of integers. `batch_decode` takes several rows."
            )
        outside = array[(array < 0) | (array >= self.vocab_size)]
        if outside.size:
            raise errors.TokenizerError(
                f"Id {outside[0]} is not one of 0 to {self.vocab_size - 1}, the ids of "
                "this tokenizer. Labels filled with -100, or ids of a model with more "
                "rows than that, cannot be decoded as they are."
            )
        skipped = self._skipped if skip_special_tokens else ()
        return [self._tokens[index] for index in array.tolist() if index not in skipped]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> int | list[int]:
        """Ids of pieces: one for a string, a list for several; unk for unknown ones."""
        if isinstance(tokens, str):
            return self._added.get(tokens, self._processor.piece_to_id(tokens))
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """Every piece and special string with its id."""
        return {piece: i for i, piece in enumerate(self._pieces())} | self._added

    def _pieces(self) -> list[str]:
        size = self._processor.piece_size()
        return self._processor.id_to_piece(list(range(size)))

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        padding: bool | str = False,
        truncation: bool = False,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str = "right",
    ) -> dict[str, Any]:
        """Encodes one text or several.

        Args:
          text: one string, or B of them.
          padding: True or "longest", "max_length", False or "do_not_pad".
          truncation: whether to keep only the first `max_length` ids of a text.
          max_length: in ids; `model_max_length` if None.
          pad_to_multiple_of: round the padded length up to a multiple of this.
          padding_side: "right" or "left".

        Returns:
          input_ids and attention_mask: if padded, int32[B, S] and bool[B, S], for one
          string without B; otherwise lists.

        Raises:
          TokenizerError: as `encode`.
          ConfigError: `truncation` or padding to "max_length" without a length.
        """
        rows = self.encode_batch([text] if isinstance(text, str) else text)
        if max_length is None:
            max_length = self.model_max_length
        if truncation:
            length = _check_length(max_length, "truncation")
            rows = [row[:length] for row in rows]
        encoded = self.pad(
            {"input_ids": rows}, padding, max_length, pad_to_multiple_of, padding_side
        )
        if isinstance(text, str):
            return {name: value[0] for name, value in encoded.items()}
        return encoded

    def pad(
        self,
        encoded: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str = "right",
    ) -> dict[str, Any]:
        """Fills up rows that were encoded without padding.

        Args:
          encoded: a mapping with B rows under input_ids, or B mappings with one each.
          padding: True or "longest", "max_length", False or "do_not_pad".
          max_length: in ids, for "max_length"; longer rows are kept whole.
          pad_to_multiple_of: round the padded length up to a multiple of this.
          padding_side: "right" or "left".

        Returns:
          What calling the tokenizer on B texts returns.

        Raises:
          ConfigError: an unknown `padding`, or no length for "max_length".
        """
        if isinstance(padding, bool):
            padding = "longest" if padding else "do_not_pad"
        if padding not in PADDINGS:
            raise errors.ConfigError(
                f"padding is {padding!r}; expected True, False, or one of "
                f"{', '.join(PADDINGS)}.{nearest(padding, PADDINGS)}"
            )
        if isinstance(encoded, Mapping):
            rows = encoded["input_ids"]
        else:
            rows = [one["input_ids"] for one in encoded]
        if padding == "do_not_pad":
            mask = [[True] * len(row) for row in rows]
            return {"input_ids": rows, "attention_mask": mask}
        least_length = 0
        if padding == "max_length":
            least_length = _check_length(max_length, 'padding="max_length"')
        ids, mask = pad_rows(
            rows,
            self.special_ids.pad,
            least_length=least_length,
            multiple_of=pad_to_multiple_of or 1,
            side=padding_side,
        )
        return {"input_ids": ids, "attention_mask": mask}

    @property
    def model_max_length(self) -> int | None:
        """Where `truncation=True` cuts, in ids; None for no limit."""
        return self._options["model_max_length"]

    @model_max_length.setter
    def model_max_length(self, length: int | None) -> None:
        self._options["model_max_length"] = length

    def save_vocabulary(
        self, directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str]:
        """Writes the model byte for byte; returns its path, in a tuple of one."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = pathlib.Path(directory) / (prefix + VOCAB_FILE)
        path.write_bytes(self._model)
        return (str(path),)

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes spiece.model and tokenizer_config.json; makes the directory."""
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        self.save_vocabulary(directory)
        pretrained_files.write(
            directory, type(self).__name__, self._options, self._added, self._special
        )


def _check_length(max_length: int | None, wanted_by: str) -> int:
    if max_length is None or max_length < 1:
        raise errors.ConfigError(
            f"{wanted_by} needs a length, but max_length is {max_length} and the "
            "tokenizer's model_max_length does not help; expected max_length=N ids."
        )
    return max_length
