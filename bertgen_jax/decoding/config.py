"""`GenerationConfig`: how to search; a generation_config.json in, and out again."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from bertgen_jax.errors import ConfigError
from bertgen_jax.suggest import nearest

DEFAULT_NEW_TOKENS = 20  # the peer's, when no length is set
LENGTH_PENALTY_FORMS = ("power", "gnmt")

# The least value of each integer field.
_LEAST = {
    "max_new_tokens": 1,
    "max_length": 2,  # the start token and one more
    "num_beams": 1,
    "num_return_sequences": 1,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
}
# Norms between exp(-60) and exp(60) keep even -1e9 / norm a finite float32.
_MAX_LOG_NORM = 60.0


@dataclasses.dataclass(frozen=True)
class GenerationConfig:
    """Settings of a search; frozen and hashable, so it can be a static jit argument.

    Attributes:
      max_new_tokens: most tokens to generate, EOS counted; wins over `max_length`.
      max_length: the same with the start token counted, as the peer does. With neither,
        20 new tokens.
      num_beams: 1 is greedy search.
      num_return_sequences: the n best of each source, at most `num_beams`.
      length_penalty: exponent of the length norm. 0 ranks by the plain sum, a larger
        one favours long sequences, a negative one short sequences.
      length_penalty_form: what a sum of log-probabilities over n tokens, EOS included,
        is divided by. "power" is n ** length_penalty, the peer's; "gnmt" is
        ((5 + n) / 6) ** length_penalty, the paper's (arXiv 1609.08144, equation 14).
        Neither is a rescaling of the other: the paper's 0.6 needs "gnmt".
      early_stopping: when a source with `num_beams` finished hypotheses is decided.
        True: at once. False: when its best running beam, normalised at the present
        length, does not beat the worst finished one. "never": when it cannot beat it
        at any length it may still reach, the exact bound.
      decoder_start_token_id: the token before the first generated one.
      eos_token_id: the token, or each of several tokens, that ends a sequence.
      pad_token_id: what follows EOS; None: the (first) EOS id.

    Raises:
      ConfigError: for a setting that cannot be meant.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    length_penalty_form: str = "power"
    early_stopping: bool | str = False
    decoder_start_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None

    def __post_init__(self):
        if isinstance(self.eos_token_id, list):  # as JSON has it; a tuple hashes
            object.__setattr__(self, "eos_token_id", tuple(self.eos_token_id))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            may_be_none = field.default is None
            if field.name not in _LEAST or (value is None and may_be_none):
                continue
            if not _is_int(value) or value < _LEAST[field.name]:
                raise ConfigError(
                    f"{field.name} is {value!r}; expected an integer of at least "
                    f"{_LEAST[field.name]}."
                )
        if self.eos_token_id == () or not all(
            _is_int(id_) and id_ >= 0 for id_ in self.eos_ids
        ):
            raise ConfigError(
                f"eos_token_id is {self.eos_token_id!r}; expected a token id, several "
                "of them, or None where no token ends a sequence."
            )
        if self.num_return_sequences > self.num_beams:
            raise ConfigError(
                f"num_return_sequences is {self.num_return_sequences} and num_beams is "
                f"{self.num_beams}; a search returns at most one sequence a beam, so "
                f"set num_beams to {self.num_return_sequences} or more."
            )
        if not isinstance(self.early_stopping, bool) and self.early_stopping != "never":
            raise ConfigError(
                f"early_stopping is {self.early_stopping!r}; expected True, False or "
                "'never'."
            )
        self._check_length_penalty()

    def _check_length_penalty(self) -> None:
        form, penalty = self.length_penalty_form, self.length_penalty
        if form not in LENGTH_PENALTY_FORMS:
            raise ConfigError(
                f"length_penalty_form is {form!r}; expected 'power' (divides by "
                "n ** length_penalty, as Hugging Face) or 'gnmt' (by "
                "((5 + n) / 6) ** length_penalty, as the paper)."
                f"{nearest(form, LENGTH_PENALTY_FORMS)}"
            )
        is_number = _is_int(penalty) or isinstance(penalty, float)
        if not is_number or not math.isfinite(penalty):
            raise ConfigError(
                f"length_penalty is {penalty!r}; expected a finite number."
            )
        if abs(penalty) * math.log(self.num_new_tokens) > _MAX_LOG_NORM:
            raise ConfigError(
                f"length_penalty is {penalty!r}, with which the scores of "
                f"{self.num_new_tokens} tokens leave the range of float32; expected a "
                "small number such as 0.6 or 2.0."
            )

    @property
    def num_new_tokens(self) -> int:
        """T: the most tokens to generate, whichever field says so."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        if self.max_length is not None:
            return self.max_length - 1
        return DEFAULT_NEW_TOKENS

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every id that ends a sequence; empty when none does."""
        if self.eos_token_id is None:
            return ()
        if isinstance(self.eos_token_id, tuple):
            return self.eos_token_id
        return (self.eos_token_id,)

    @property
    def fill_id(self) -> int:
        """What stands where nothing was generated: pad, else the first EOS, else 0.

        A pad id of 0 is a pad id; the peer's beam search writes EOS instead.
        """
        if self.pad_token_id is not None:
            return self.pad_token_id
        return self.eos_ids[0] if self.eos_ids else 0

    def length_norms(self) -> np.ndarray:
        """f32[T]: entry n - 1 divides the log-probability of n generated tokens."""
        n = np.arange(1, self.num_new_tokens + 1, dtype=np.float64)
        base = (5 + n) / 6 if self.length_penalty_form == "gnmt" else n
        return (base**self.length_penalty).astype(np.float32)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a generation_config.json, or a config.json that holds such fields.

        Keys that are no fields here are ignored; None means "not set", as in the
        peer's files.

        Raises:
          ConfigError: for a setting that cannot be meant.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(
            **{
                name: value
                for name, value in values.items()
                if name in known and value is not None
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The mapping that generation_config.json holds, readable by Hugging Face.

        Fields that are not set are left out. `length_penalty_form` is ours: the peer
        keeps it, and divides by the power all the same.
        """
        values = dataclasses.asdict(self)
        if isinstance(self.eos_token_id, tuple):
            values["eos_token_id"] = list(self.eos_token_id)
        return {name: value for name, value in values.items() if value is not None}


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
