"""`BertGenerationTokenizer`: text in, SentencePiece ids out, the same as the peer's."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self, Unpack

from bertgen_jax import errors
from bertgen_jax.normalization import SEPARATOR, normalize
from bertgen_jax.tokenizers import interface, sentencepiece_model, tokenizer_config
from bertgen_jax.tokenizers.added_tokens import AddedToken
from bertgen_jax.tokenizers.base import DEFAULTS, Options, PretrainedTokenizer, complete
from bertgen_jax.tokenizers.vocabulary_files import Files

VOCAB_FILE = "spiece.model"
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token")


class BertGenerationTokenizer(PretrainedTokenizer):
    """SentencePiece with special strings cut out first; an `interface.Tokenizer`.

    Ids and decoded text equal those of `transformers.BertGenerationTokenizer` 5. A
    special string that the model lacks gets an id after the vocabulary.
    """

    kind = interface.SENTENCEPIECE

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | bytes,
        bos_token: str | None = "<s>",
        eos_token: str = "</s>",
        unk_token: str = "<unk>",
        pad_token: str = "<pad>",
        sep_token: str | None = SEPARATOR,
        sp_model_kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
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
          **options: see `Options`. With `source_specials`, `bos_token` and `eos_token`
            belong around a source.

        Raises:
          TokenizerError: no model can be read from `vocab_file`.
          ConfigError: an option that is unknown, or that cannot be meant; no string
            where one is needed.
        """
        options = complete(options, DEFAULTS)
        roles = {
            "bos_token": bos_token,
            "eos_token": eos_token,
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
        }
        for role in ("eos_token", "unk_token", "pad_token"):
            if not roles[role]:
                raise errors.ConfigError(
                    f"{role} is {roles[role]!r}; expected a special string."
                )
        sampling = dict(sp_model_kwargs or {})
        # The spaces around such a string vanish in any case: no flag changes that.
        options["added_tokens"] = [
            AddedToken(token.content, token.id, normalized=False)
            for token in options["added_tokens"]
        ]
        self._model, self._processor, names = sentencepiece_model.load(
            vocab_file, sampling
        )
        pieces = {piece: index for index, piece in enumerate(names)}
        super().__init__(
            pieces,
            roles,
            {**options, **roles, "sp_model_kwargs": sampling},
            around_source=(bos_token, eos_token),
            decisive={
                "model": hashlib.sha256(self._model).hexdigest(),
                "sp_model_kwargs": sampling,
            },
        )
        # The peer's class has no mask_token, but the published model has the piece.
        mask = pieces.get("[MASK]", pieces.get("<mask>"))
        self.special_ids = dataclasses.replace(self.special_ids, mask=mask)
        # Longest first: where one string begins another, the longer one is meant.
        strings = sorted(
            (token.content for token in self._added), key=len, reverse=True
        )
        self._cut = re.compile(f"({'|'.join(map(re.escape, strings))})")

    @classmethod
    def from_files(cls, files: Files, **overrides: Any) -> Self:
        """Loads what `vocabulary_files.find` has found; see `from_pretrained`."""
        options: dict[str, Any] = {}
        if files.directory is not None:
            fields = {"sp_model_kwargs": dict}
            options = tokenizer_config.read(files.directory, ROLES, fields, {})
        return cls(files.paths[0], **(options | overrides))

    def __reduce__(self):
        # The model's bytes travel along, so a pickle outlives the file.
        return functools.partial(type(self), **self._options), (self._model,)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        # Text, special string, text, ..., text, of which the texts may be empty.
        cuts = [self._cut.split(text) for text in texts]
        stretches = [stretch for parts in cuts for stretch in parts[0::2]]
        num_threads = 1 if len(texts) == 1 else -1  # -1 is one for each core
        encoded = iter(self._processor.encode(stretches, num_threads=num_threads))
        rows = []
        for parts in cuts:
            row = list(next(encoded))
            for token in parts[1::2]:
                row.append(self._ids[token])
                row.extend(next(encoded))
            rows.append(row)
        return rows

    def tokenize(self, text: str) -> list[str]:
        """The pieces of one text; what has no piece stands for itself."""
        tokens = []
        for number, part in enumerate(
            self._cut.split(normalize(text, self.normalization))
        ):
            is_special = number % 2 == 1
            tokens += [part] if is_special else self._processor.encode_as_pieces(part)
        return tokens

    def _join(self, ids: list[int], skip_special_tokens: bool) -> str:
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens)
        return "".join(tokens).replace("▁", " ").strip()

    def save_vocabulary(
        self, directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str]:
        """Writes the model byte for byte; returns its path, in a tuple of one."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = pathlib.Path(directory) / (prefix + VOCAB_FILE)
        path.write_bytes(self._model)
        return (str(path),)

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Writes spiece.model and tokenizer_config.json; makes the directory.

        Hugging Face's AutoTokenizer gives the same ids, but never puts any around a
        text: it does not know of `source_specials`, nor of `normalization`.
        """
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        self.save_vocabulary(directory)
        self._save_config(
            directory,
            type(self).__name__,
            ROLES,
            fields={"sp_model_kwargs": self._options["sp_model_kwargs"]},
            own_fields={},
            added=self._added,
        )
