"""What a stack or a pair of stacks is made of: config.json in, frozen dataclass out.

Field names, defaults and meanings are those of Hugging Face's `BertGenerationConfig`
and `EncoderDecoderConfig`, so their files are read and written as they are. What is
ours is marked so below.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Self

from bertgen_jax.errors import CheckpointError, ConfigError
from bertgen_jax.models.activations import ACTIVATIONS
from bertgen_jax.suggest import nearest

MODEL_TYPE = "bert-generation"
COMPOSITE_MODEL_TYPE = "encoder-decoder"


@dataclasses.dataclass(frozen=True)
class BertGenerationConfig:
    """One Transformer stack of the paper (section 2): an encoder or a decoder.

    Attributes:
      vocab_size: rows of the word embedding table, V.
      hidden_size: width D; a multiple of `num_attention_heads`.
      num_hidden_layers: layers L.
      num_attention_heads: heads H, each `hidden_size / num_attention_heads` wide.
      intermediate_size: width F between the two feed-forward projections.
      hidden_act: feed-forward non-linearity, a name in `activations.ACTIVATIONS`.
        "gelu" is the exact erf form, "gelu_new" the tanh form of Google's code.
      hidden_dropout_prob: dropout after the embedding LayerNorm and after the output
        projections of attention and feed-forward.
      attention_probs_dropout_prob: dropout of the attention weights.
      max_position_embeddings: longest sequence, in tokens.
      initializer_range: standard deviation of new weights (truncated normal).
      layer_norm_eps: 1e-12 in BERT, 1e-5 in RoBERTa.
      pad_token_id, bos_token_id, eos_token_id: special ids; several ids may end a text.
      is_decoder: causal self-attention.
      add_cross_attention: layers attend to encoder states; needs `is_decoder`.
      tie_word_embeddings: the softmax uses the word embedding table.
      lm_head_bias: the softmax has a bias. Ours: the peer always has one, the models of
        the paper have none (their parameter counts say so).
    """

    vocab_size: int = 50358
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | tuple[int, ...] | None = 1
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True
    lm_head_bias: bool = True

    def __post_init__(self):
        if isinstance(self.eos_token_id, list):  # as JSON has it; a tuple hashes
            object.__setattr__(self, "eos_token_id", tuple(self.eos_token_id))
        for name in SIZE_FIELDS:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} is {value!r}; expected a positive integer.")
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size is {self.hidden_size}, which {self.num_attention_heads} "
                "attention heads do not divide; expected a multiple."
            )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise ConfigError(
                    f"{name} is {value!r}; expected a probability in [0, 1)."
                )
        for name in ("initializer_range", "layer_norm_eps"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or value <= 0:
                raise ConfigError(f"{name} is {value!r}; expected a positive number.")
        if self.hidden_act not in ACTIVATIONS:
            raise ConfigError(
                f"hidden_act is {self.hidden_act!r}; expected one of "
                f"{', '.join(ACTIVATIONS)}.{nearest(self.hidden_act, ACTIVATIONS)}"
            )
        if self.add_cross_attention and not self.is_decoder:
            raise ConfigError(
                "add_cross_attention is set on a stack that is no decoder; expected "
                "is_decoder=True as well, as an encoder has nothing to attend to."
            )

    @property
    def head_dim(self) -> int:
        """Width K of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a config.json mapping; keys it does not know are ignored.

        Raises:
          ConfigError: a value that cannot be meant, or relative positions, which
            version 4 of the peer had.
        """
        positions = values.get("position_embedding_type", "absolute")
        if positions != "absolute":
            raise ConfigError(
                f"position_embedding_type is {positions!r}; expected 'absolute', the "
                "only kind that BertGeneration has since version 5 of transformers."
            )
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: values[name] for name in values if name in known})

    def to_dict(self) -> dict[str, Any]:
        """The mapping that config.json holds, readable by Hugging Face."""
        return {"model_type": MODEL_TYPE, **dataclasses.asdict(self)}

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> Self:
        """Reads `config.json` of a model directory.

        Raises:
          CheckpointError: see `read_config`; or it is an encoder-decoder's.
        """
        return _of_kind(cls, read_config(directory), directory)


SIZE_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)

# What must agree for two stacks to be one set of arrays.
_SHARED_FIELDS = (*SIZE_FIELDS, "hidden_act", "layer_norm_eps")
_EMBEDDING_FIELDS = ("vocab_size", "hidden_size", "max_position_embeddings")


@dataclasses.dataclass(frozen=True)
class EncoderDecoderConfig:
    """Two stacks, what they share, and the special ids of the pair.

    Attributes:
      encoder: bidirectional stack.
      decoder: causal stack with cross-attention.
      share_encoder_decoder: both stacks are one set of arrays (bertShare, section 3 of
        the paper). Version 4 of the peer calls it `tie_encoder_decoder`.
      share_embeddings: two stacks, but one embedding block (words, positions,
        LayerNorm) for both inputs, as in rows 1 to 4 of the paper's Table 1. Ours.
      decoder_start_token_id: first decoder input.
      pad_token_id: filler of ids; masks never derive from it. By default the decoder's.
      bos_token_id, eos_token_id: likewise the decoder's by default.
    """

    encoder: BertGenerationConfig
    decoder: BertGenerationConfig
    share_encoder_decoder: bool = False
    share_embeddings: bool = False
    decoder_start_token_id: int | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None

    def __post_init__(self):
        if isinstance(self.eos_token_id, list):
            object.__setattr__(self, "eos_token_id", tuple(self.eos_token_id))
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(self.decoder, name))
        if self.encoder.is_decoder:
            raise ConfigError(
                "encoder.is_decoder is True; expected a bidirectional stack."
            )
        if not (self.decoder.is_decoder and self.decoder.add_cross_attention):
            raise ConfigError(
                f"decoder.is_decoder is {self.decoder.is_decoder} and "
                f"decoder.add_cross_attention is {self.decoder.add_cross_attention}; "
                "an encoder-decoder needs both. EncoderDecoderConfig.from_stacks sets "
                "them."
            )
        start, pad = self.decoder_start_token_id, self.pad_token_id
        if start is not None and start == pad:
            raise ConfigError(
                f"decoder_start_token_id and pad_token_id are both {pad}; expected two "
                "ids: code that derives masks from ids would hide the start. The "
                "tokenizer's bos id is the usual start."
            )
        # An id without a row gives NaN where it is looked up, even if it is masked.
        for name, stack in (
            ("decoder_start_token_id", "decoder"),
            ("pad_token_id", "decoder"),
            ("pad_token_id", "encoder"),
        ):
            value, rows = getattr(self, name), getattr(self, stack).vocab_size
            if value is not None and not 0 <= value < rows:
                raise ConfigError(
                    f"{name} is {value}; expected one of the {rows} ids of the {stack} "
                    "(vocab_size)."
                )
        self._check_sharing("share_encoder_decoder", _SHARED_FIELDS)
        self._check_sharing("share_embeddings", _EMBEDDING_FIELDS)

    def _check_sharing(self, flag: str, fields: tuple[str, ...]) -> None:
        if not getattr(self, flag):
            return
        different = [
            f"{name} {getattr(self.encoder, name)} and {getattr(self.decoder, name)}"
            for name in fields
            if getattr(self.encoder, name) != getattr(self.decoder, name)
        ]
        if different:
            raise ConfigError(
                f"{flag} is set, but encoder and decoder differ: "
                f"{'; '.join(different)}. What is shared is one set of arrays, so "
                "these must be equal."
            )

    @property
    def tie_word_embeddings(self) -> bool:
        """Whether the softmax uses the decoder's word embedding table."""
        return self.decoder.tie_word_embeddings

    @property
    def start_token_id(self) -> int:
        """The first decoder input.

        Raises:
          ConfigError: `decoder_start_token_id` is not set. The peer would go on in
            silence with another id than the one trained with.
        """
        if self.decoder_start_token_id is None:
            raise ConfigError(
                "decoder_start_token_id is not set; expected the id that every target "
                "starts with, usually the tokenizer's bos id "
                f"(here bos_token_id is {self.bos_token_id})."
            )
        return self.decoder_start_token_id

    @classmethod
    def from_stacks(
        cls, encoder: BertGenerationConfig, decoder: BertGenerationConfig, **fields: Any
    ) -> Self:
        """Pairs two stacks, setting the flags that make the first an encoder."""
        return cls(
            encoder=dataclasses.replace(
                encoder, is_decoder=False, add_cross_attention=False
            ),
            decoder=dataclasses.replace(
                decoder, is_decoder=True, add_cross_attention=True
            ),
            **fields,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a config.json mapping; keys it does not know are ignored.

        Raises:
          ConfigError: a stack is missing or is of another architecture, or a value
            cannot be meant.
        """
        stacks = {}
        for side in ("encoder", "decoder"):
            if side not in values:
                raise ConfigError(
                    f"no {side!r} in an encoder-decoder config; found "
                    f"{', '.join(values) or 'nothing'}."
                )
            kind = values[side].get("model_type", MODEL_TYPE)
            if kind != MODEL_TYPE:
                raise ConfigError(
                    f"the {side} is a {kind!r} model; expected {MODEL_TYPE!r}."
                )
            stacks[side] = BertGenerationConfig.from_dict(values[side])
        known = {field.name for field in dataclasses.fields(cls)} - set(stacks)
        fields = {name: values[name] for name in values if name in known}
        shared = values.get("tie_encoder_decoder", False)
        fields.setdefault("share_encoder_decoder", bool(shared))
        return cls.from_stacks(**stacks, **fields)

    def to_dict(self) -> dict[str, Any]:
        """The mapping that config.json holds, readable by Hugging Face."""
        return {
            "model_type": COMPOSITE_MODEL_TYPE,
            "is_encoder_decoder": True,
            "tie_encoder_decoder": self.share_encoder_decoder,
            **dataclasses.asdict(self),
            "encoder": self.encoder.to_dict(),
            "decoder": self.decoder.to_dict(),
        }

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> Self:
        """Reads `config.json` of a model directory.

        Raises:
          CheckpointError: see `read_config`; or it is a single stack's.
        """
        return _of_kind(cls, read_config(directory), directory)


_KINDS = {MODEL_TYPE: BertGenerationConfig, COMPOSITE_MODEL_TYPE: EncoderDecoderConfig}


def read_config(
    directory: str | os.PathLike[str],
) -> BertGenerationConfig | EncoderDecoderConfig:
    """Reads `config.json` of a model directory, of either kind.

    Raises:
      CheckpointError: there is no such file, it describes another kind of model, or a
        value in it cannot be meant.
    """
    path = pathlib.Path(directory) / "config.json"
    values = read_json(path)
    found = values.get("model_type")
    if found not in _KINDS:
        raise CheckpointError(
            f"{path}: model_type is {found!r}; expected "
            f"{' or '.join(map(repr, _KINDS))}."
        )
    try:
        return _KINDS[found].from_dict(values)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _of_kind(kind: type, config: Any, directory: str | os.PathLike[str]) -> Any:
    if not isinstance(config, kind):
        raise CheckpointError(
            f"{directory}: config.json is that of {type(config).__name__}; expected "
            f"{kind.__name__}. bertgen_jax.from_pretrained finds the right class."
        )
    return config


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON file of a model directory.

    Raises:
      CheckpointError: the file is missing or holds no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}. Expected a model directory with a "
            f"{path.name}."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}).") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object.")
    return values
