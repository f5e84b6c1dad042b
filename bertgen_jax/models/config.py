"""Describes a model of any kind: an encoder-decoder, a prefix model or a single stack.

`stack_config` describes the stacks that a model is made of. Field names, defaults and
meanings are those of Hugging Face's `EncoderDecoderConfig`. Fields that Hugging Face
does not have are marked "Ours". `config_json` reads and writes their files.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any, Self

from bertgen_jax.errors import ConfigError
from bertgen_jax.models import config_json
from bertgen_jax.models.stack_config import (
    SIZE_FIELDS,
    SOURCE_ADVICE,
    TARGET_ADVICE,
    BertGenerationConfig,
)

# Path of the decoder's stack in the params of a sequence-to-sequence model.
DECODER_STACK = "decoder/bert"

# Fields that must be equal in two stacks that share all arrays, or their embeddings.
_SHARED_FIELDS = (*SIZE_FIELDS, "hidden_act", "layer_norm_eps", "pre_layer_norm")
_EMBEDDING_FIELDS = ("vocab_size", "hidden_size", "max_position_embeddings")


@dataclasses.dataclass(frozen=True)
class EncoderDecoderConfig:
    """An encoder and a decoder, their sharing, and the special ids of the pair.

    Attributes:
      encoder: bidirectional stack.
      decoder: causal stack with cross-attention.
      share_encoder_decoder: both stacks are one set of arrays (bertShare, section 3 of
        the paper). Version 4 of transformers calls it `tie_encoder_decoder`.
      share_embeddings: there are two stacks, but one embedding block (words, positions,
        and the LayerNorm if both have one) for both inputs, as in rows 1 to 4 and 8 of
        the paper's Table 1. Ours.
      decoder_start_token_id: first decoder input.
      pad_token_id: padding of target ids, by default the decoder's; source ids are
        padded with the encoder's. Masks are never derived from either.
      bos_token_id, eos_token_id: the decoder's by default.
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
        _check_start(self)
        _check_row("pad_token_id", self.pad_token_id, self.decoder, "decoder")
        _check_row("pad_token_id", self.encoder.pad_token_id, self.encoder, "encoder")
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
                f"{'; '.join(different)}. These must be equal, because the shared "
                "parameters are one set of arrays."
            )

    @property
    def architecture(self) -> str:
        """Always "encoder-decoder"."""
        return "encoder-decoder"

    @property
    def stacks(self) -> dict[str, BertGenerationConfig]:
        """The stacks of the model by side: "encoder" and "decoder"."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    @property
    def source_config(self) -> BertGenerationConfig:
        """The stack that reads source texts: the encoder."""
        return self.encoder

    @property
    def target_config(self) -> BertGenerationConfig:
        """The stack that reads target texts: the decoder."""
        return self.decoder

    def param_path(self, side: str, path: str) -> str:
        """Returns where the params of the model keep a parameter of a side's stack.

        Parameters that the sides share are kept in the decoder.

        Args:
          side: "encoder" or "decoder".
          path: the path of the parameter in its stack, such as `WORD_TABLE`.
        """
        if side == "encoder" and not self.shares(path):
            return f"encoder/{path}"
        return f"{DECODER_STACK}/{path}"

    def check_lengths(
        self,
        source: int,
        target: int,
        source_advice: str = SOURCE_ADVICE,
        target_advice: str = TARGET_ADVICE,
    ) -> None:
        """Checks that a source fits into the encoder and a target into the decoder.

        Args:
          source, target, source_advice, target_advice: see
            `BertGenerationConfig.check_lengths`.

        Raises:
          ConfigError: a stack has not enough positions.
        """
        self.encoder.check_positions(source, "the source", source_advice)
        self.decoder.check_positions(target, "the target", target_advice)

    @property
    def tie_word_embeddings(self) -> bool:
        """Whether the softmax uses the decoder's word embedding table."""
        return self.decoder.tie_word_embeddings

    def shares(self, path: str) -> bool:
        """Whether the two stacks share the parameter at `path`."""
        if self.share_encoder_decoder or not self.share_embeddings:
            return self.share_encoder_decoder
        if path.startswith("embeddings/LayerNorm/"):  # GPT-2 has none to share
            return not (self.encoder.pre_layer_norm or self.decoder.pre_layer_norm)
        return path.startswith("embeddings/")

    @property
    def start_token_id(self) -> int:
        """The first decoder input.

        Raises:
          ConfigError: `decoder_start_token_id` is not set.
        """
        return _start_token_id(self)

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
        """Reads a mapping of config.json; unknown keys are ignored.

        Raises:
          ConfigError: a stack is missing or is of another architecture, or a value is
            invalid.
        """
        stacks = {
            side: BertGenerationConfig.from_dict(stack)
            for side, stack in config_json.pair_stacks(values).items()
        }
        known = {field.name for field in dataclasses.fields(cls)} - set(stacks)
        fields = {name: values[name] for name in values if name in known}
        is_shared = bool(values.get("tie_encoder_decoder", False))
        fields.setdefault("share_encoder_decoder", is_shared)
        return cls.from_stacks(**stacks, **fields)

    def to_dict(self) -> dict[str, Any]:
        """Returns the mapping for config.json, readable by Hugging Face."""
        return {
            "model_type": config_json.ENCODER_DECODER,
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
          CheckpointError: the file is missing, or does not describe an encoder-decoder.
        """
        readers = {config_json.ENCODER_DECODER: cls.from_dict}
        return config_json.read(directory, readers)


@dataclasses.dataclass(frozen=True)
class PrefixLanguageModelConfig:
    """A decoder alone that reads source and target as one text.

    Row `gpt` of the paper's Table 1: the source conditions a language model. On disk it
    is the decoder with its start token.

    Attributes:
      decoder: causal stack without cross-attention.
      decoder_start_token_id: first token of the target, which separates it from the
        source.
    """

    decoder: BertGenerationConfig
    decoder_start_token_id: int | None = None

    def __post_init__(self):
        if not self.decoder.is_decoder or self.decoder.add_cross_attention:
            raise ConfigError(
                f"decoder.is_decoder is {self.decoder.is_decoder} and "
                f"decoder.add_cross_attention is {self.decoder.add_cross_attention}; "
                "expected a decoder without cross-attention, because there is no "
                "encoder to attend to."
            )
        _check_start(self)
        _check_row("pad_token_id", self.pad_token_id, self.decoder, "decoder")

    @property
    def architecture(self) -> str:
        """Always "decoder"."""
        return self.decoder.architecture

    @property
    def stacks(self) -> dict[str, BertGenerationConfig]:
        """The stacks of the model by side: one, "decoder"."""
        return {"decoder": self.decoder}

    @property
    def source_config(self) -> BertGenerationConfig:
        """The stack that reads source texts: the decoder."""
        return self.decoder

    @property
    def target_config(self) -> BertGenerationConfig:
        """The stack that reads target texts: the decoder."""
        return self.decoder

    def param_path(self, side: str, path: str) -> str:
        """Returns where the params keep a parameter; both sides are one stack."""
        return f"{DECODER_STACK}/{path}"

    def check_lengths(
        self,
        source: int,
        target: int,
        source_advice: str = SOURCE_ADVICE,
        target_advice: str = TARGET_ADVICE,
    ) -> None:
        """Checks that a source and a target fit into one sequence.

        Args:
          source, target, source_advice, target_advice: see
            `BertGenerationConfig.check_lengths`.

        Raises:
          ConfigError: the stack has not enough positions.
        """
        self.decoder.check_lengths(source, target, source_advice, target_advice)

    @property
    def pad_token_id(self) -> int | None:
        """The decoder's padding id."""
        return self.decoder.pad_token_id

    @property
    def bos_token_id(self) -> int | None:
        """The decoder's BOS id."""
        return self.decoder.bos_token_id

    @property
    def eos_token_id(self) -> int | tuple[int, ...] | None:
        """The ids that end a target."""
        return self.decoder.eos_token_id

    @property
    def start_token_id(self) -> int:
        """The first token of every target; see `EncoderDecoderConfig`."""
        return _start_token_id(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a mapping of config.json of a single stack.

        Raises:
          ConfigError: see `BertGenerationConfig.from_dict`; or it is not a decoder
            without cross-attention.
        """
        decoder = BertGenerationConfig.from_dict(values)
        return cls(decoder, values.get("decoder_start_token_id"))

    def to_dict(self) -> dict[str, Any]:
        """Returns the mapping for config.json; Hugging Face reads a plain decoder."""
        return {
            **self.decoder.to_dict(),
            "decoder_start_token_id": self.decoder_start_token_id,
        }

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> Self:
        """Reads `config.json` of a model directory.

        Raises:
          CheckpointError: the file is missing, or does not describe such a decoder.
        """
        readers = dict.fromkeys(config_json.STACK_TYPES, cls.from_dict)
        return config_json.read(directory, readers)


def _start_token_id(config: EncoderDecoderConfig | PrefixLanguageModelConfig) -> int:
    # Without a start id Hugging Face silently uses one that the model was not trained
    # with.
    if config.decoder_start_token_id is None:
        raise ConfigError(
            "decoder_start_token_id is not set; expected the id that every target "
            "starts with, usually the tokenizer's bos id "
            f"(here bos_token_id is {config.bos_token_id})."
        )
    return config.decoder_start_token_id


def _check_start(config: EncoderDecoderConfig | PrefixLanguageModelConfig) -> None:
    start, eos = config.decoder_start_token_id, config.eos_token_id
    _check_row("decoder_start_token_id", start, config.decoder, "decoder")
    # GPT-2 has one special id, <|endoftext|>, for everything.
    serves_all = start in (eos if isinstance(eos, tuple) else (eos,))
    if start is not None and start == config.pad_token_id and not serves_all:
        raise ConfigError(
            f"decoder_start_token_id and pad_token_id are both {start}; expected two "
            "ids: code that derives masks from ids would hide the start. The "
            "tokenizer's bos id is the usual start."
        )


def _check_row(
    name: str, value: int | None, stack: BertGenerationConfig, side: str
) -> None:
    """Checks that an id has a row; otherwise it gives NaN even where it is masked."""
    if value is not None and not 0 <= value < stack.vocab_size:
        raise ConfigError(
            f"{name} is {value}; expected one of the {stack.vocab_size} ids of the "
            f"{side} (vocab_size)."
        )


Seq2SeqConfig = EncoderDecoderConfig | PrefixLanguageModelConfig
Config = BertGenerationConfig | Seq2SeqConfig


def read_config(
    directory: str | os.PathLike[str], file: str = config_json.CONFIG
) -> Config:
    """Reads the configuration of a model directory, of any kind.

    Args:
      directory: the model directory.
      file: the name of the file in the directory.

    Raises:
      CheckpointError: there is no such file, it describes another kind of model, or
        has an invalid value.
    """
    readers: dict[str, Callable[[Mapping[str, Any]], Config]] = {
        **dict.fromkeys(config_json.STACK_TYPES, _read_one_stack),
        config_json.ENCODER_DECODER: EncoderDecoderConfig.from_dict,
    }
    return config_json.read(directory, readers, file)


def _read_one_stack(
    values: Mapping[str, Any],
) -> BertGenerationConfig | PrefixLanguageModelConfig:
    """Reads a single stack; a decoder with a start token is a prefix model."""
    stack = BertGenerationConfig.from_dict(values)
    start = values.get("decoder_start_token_id")
    if start is None or not stack.is_decoder or stack.add_cross_attention:
        return stack
    return PrefixLanguageModelConfig(stack, start)
