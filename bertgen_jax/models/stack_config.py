"""Describes one stack: an encoder or a decoder.

Field names, defaults and meanings are those of Hugging Face's `BertGenerationConfig`.
Fields that Hugging Face does not have are marked "Ours". `config_json` reads and writes
the files.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Self

from bertgen_jax.errors import ConfigError, check_choice
from bertgen_jax.models import config_json
from bertgen_jax.models.activations import ACTIVATIONS

# Paths of parameters in a stack. A tied softmax uses the word table as well.
WORD_TABLE = "embeddings/word_embeddings/embedding"  # f32[V, D]
POSITION_TABLE = "embeddings/position_embeddings/embedding"  # f32[P, D]

SIZE_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)

# Default advice about texts that are too long; callers may give better advice.
SOURCE_ADVICE = "Truncate the source when tokenizing."
TARGET_ADVICE = "Lower max_new_tokens."


@dataclasses.dataclass(frozen=True)
class BertGenerationConfig:
    """One Transformer stack of the paper (section 2): an encoder or a decoder.

    Attributes:
      vocab_size: rows of the word embedding table, V.
      hidden_size: width D; a multiple of `num_attention_heads`.
      num_hidden_layers: layers L.
      num_attention_heads: heads H, each `hidden_size / num_attention_heads` wide.
      intermediate_size: width F between the two feed-forward projections.
      hidden_act: feed-forward non-linearity, a name in `ACTIVATIONS`.
        "gelu" is the exact erf form, "gelu_new" the tanh form of Google's code.
      hidden_dropout_prob: dropout after the embedding LayerNorm and after the output
        projections of attention and feed-forward.
      attention_probs_dropout_prob: dropout of the attention weights.
      max_position_embeddings: longest sequence, in tokens.
      initializer_range: standard deviation of new weights (truncated normal).
      layer_norm_eps: 1e-12 in BERT, 1e-5 in RoBERTa and GPT-2.
      pad_token_id, bos_token_id, eos_token_id: special ids; several ids may end a text.
      is_decoder: causal self-attention.
      add_cross_attention: layers attend to encoder states; needs `is_decoder`.
      tie_word_embeddings: the softmax uses the word embedding table.
      lm_head_bias: the softmax has a bias. Ours: Hugging Face always has one, the
        models of the paper have none, as their parameter counts show.
      lm_head_transform: the softmax reads LayerNorm(act(h W + b)) in place of the
        states h, as in masked language models, and therefore in the decoders that
        Hugging Face makes of BERT and RoBERTa. Ours: the models of the paper have
        none. Has no effect in an encoder.
      pre_layer_norm: GPT-2's block (section 2): each sublayer normalises its input, and
        the stack its output; the embeddings are not normalised. Ours.
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
    lm_head_transform: bool = False
    pre_layer_norm: bool = False

    def __post_init__(self):
        if isinstance(self.eos_token_id, list):  # a list of JSON; a tuple has a hash
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
        check_choice("hidden_act", self.hidden_act, ACTIVATIONS)
        if self.add_cross_attention and not self.is_decoder:
            raise ConfigError(
                "add_cross_attention is set on a stack that is not a decoder; expected "
                "is_decoder=True as well, because an encoder has no other text to "
                "attend to."
            )

    @property
    def head_dim(self) -> int:
        """Width K of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def architecture(self) -> str:
        """Either "encoder" or "decoder"."""
        return "decoder" if self.is_decoder else "encoder"

    @property
    def stacks(self) -> dict[str, "BertGenerationConfig"]:
        """The stacks of the model by side: here one, under "encoder" or "decoder"."""
        return {self.architecture: self}

    @property
    def source_config(self) -> "BertGenerationConfig":
        """The stack that reads source texts: here the only one."""
        return self

    @property
    def target_config(self) -> "BertGenerationConfig":
        """The stack that reads target texts: here the only one."""
        return self

    @property
    def start_token_id(self) -> None:
        """A single stack has no start token: a decoder alone continues its input."""
        return None

    def param_path(self, side: str, path: str) -> str:
        """Returns where the params of the model keep a parameter of a side's stack.

        Args:
          side: "encoder" or "decoder"; a single stack serves as either.
          path: the path of the parameter in its stack, such as `WORD_TABLE`.
        """
        return f"bert/{path}" if self.is_decoder else path

    def check_positions(
        self,
        length: int,
        subject: str = "the sequence",
        advice: str = "Truncate the text when tokenizing.",
    ) -> None:
        """Checks that a sequence fits into the table of position embeddings.

        Args:
          length: positions needed.
          subject: the subject of the message, in the singular.
          advice: the end of the message, which says what to do.

        Raises:
          ConfigError: the table has fewer rows.
        """
        if length > self.max_position_embeddings:
            raise ConfigError(
                f"{subject} needs {length} positions; the {self.architecture} has "
                f"{self.max_position_embeddings} (max_position_embeddings). {advice}"
            )

    def check_lengths(
        self,
        source: int,
        target: int,
        source_advice: str = SOURCE_ADVICE,
        target_advice: str = TARGET_ADVICE,
    ) -> None:
        """Checks that a source and a target fit into one sequence.

        Args:
          source: tokens of the longest source.
          target: tokens that the model reads after it: the start token counts, the last
            token of the target does not, because nothing is predicted from it.
          source_advice, target_advice: sentences that say what to do.

        Raises:
          ConfigError: there are not enough positions.
        """
        subject = f"a source of {source} tokens with a target of {target} tokens"
        self.check_positions(
            source + target, subject, f"{source_advice} {target_advice}"
        )

    @property
    def model_type(self) -> str:
        """The Hugging Face model that computes the same: one of `STACK_TYPES`.

        Raises:
          ConfigError: Hugging Face has no such model, so it cannot be written.
        """
        has_transform = self.is_decoder and self.lm_head_transform
        if not self.pre_layer_norm:
            return config_json.BERT if has_transform else config_json.BERT_GENERATION
        if self.is_decoder and not (self.lm_head_bias or has_transform):
            return config_json.GPT2
        raise ConfigError(
            f"pre_layer_norm is set with is_decoder={self.is_decoder}, lm_head_bias="
            f"{self.lm_head_bias} and lm_head_transform={self.lm_head_transform}; the "
            "only such stack of Hugging Face is GPT-2, so to be written it needs "
            "is_decoder=True, lm_head_bias=False and lm_head_transform=False."
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a mapping of config.json; unknown keys are ignored.

        Args:
          values: config.json of one of `STACK_TYPES`, or OpenAI's hparams.json.

        Raises:
          ConfigError: a value is invalid, or asks for something that is not computed
            here, such as relative positions.
        """
        fields = config_json.stack_fields(values)
        known = {field.name for field in dataclasses.fields(cls)}
        with config_json.names_of_file(values):
            return cls(**{name: fields[name] for name in fields if name in known})

    def to_dict(self) -> dict[str, Any]:
        """Returns the mapping for config.json, readable by Hugging Face.

        Raises:
          ConfigError: see `model_type`.
        """
        return config_json.stack_values(self.model_type, dataclasses.asdict(self))

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> Self:
        """Reads `config.json` of a model directory.

        Raises:
          CheckpointError: the file is missing, or does not describe a single stack.
        """
        readers = dict.fromkeys(config_json.STACK_TYPES, cls.from_dict)
        return config_json.read(directory, readers)
