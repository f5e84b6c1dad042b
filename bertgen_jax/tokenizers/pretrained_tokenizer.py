"""`PretrainedTokenizer`: what tokenizers of every kind do with texts and ids."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypedDict

import numpy as np

from bertgen_jax.errors import ConfigError, TokenizerError, nearest
from bertgen_jax.files.paths import StrPath
from bertgen_jax.normalization import check_steps, normalize
from bertgen_jax.tokenizers import added_tokens, tokenizer_config
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.interface import SpecialIds
from bertgen_jax.tokenizers.padding import check_length, pad_as_requested

# In Hugging Face's order, by which it numbers the strings that the vocabulary lacks.
ROLES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
# `clean_up_tokenization_spaces` strips these, in Hugging Face's order.
CLEAN_UP = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
OWN_OPTIONS = ("normalization", "source_specials")  # unknown to Hugging Face


class Options(TypedDict, total=False):
    """Arguments of the constructors that tokenizers of every kind have.

    Attributes:
      normalization: names of `normalization.STEPS`, applied in this order; () by
        default.
      source_specials: whether `source_prefix` and `source_suffix` are [CLS] and [SEP],
        or <s> and </s>; False by default.
      extra_special_tokens: further strings that are one id each, and that
        `skip_special_tokens` drops.
      added_tokens: strings whose ids, or flags, are not in the vocabulary.
      model_max_length: the length in ids to which `truncation=True` cuts a text if no
        `max_length` is given.
      clean_up_tokenization_spaces: whether decoding removes the spaces before
        punctuation and English contractions; False by default.
    """

    normalization: Sequence[str]
    source_specials: bool
    extra_special_tokens: Sequence[str]
    added_tokens: Sequence[AddedToken]
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


class Engine(Protocol):
    """Splits normalized texts into pieces, and joins pieces to texts.

    `tokenizers_library.LibraryEngine` and `sentencepiece.SentencePieceEngine` are the
    two engines.
    """

    def add_tokens(self, tokens: Mapping[int, AddedToken]) -> None:
        """Registers, once, the strings that are cut out of texts, by id."""
        ...

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Returns the ids of each text, computed on all cores."""
        ...

    def tokenize(self, text: str) -> list[str]:
        """Returns the pieces of a text."""
        ...

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        """Returns the text of ids, all of which are in the vocabulary."""
        ...


class PretrainedTokenizer:
    """A tokenizer with the methods of Hugging Face's; an `interface.Tokenizer`.

    How text is split is the task of an `Engine`. `BertGenerationTokenizer`,
    `WordPieceTokenizer` and `ByteLevelBPETokenizer` derive from this class, as in
    Hugging Face's library; they add constructors and the reading and writing of files.
    Instances never change.

    Attributes:
      kind: see `interface.Tokenizer`.
      vocab_size: the rows that an embedding table needs, ids after the vocabulary
        included.
      special_ids: the ids with a role.
      source_prefix, source_suffix: ids around a source; see `interface.Tokenizer`.
      fingerprint: hex digest of everything that changes ids.
      normalization: names of the steps applied to a text before it is encoded.
      model_max_length: the length in ids to which `truncation=True` cuts; None for no
        limit.
      added_tokens_decoder: the strings that are cut out of texts, by id.
      bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token: the
        special strings; None if there is none for this role.
    """

    kind: str
    bos_token: str | None
    eos_token: str | None
    unk_token: str | None
    sep_token: str | None
    pad_token: str | None
    cls_token: str | None
    mask_token: str | None

    def __init__(
        self,
        engine: Engine,
        vocabulary: tuple[Any, ...],
        pieces: Mapping[str, int],
        roles: Mapping[str, str | None],
        options: Mapping[str, Any],
        *,
        around_source: tuple[str | None, str | None],
        decisive: Mapping[str, Any],
    ):
        """Numbers the special strings and computes the fingerprint.

        Args:
          engine: splits texts; without special strings so far.
          vocabulary: the positional arguments of the constructor by value, so that a
            pickle does not need the files.
          pieces: the rows of the pieces.
          roles: the special string of each role.
          options: the other arguments of the constructor, `Options` among them.
          around_source: the strings that `source_specials` puts before and after a
            source.
          decisive: JSON values that change ids, besides the special strings and
            `Options`.

        Raises:
          TokenizerError: two strings have one id.
          ConfigError: `source_specials` for a vocabulary without two such strings; an
            unknown normalization step.
        """
        self.normalization = check_steps(options["normalization"])
        self.model_max_length = options["model_max_length"]
        self._engine = engine
        self._vocabulary = vocabulary
        self._options = {
            **options,
            "normalization": self.normalization,
            "extra_special_tokens": tuple(options["extra_special_tokens"]),
            "added_tokens": tuple(options["added_tokens"]),
        }
        for role in ROLES:
            setattr(self, role, roles.get(role))

        tokens = {role: token for role, token in roles.items() if token}
        special = dict.fromkeys([*tokens.values(), *options["extra_special_tokens"]])
        added = added_tokens.numbered(pieces, options["added_tokens"], special)
        engine.add_tokens(added)
        self.added_tokens_decoder = added
        self._ids = {**pieces, **{token.content: i for i, token in added.items()}}
        self._tokens = {index: piece for piece, index in self._ids.items()}
        self._special = frozenset(i for i, token in added.items() if token.special)
        self.vocab_size = 1 + max(self._tokens)
        ids = {role: self._ids[token] for role, token in tokens.items()}
        eos = ids["eos_token"]
        self.special_ids = SpecialIds(
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
            if first is None or last is None or first == last:
                raise ConfigError(
                    "source_specials puts special strings around sources, but this "
                    f"vocabulary has only {last!r}; expected False, or strings of "
                    "your own as bos_token and eos_token."
                )
            self.source_prefix = (self._ids[first],)
            self.source_suffix = (self._ids[last],)

        everything = {
            **decisive,
            "class": type(self).__name__,
            "normalization": self.normalization,
            "added": [dataclasses.astuple(token) for token in added.values()],
            "roles": dataclasses.asdict(self.special_ids),
            "source": [self.source_prefix, self.source_suffix],
        }
        text = json.dumps(everything, sort_keys=True)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    def __reduce__(self):
        return functools.partial(type(self), **self._options), self._vocabulary

    def __len__(self) -> int:
        return self.vocab_size

    def encode(self, text: str) -> list[int]:
        """Returns the ids of one text, without special ids around them.

        With the vocabularies of BERT (uncased), GPT-2 and BertGeneration:

        ```
        "the [MASK] bug"         -> [1996, 103, 11829]
        "the bug"                -> [1169, 5434]
        "the <pad> bug"          -> [363, 0, 5535]
        ```

        Args:
          text: any string. Half a surrogate pair, which is not valid in UTF-8, is read
            as U+FFFD, the replacement character.

        Raises:
          TokenizerError: `text` is not a string.
        """
        return self._engine.encode([normalize(text, self.normalization)])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns `[encode(text) for text in texts]`, computed on all cores.

        Raises:
          TokenizerError: `texts` is a string, or contains something else than strings.
        """
        if isinstance(texts, str):
            raise TokenizerError(
                f"encode_batch got one text, {texts[:40]!r}; expected a list of them. "
                "`encode` takes one."
            )
        return self._engine.encode(
            [normalize(text, self.normalization) for text in texts]
        )

    def tokenize(self, text: str) -> list[str]:
        """Returns the pieces of one text.

        In a SentencePiece vocabulary, text without a piece stands for itself.
        """
        return self._engine.tokenize(normalize(text, self.normalization))

    def decode(
        self,
        ids: Sequence[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str:
        """Returns the text of one row of ids.

        With the published vocabulary of BertGeneration:

        ```
        [2, 363, 5535, 1]                             -> "<s> the bug</s>"
        [2, 363, 5535, 1], skip_special_tokens=True   -> "the bug"
        ```

        Args:
          ids: int[T], a list or an array.
          skip_special_tokens: whether to drop special ids, including that of unknown
            text.
          clean_up_tokenization_spaces: whether to remove the spaces before punctuation
            and English contractions; None for the constructor's setting.

        Raises:
          TokenizerError: an id is outside of the vocabulary.
        """
        text = self._engine.decode(self._check_ids(ids), skip_special_tokens)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self._options["clean_up_tokenization_spaces"]
        if clean_up_tokenization_spaces:
            for spaced in CLEAN_UP:
                text = text.replace(spaced, spaced.strip())
        return text

    def batch_decode(
        self,
        batch: Sequence[Sequence[int]],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """Returns `[decode(ids) for ids in batch]`, also for an array int[B, T]."""
        return [
            self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces)
            for ids in batch
        ]

    def convert_ids_to_tokens(
        self, ids: int | Sequence[int], skip_special_tokens: bool = False
    ) -> str | list[str]:
        """Returns the pieces of ids: a string for one id, a list for several.

        Raises:
          TokenizerError: an id is outside of the vocabulary.
        """
        if isinstance(ids, int | np.integer):
            return self._tokens.get(self._check_ids([int(ids)])[0], "")
        skipped = self._special if skip_special_tokens else ()
        # Added ids may leave a gap after the vocabulary; ids in the gap have no piece.
        return [
            self._tokens.get(i, "") for i in self._check_ids(ids) if i not in skipped
        ]

    def _check_ids(self, ids: Sequence[int]) -> list[int]:
        array = np.asarray(ids)
        if array.size and (array.ndim != 1 or array.dtype.kind not in "iu"):
            raise TokenizerError(
                f"Cannot decode {array.dtype} of shape {array.shape}; expected one row "
                "of integers. `batch_decode` takes several rows."
            )
        outside = array[(array < 0) | (array >= self.vocab_size)]
        if outside.size:
            raise TokenizerError(
                f"Id {outside[0]} is not one of 0 to {self.vocab_size - 1}, the ids of "
                "this tokenizer. Labels filled with -100, and ids of a model with more "
                "rows, cannot be decoded unchanged."
            )
        return array.tolist()

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> int | list[int]:
        """Returns the ids of pieces: one id for a string, a list for several pieces.

        An unknown piece has the id of unknown text.
        """
        unknown = self.special_ids.unk
        if isinstance(tokens, str):
            return self._ids.get(tokens, unknown)
        return [self._ids.get(token, unknown) for token in tokens]

    def get_vocab(self) -> dict[str, int]:
        """Returns every piece and special string with its id."""
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
        """Encodes one text or several, without special ids around them.

        Args:
          text: one string, or B of them.
          padding: True or "longest", "max_length", False or "do_not_pad".
          truncation: whether to keep only the first `max_length` ids of a text.
          max_length: in ids; `model_max_length` if None.
          pad_to_multiple_of: round the padded length up to a multiple of this.
          padding_side: "right" or "left".

        Returns:
          input_ids and attention_mask. With padding: int32[B, S] and bool[B, S], and
          without the axis B for one string. Without padding: lists.

        Raises:
          TokenizerError: see `encode`.
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
        """Pads rows that were encoded without padding.

        Args:
          encoded: a mapping with B rows under input_ids, or B mappings with one each.
          padding: True or "longest", "max_length", False or "do_not_pad".
          max_length: in ids, for "max_length"; longer rows are not cut.
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
            rows = [mapping["input_ids"] for mapping in encoded]
        ids, mask = pad_as_requested(
            rows,
            self.special_ids.pad,
            padding,
            max_length=max_length,
            multiple_of=pad_to_multiple_of or 1,
            side=padding_side,
        )
        return {"input_ids": ids, "attention_mask": mask}

    def _write_config(
        self,
        directory: StrPath,
        tokenizer_class: str,
        roles: Sequence[str],
        *,
        fields: Mapping[str, Any],
        own_fields: Mapping[str, Any],
        added: Sequence[AddedToken] = (),
    ) -> None:
        """Writes tokenizer_config.json; see `tokenizer_config.write`.

        Args:
          directory: where to write it.
          tokenizer_class: the name of Hugging Face's class.
          roles: the special strings to write.
          fields: further arguments that Hugging Face knows.
          own_fields: further arguments that it does not know.
          added: the strings that are cut out of texts, if no other file lists them.
        """
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


def complete_options(
    options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns options in which those left out have their defaults.

    Raises:
      ConfigError: there is no such option.
    """
    for name in options:
        if name not in defaults:
            raise ConfigError(
                f"This tokenizer has no option {name!r}; expected one of "
                f"{', '.join(defaults)}.{nearest(name, defaults)}"
            )
    return {**defaults, **options}
