"""`FastTokenizer`: what runs through the `tokenizers` library, text in, ids out."""

import functools
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

import tokenizers

from bertgen_jax import errors
from bertgen_jax.normalization import normalize
from bertgen_jax.tokenizers import tokenizer_config, vocabulary_files
from bertgen_jax.tokenizers.base import DEFAULTS, ROLES, Options, PretrainedTokenizer
from bertgen_jax.tokenizers.vocabulary_files import Files

# The class that reads tokenizer.json as it is. BertTokenizer and its like would make
# another pipeline of the vocabulary, one that puts special ids around every text.
PEER_CLASS = "PreTrainedTokenizerFast"
PEER_INPUTS = ["input_ids", "attention_mask"]  # the models know no segments


class FastOptions(Options, total=False):
    """`Options`, and the special strings.

    Attributes:
      bos_token, eos_token: begin and end a target.
      unk_token: stands for what the vocabulary cannot spell.
      sep_token, cls_token: end and begin a text where `source_specials` asks for it.
      pad_token: fills up short rows.
      mask_token: stood for what BERT and RoBERTa had to guess.

    A string that the vocabulary lacks gets an id after it. One that is left out, or
    None, is the usual one of the kind if the vocabulary has that.
    """

    bos_token: str | None
    eos_token: str | None
    unk_token: str | None
    sep_token: str | None
    pad_token: str | None
    cls_token: str | None
    mask_token: str | None


LIBRARY_DEFAULTS = FastOptions(**DEFAULTS, **dict.fromkeys(ROLES))


class FastTokenizer(PretrainedTokenizer):
    """What WordPiece and byte-level BPE share.

    The library sees only what was checked here: its own complaints about a file range
    from plain `Exception` to a panic, which no `except Exception` catches.
    """

    def __init__(
        self,
        pipeline: tokenizers.Tokenizer,
        vocabulary: tuple[Any, ...],
        roles: Mapping[str, str | None],
        options: Mapping[str, Any],
        *,
        decisive: Mapping[str, Any],
    ):
        """Puts the special strings into the library's tokenizer.

        Args:
          pipeline: the library's tokenizer, without special strings.
          vocabulary: the constructor's positional arguments by value, the pieces first,
            so that a pickle outlives the files.
          roles, options: see `PretrainedTokenizer`.
          decisive: what changes ids besides the vocabulary; see `PretrainedTokenizer`.

        Raises:
          TokenizerError: an added string has an id that leaves a gap.
          ConfigError: see `PretrainedTokenizer`.
        """
        first = roles["cls_token"] or roles["bos_token"]
        last = roles["sep_token"] or roles["eos_token"]
        pieces, *others = vocabulary
        by_row = sorted(pieces, key=pieces.__getitem__)
        text = json.dumps([by_row, others], ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()
        super().__init__(
            pieces,
            roles,
            options,
            around_source=(first, last),
            decisive={**decisive, "vocabulary": digest},
        )
        self._pipeline, self._vocabulary = pipeline, vocabulary
        pipeline.add_tokens(
            [
                tokenizers.AddedToken(
                    token.content,
                    special=token.special,
                    lstrip=token.lstrip,
                    rstrip=token.rstrip,
                    single_word=token.single_word,
                    normalized=token.normalized,
                )
                for token in self._added
            ]
        )
        for token in self._added:
            free = pipeline.token_to_id(token.content)
            if free != token.id:
                raise errors.TokenizerError(
                    f"The added string {token.content!r} has the id {token.id}; the "
                    f"vocabulary has {len(pieces):,} pieces, and added strings follow "
                    f"without a gap, so expected {free}."
                )

    def __reduce__(self):
        return functools.partial(type(self), **self._options), self._vocabulary

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if len(texts) == 1:  # in this thread: processes may be forked afterwards
            return [self._pipeline.encode(texts[0], add_special_tokens=False).ids]
        rows = self._pipeline.encode_batch_fast(texts, add_special_tokens=False)
        return [row.ids for row in rows]

    def tokenize(self, text: str) -> list[str]:
        """The pieces of one text."""
        text = normalize(text, self.normalization)
        return self._pipeline.encode(text, add_special_tokens=False).tokens

    def _join(self, ids: list[int], skip_special_tokens: bool) -> str:
        return self._pipeline.decode(ids, skip_special_tokens=skip_special_tokens)

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes tokenizer.json and tokenizer_config.json; makes the directory.

        Hugging Face's AutoTokenizer gives the same ids, and by default puts the source
        prefix and suffix around a text.
        """
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        value = json.loads(self._pipeline.to_str())
        value["post_processor"] = self._post_processor()
        text = json.dumps(value, indent=2, ensure_ascii=False)
        file = directory / vocabulary_files.TOKENIZER_JSON
        file.write_text(text + "\n", encoding="utf-8")
        self._save_config(
            directory,
            PEER_CLASS,
            ROLES,
            fields={"model_input_names": PEER_INPUTS},
            own_fields=self._own_fields(),
        )

    def _own_fields(self) -> dict[str, Any]:
        """What a kind of tokenizer keeps under our own key."""
        return {}

    def _post_processor(self) -> dict[str, Any] | None:
        """What the library puts around texts, in the words of tokenizer.json."""
        around = [(i, self._tokens[i]) for i in self.source_prefix + self.source_suffix]
        if not around:
            return None
        ends = [{"SpecialToken": {"id": token, "type_id": 0}} for _, token in around]
        texts = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
        return {
            "type": "TemplateProcessing",
            "single": [ends[0], texts[0], ends[1]],
            "pair": [ends[0], texts[0], ends[1], texts[1], ends[1]],
            "special_tokens": {
                token: {"id": token, "ids": [i], "tokens": [token]}
                for i, token in around
            },
        }


def usual_roles(
    given: Mapping[str, Any], usual: Mapping[str, str], known: Container[str]
) -> dict[str, str | None]:
    """The special string of each role: the given one, else the usual one if known."""
    return {
        role: given[role] or (usual.get(role) if usual.get(role) in known else None)
        for role in ROLES
    }


def saved_options(
    files: Files, fields: Mapping[str, Any], own_fields: Mapping[str, Any]
) -> dict[str, Any]:
    """What stands beside a vocabulary; see `tokenizer_config.read`."""
    added = files.parsed.added if files.parsed else ()
    if files.directory is None:
        return {"added_tokens": added}
    return tokenizer_config.read(files.directory, ROLES, fields, own_fields, added)


def looks_special(piece: str) -> bool:
    """Whether it is spelled as special strings are: [unused1], <s>, madeupword0000."""
    return re.fullmatch(r"\[.+\]|<.+>|madeupword\d+", piece) is not None
