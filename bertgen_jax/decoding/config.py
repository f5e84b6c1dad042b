"""Defines `GenerationConfig`, the settings of a search, and reads and writes it."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self, TypeGuard

import numpy as np

from bertgen_jax.errors import ConfigError, nearest

DEFAULT_NEW_TOKENS = 20  # Hugging Face's default if no length is set
LENGTH_PENALTY_FORMS = ("power", "gnmt")

# The least value of each integer field.
_LEAST = {
    "max_new_tokens": 1,
    "max_length": 2,  # the start token and one more
    "min_new_tokens": 0,
    "min_length": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "num_beam_groups": 1,
    "no_repeat_ngram_size": 0,
    "top_k": 0,
    "seed": 0,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "forced_bos_token_id": 0,
}
# The range of each number: above the first, up to the second.
_RANGES = {
    "repetition_penalty": (0.0, math.inf),
    "temperature": (0.0, math.inf),
    "top_p": (0.0, 1.0),
}
# Norms between exp(-60) and exp(60) keep even -1e9 / norm a finite float32.
_MAX_LOG_NORM = 60.0


@dataclasses.dataclass(frozen=True)
class GenerationConfig:
    """Settings of a search; frozen and hashable, so it can be a static jit argument.

    Names, defaults and meanings are those of Hugging Face's class of that name. Fields
    that it does not have are marked "Ours".

    Attributes:
      max_new_tokens: most tokens to generate, EOS included; overrides `max_length`.
      max_length: most tokens with the prompt, which in an encoder-decoder is the
        start token. If neither is set, 20 new tokens are generated.
      min_new_tokens: minimum of tokens before EOS; overrides `min_length`.
      min_length: minimum of tokens before EOS, with the prompt.
      num_beams: 1 is greedy search, or sampling if `do_sample` is set.
      num_return_sequences: hypotheses that are returned for each source: at most
        `num_beams`, or any number of samples.
      length_penalty: exponent of the length norm. 0 ranks by the plain sum, a larger
        one favours long sequences, a negative one short sequences.
      length_penalty_form: the norm that divides a sum of log-probabilities over n
        tokens, EOS included. "power" is n ** length_penalty, as in Hugging Face; "gnmt"
        is ((5 + n) / 6) ** length_penalty, as in the paper (arXiv 1609.08144, equation
        14). Neither is a multiple of the other: the paper's 0.6 needs "gnmt". Ours.
      early_stopping: when the search of a source with `num_beams` finished hypotheses
        ends. True: at once. False: when its best running beam, normalised at the
        current length, is not better than the worst finished one. "never": when it
        cannot become better at any length that it may still reach, the exact bound.
      num_beam_groups: groups of beams that search one after the other at each step
        (diverse beam search, arXiv 1610.02424). Hugging Face had it up to version 4.
      diversity_penalty: subtracted from the score of a token for each beam of an
        earlier group that has chosen it at this step.
      repetition_penalty: multiplies the log-probabilities (in greedy search and
        sampling the logits) of tokens that the sequence contains; divides positive
        ones.
      no_repeat_ngram_size: no n-gram of this size is generated twice; 0: no limit.
      bad_words_ids: sequences of ids that must not be generated.
      forced_bos_token_id: the first generated token.
      forced_eos_token_id: the last token at the greatest length; one id or several.
      do_sample: draw tokens instead of taking the likeliest.
      temperature: divides the logits before a draw.
      top_k: draws are restricted to this many likeliest tokens; 0: no limit.
      top_p: draws are restricted to the fewest likeliest tokens whose probabilities sum
        to this.
      seed: the seed of draws. The same seed, sources and settings give the same
        sequences, however sources are batched. Ours.
      decoder_start_token_id: the token before the first generated one.
      eos_token_id: the token, or each of several tokens, that ends a sequence.
      pad_token_id: fills a sequence after EOS; None: the (first) EOS id does.

    Raises:
      ConfigError: a setting is invalid.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int | None = None
    min_length: int | None = None
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    length_penalty_form: str = "power"
    early_stopping: bool | str = False
    num_beam_groups: int = 1
    diversity_penalty: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | tuple[int, ...] | None = None
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    seed: int = 0
    decoder_start_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None

    def __post_init__(self):
        for name in ("eos_token_id", "forced_eos_token_id", "bad_words_ids"):
            value = getattr(self, name)
            if isinstance(value, list | tuple):  # JSON has lists; tuples have a hash
                value = tuple(tuple(x) if isinstance(x, list) else x for x in value)
                object.__setattr__(self, name, value)
        self._check_numbers()
        self._check_ids()
        self._check_lengths()
        self._check_length_penalty()
        self._check_search()

    def _check_numbers(self) -> None:
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if name in _LEAST and not (_is_int(value) and value >= _LEAST[name]):
                raise ConfigError(
                    f"{name} is {value!r}; expected an integer of at least "
                    f"{_LEAST[name]}."
                )
            if name in _RANGES:
                least, most = _RANGES[name]
                if not (_is_number(value) and least < value <= most):
                    limit = "" if most == math.inf else f", at most {most:g}"
                    raise ConfigError(
                        f"{name} is {value!r}; expected a number above {least:g}"
                        f"{limit}."
                    )

    def _check_ids(self) -> None:
        for name in ("eos_token_id", "forced_eos_token_id"):
            ids = _several(getattr(self, name))
            if getattr(self, name) == () or not all(map(_is_id, ids)):
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; expected a token id, several "
                    "of them, or None if no token ends a sequence."
                )
        words = self.bad_words_ids
        if words is not None and not (
            isinstance(words, tuple)
            and words
            and all(isinstance(w, tuple) and w and all(map(_is_id, w)) for w in words)
        ):
            raise ConfigError(
                f"bad_words_ids is {words!r}; expected one or more sequences of one or "
                "more token ids, such as [[5], [7, 8]]."
            )

    def _check_lengths(self) -> None:
        if self.min_new_tokens is not None and self.min_new_tokens > (
            self.num_new_tokens
        ):
            raise ConfigError(
                f"min_new_tokens is {self.min_new_tokens} and at most "
                f"{self.num_new_tokens} tokens are generated (max_new_tokens); "
                "expected a minimum that is not above the maximum."
            )
        if (
            self.min_length is not None
            and self.max_new_tokens is None
            and self.max_length is not None
            and self.min_length > self.max_length
        ):
            raise ConfigError(
                f"min_length is {self.min_length} and max_length is "
                f"{self.max_length}; expected a minimum that is not above the maximum."
            )

    def _check_length_penalty(self) -> None:
        form, penalty = self.length_penalty_form, self.length_penalty
        if form not in LENGTH_PENALTY_FORMS:
            raise ConfigError(
                f"length_penalty_form is {form!r}; expected 'power' (divides by "
                "n ** length_penalty, as Hugging Face) or 'gnmt' (by "
                "((5 + n) / 6) ** length_penalty, as the paper)."
                f"{nearest(form, LENGTH_PENALTY_FORMS)}"
            )
        if not _is_number(penalty):
            raise ConfigError(
                f"length_penalty is {penalty!r}; expected a finite number."
            )
        if abs(penalty) * math.log(self.num_new_tokens) > _MAX_LOG_NORM:
            raise ConfigError(
                f"length_penalty is {penalty!r}, with which the scores of "
                f"{self.num_new_tokens} tokens leave the range of float32; expected a "
                "small number such as 0.6 or 2.0."
            )

    def _check_search(self) -> None:
        if not isinstance(self.early_stopping, bool) and self.early_stopping != "never":
            raise ConfigError(
                f"early_stopping is {self.early_stopping!r}; expected True, False or "
                "'never'."
            )
        if not isinstance(self.do_sample, bool):
            raise ConfigError(
                f"do_sample is {self.do_sample!r}; expected True or False."
            )
        samples = self.do_sample and self.num_beams == 1
        if self.num_return_sequences > self.num_beams and not samples:
            raise ConfigError(
                f"num_return_sequences is {self.num_return_sequences} and num_beams is "
                f"{self.num_beams}; a search returns at most one sequence a beam, so "
                f"set num_beams to {self.num_return_sequences} or more."
            )
        groups, beams = self.num_beam_groups, self.num_beams
        if beams % groups:
            raise ConfigError(
                f"num_beam_groups is {groups} and num_beams is {beams}; expected "
                "a divisor of num_beams, because groups have equal size."
            )
        if not _is_number(self.diversity_penalty) or self.diversity_penalty < 0:
            raise ConfigError(
                f"diversity_penalty is {self.diversity_penalty!r}; expected a number "
                "of at least 0."
            )
        if self.diversity_penalty and groups == 1:
            raise ConfigError(
                f"diversity_penalty is {self.diversity_penalty!r} with one group of "
                "beams; it makes groups differ, so set num_beam_groups to 2 or more."
            )
        if groups > 1 and self.do_sample:
            raise ConfigError(
                f"num_beam_groups is {groups} and do_sample is True; expected one of "
                "them: groups of beams are not sampled."
            )

    @property
    def num_new_tokens(self) -> int:
        """T: the most tokens to generate, from whichever field is set."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        if self.max_length is not None:
            return self.max_length - 1
        return DEFAULT_NEW_TOKENS

    @property
    def num_rows(self) -> int:
        """R: sequences of a source that are searched side by side."""
        if self.do_sample and self.num_beams == 1:
            return self.num_return_sequences
        return self.num_beams

    @property
    def candidates_per_beam(self) -> int:
        """Candidates per beam, so many that all beams can continue after every EOS."""
        return max(2, 1 + len(self.eos_ids))

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every id that ends a sequence; empty when none does."""
        return _several(self.eos_token_id)

    @property
    def forced_eos_ids(self) -> tuple[int, ...]:
        """Every id allowed at the greatest length; empty when all are."""
        return _several(self.forced_eos_token_id)

    @property
    def fill_id(self) -> int:
        """Fills a sequence after its end: the pad id, else the first EOS id, else 0.

        A pad id of 0 is kept; Hugging Face's beam search writes EOS instead.
        """
        if self.pad_token_id is not None:
            return self.pad_token_id
        return self.eos_ids[0] if self.eos_ids else 0

    def for_prompt(self, length: int) -> Self:
        """Returns the config with its limits as numbers of new tokens after a prompt.

        Args:
          length: tokens of the prompt.

        Raises:
          ConfigError: the limits leave no new token, or fewer than the minimum.
        """
        new_tokens = self.num_new_tokens
        if self.max_new_tokens is None and self.max_length is not None:
            new_tokens = self.max_length - length
            if new_tokens < 1:
                raise ConfigError(
                    f"max_length is {self.max_length} and the prompt has {length} "
                    "tokens; expected a larger one, or max_new_tokens."
                )
        least = self.min_new_tokens
        if least is None:
            least = max(0, (self.min_length or 0) - length)
        if least > new_tokens:
            raise ConfigError(
                f"at least {least} new tokens are asked for (min_new_tokens, or "
                f"min_length less the prompt) and at most {new_tokens}; expected a "
                "minimum that is not above the maximum."
            )
        return dataclasses.replace(
            self,
            max_new_tokens=new_tokens,
            max_length=None,
            min_new_tokens=least,
            min_length=None,
            # As Hugging Face: forced at the start of a sequence, not of a continuation.
            forced_bos_token_id=self.forced_bos_token_id if length == 1 else None,
        )

    def check_vocabulary(self, size: int) -> None:
        """Checks that all ids are in the decoder's vocabulary.

        Raises:
          ConfigError: an id is not in it; the message names the field and the id.
        """
        ids_by_field = {
            "decoder_start_token_id": _several(self.decoder_start_token_id),
            "eos_token_id": self.eos_ids,
            "pad_token_id": _several(self.pad_token_id),
            "forced_bos_token_id": _several(self.forced_bos_token_id),
            "forced_eos_token_id": self.forced_eos_ids,
            "bad_words_ids": [i for word in self.bad_words_ids or () for i in word],
        }
        for name, ids in ids_by_field.items():
            for id_ in ids:
                if id_ >= size:
                    raise ConfigError(
                        f"{name} has the id {id_}; expected ids below {size}, the size "
                        "of the decoder's vocabulary."
                    )
        if self.num_beams > 1 and self.candidates_per_beam > size:
            raise ConfigError(
                f"eos_token_id has {len(self.eos_ids)} ids; expected fewer than the "
                f"{size} of the decoder's vocabulary."
            )

    def length_norms(self) -> np.ndarray:
        """Returns f32[T]; entry n - 1 divides the log-probability of n new tokens."""
        n = np.arange(1, self.num_new_tokens + 1, dtype=np.float64)
        base = (5 + n) / 6 if self.length_penalty_form == "gnmt" else n
        return (base**self.length_penalty).astype(np.float32)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads a generation_config.json, or a config.json that holds such fields.

        Unknown keys are ignored; None means "not set", as in Hugging Face's files.

        Raises:
          ConfigError: a setting is invalid.
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
        """Returns the mapping for generation_config.json, readable by Hugging Face.

        Fields with their defaults, which are Hugging Face's, are left out. Hugging Face
        keeps `length_penalty_form` but ignores it and divides by the power.
        """
        values = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                value = [list(x) if isinstance(x, tuple) else x for x in value]
            if value != field.default:
                values[field.name] = value
        return values


def _several(value: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return _is_int(value) and value >= 0


def _is_number(value: Any) -> TypeGuard[float]:
    return (_is_int(value) or isinstance(value, float)) and math.isfinite(value)
