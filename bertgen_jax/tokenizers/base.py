"""`PretrainedTokenizer`: what tokenizers of every kind do with texts and ids."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypedDict

import numpy as np

from bertgen_jax import errors
from bertgen_jax.errors import nearest
from bertgen_jax.normalization import check_steps, normalize
from bertgen_jax.tokenizers import (
    added_tokens,
    interface,
    tokenizer_config,
    vocabulary_files,
)
from bertgen_jax.tokenizers.padding import check_length, pad_as_asked

# In the peer's order: it numbers the strings that the vocabulary lacks.
ROLES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
# What `clean_up_tokenization_spaces` strips of its spaces, in the peer's order.
CLEAN_UP = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
OWN_OPTIONS = ("normalization", "source_specials")  # unknown to Hugging Face


class Options(TypedDict, total=False):
    """Arguments of the constructor that tokenizers of every kind have.

    Attributes:
      normalization: names of `normalization.STEPS`, applied in this order; () if left
        out.
      source_specials: whether `source_prefix` and `source_suffix` are [CLS] and [SEP],
        or <s> and </s>; False if left out.
      extra_special_tokens: further strings that are one id each, and that
        `skip_special_tokens` drops.
      added_tokens: strings with ids, or flags, that the vocabulary does not know of.
      model_max_length: where `truncation=True` cuts without `max_length`, in ids.
      clean_up_tokenization_spaces: whether decoding removes the spaces before
        punctuation and English contractions; False if left out.
    """

    normalization: Sequence[str]
    source_specials: bool
    extra_special_tokens: Sequence[str]
    added_tokens: Sequence[added_tokens.AddedToken]
    model_max_length: int | None
    clean_up_tokenization_spaces: bool


DEFAULTS = Options(
    normalization=(),
    source_specials=False,
    extra_special_tokens=(),
    added_tokens=(),
    model_max_length=None,
    clean_up_tokenization_spaces=False,
)


class PretrainedTokenizer:
    """The part of an `interface.Tokenizer` that does not depend on how pieces are made.

    A kind of tokenizer derives from it and gives `from_files`, `save_pretrained`,
    `tokenize`, `_encode` and `_join`. Instances never change.

    Attributes:
      kind: one of those in `interface`.
      vocab_size: rows an embedding table needs, ids after the vocabulary included.
      special_ids: the ids with a role.
      source_prefix, source_suffix: ids that belong around a source; see `Tokenizer`.
      fingerprint: hex digest of everything that changes ids.
      normalization: names of the steps applied to a text before it is encoded.
      model_max_length: where `truncation=True` cuts, in ids; None for no limit.
      bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token: the
        special strings; None for one that there is not.
    """

    kind: str

    def __init__(
        self,
        pieces: Mapping[str, int],
        roles: Mapping[str, str | None],
        options: Mapping[str, Any],
        *,
        around_source: tuple[str | None, str],
        decisive: Mapping[str, Any],
    ):
        """Gives the special strings their ids.

        Args:
          pieces: the vocabulary.
          roles: the special string of each role that there is.
          options: the constructor's arguments, `Options` among them.
          around_source: what `source_specials` puts before and after a source.
          decisive: what changes ids, besides the special strings and `Options`; values
            that JSON can hold.

        Raises:
          TokenizerError: two strings have one id.
          ConfigError: `source_specials` where nothing could be put around a source; an
            unknown normalization step.
        """
        self.normalization = check_steps(options["normalization"])
        self.model_max_length = options["model_max_length"]
        self._options = {
            **options,
            "normalization": self.normalization,
            "extra_special_tokens": tuple(options["extra_special_tokens"]),
            "added_tokens": tuple(options["added_tokens"]),
        }
        for role in ROLES:
            setattr(self, role, roles.get(role))

        roles = {role: token for role, token in roles.items() if token}
        special = dict.fromkeys([*roles.values(), *options["extra_special_tokens"]])
        self._added = added_tokens.numbered(pieces, options["added_tokens"], special)
        self._ids = {**pieces, **{token.content: token.id for token in self._added}}
        self._tokens = {index: piece for piece, index in self._ids.items()}
        self._skipped = frozenset(token.id for token in self._added if token.special)
        self.vocab_size = 1 + max(self._tokens)
        ids = {role: self._ids[token] for role, token in roles.items()}
        eos = ids["eos_token"]
        self.special_ids = interface.SpecialIds(
            pad=ids.get("pad_token", eos),
            eos=eos,
            unk=ids.get("unk_token", eos),
            bos=ids.get("bos_token"),
            sep=ids.get("sep_token"),
            mask=ids.get("mask_token"),
        )
        self.source_prefix = self.source_suffix = ()
        if options["source_specials"]:
            first, last = around_source
            if first is None or first == last:
                raise errors.ConfigError(
                    "source_specials asks for special strings around sources, but this "
                    f"vocabulary has {last!r} alone; expected False, or strings of "
                    "your own as bos_token and eos_token."
                )
            self.source_prefix = (self._ids[first],)
            self.source_suffix = (self._ids[last],)

        everything = {
            **decisive,
            "class": type(self).__name__,
            "normalization": self.normalization,
            "added": [dataclasses.astuple(token) for token in self._added],
            "roles": dataclasses.asdict(self.special_ids),
            "source": [self.source_prefix, self.source_suffix],
        }
        text = json.dumps(everything, sort_keys=True)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], **overrides: Any) -> Self:
        """Loads a vocabulary and what was saved beside it.

        Args:
          source: a directory, or a vocabulary file alone; `vocabulary_files.LAYOUTS`
            has their names.
          **overrides: arguments of the constructor that replace what the files say.

        Raises:
          TokenizerError: a file is missing, corrupt or of another kind.
          ConfigError: as the constructor.
        """
        (files,) = vocabulary_files.find(source, (cls.kind,))
        return cls.from_files(files, **overrides)

    @classmethod
    def from_files(cls, files: vocabulary_files.Files, **overrides: Any) -> Self:
        """Loads what `vocabulary_files.find` has found; see `from_pretrained`."""
        raise NotImplementedError

    def __len__(self) -> int:
        return self.vocab_size

    def encode(self, text: str) -> list[int]:
        """The ids of one text; no special ids are added around it.

        With BERT's uncased vocabulary, GPT-2's, and that of BertGeneration:

        ```
        "the [MASK] bug"         -> [1996, 103, 11829]
        "the bug"                -> [1169, 5434]
        "the <pad> bug"          -> [363, 0, 5535]
        ```

        Args:
          text: any string. Half a surrogate pair, which no UTF-8 text can hold, is
            read as U+FFFD, the replacement character.

        Raises:
          TokenizerError: `text` is not a string.
        """
        return self._encode([normalize(text, self.normalization)])[0]

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
        return self._encode([normalize(text, self.normalization) for text in texts])

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of normalized texts, on all cores if there are several."""
        raise NotImplementedError

    def tokenize(self, text: str) -> list[str]:
        """The pieces of one text."""
        raise NotImplementedError

    def decode(
        self,
        ids: Sequence[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """The text of one row of ids.

        With the published vocabulary of BertGeneration:

        ```
        [2, 363, 5535, 1]                             -> "<s> the bug</s>"
        [2, 363, 5535, 1], skip_special_tokens=True   -> "the bug"
        ```

        Args:
          ids: int[T], a list or an array.
          skip_special_tokens: whether to drop special ids, that of unknown text
            included.
          clean_up_tokenization_spaces: whether to remove the spaces before punctuation
            and English contractions; as the constructor was told if None.

        Raises:
          TokenizerError: an id outside of the vocabulary.
        """
        text = self._join(self._check_ids(ids), skip_special_tokens)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self._options["clean_up_tokenization_spaces"]
        if clean_up_tokenization_spaces:
            for found in CLEAN_UP:
                text = text.replace(found, found.strip())
        return text

    def _join(self, ids: list[int], skip_special_tokens: bool) -> str:
        """The text of ids of the vocabulary."""
        raise NotImplementedError

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
        skipped = self._skipped if skip_special_tokens else ()
        # Added ids may begin beyond the vocabulary; what lies between has no piece.
        return [
            self._tokens.get(i, "") for i in self._check_ids(ids) if i not in skipped
        ]

    def _check_ids(self, ids: Sequence[int]) -> list[int]:
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
        return array.tolist()

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> int | list[int]:
        """Ids of pieces: one for a string, a list for several; unk for unknown ones."""
        if isinstance(tokens, str):
            return self._ids.get(tokens, self.special_ids.unk)
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """Every piece and special string with its id."""
        return dict(self._ids)

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
        """Encodes one text or several; no special ids are added around them.

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
            length = check_length(max_length, "truncation")
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
        if isinstance(encoded, Mapping):
            rows = encoded["input_ids"]
        else:
            rows = [one["input_ids"] for one in encoded]
        ids, mask = pad_as_asked(
            rows,
            self.special_ids.pad,
            padding,
            max_length=max_length,
            multiple_of=pad_to_multiple_of or 1,
            side=padding_side,
        )
        return {"input_ids": ids, "attention_mask": mask}

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes files that Hugging Face loads as they are; makes the directory."""
        raise NotImplementedError

    def _save_config(
        self,
        directory: str | os.PathLike[str],
        tokenizer_class: str,
        roles: Sequence[str],
        *,
        fields: Mapping[str, Any],
        own_fields: Mapping[str, Any],
        added: Sequence[added_tokens.AddedToken] = (),
    ) -> None:
        """Writes tokenizer_config.json; see `tokenizer_config.write`."""
        options = {role: getattr(self, role) for role in roles} | dict(fields)
        cleans_up = self._options["clean_up_tokenization_spaces"]
        options["clean_up_tokenization_spaces"] = cleans_up
        if self._options["extra_special_tokens"]:
            options["extra_special_tokens"] = list(
                self._options["extra_special_tokens"]
            )
        if self.model_max_length is not None:
            options["model_max_length"] = self.model_max_length
        own = {name: self._options[name] for name in OWN_OPTIONS} | dict(own_fields)
        tokenizer_config.write(directory, tokenizer_class, options, own, added)


def complete(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Options with those that are not given.

    Raises:
      ConfigError: there is no such option.
    """
    for name in given:
        if name not in defaults:
            raise errors.ConfigError(
                f"This tokenizer has no option {name!r}; further options are "
                f"{', '.join(defaults)}.{nearest(name, defaults)}"
            )
    return {**defaults, **given}
