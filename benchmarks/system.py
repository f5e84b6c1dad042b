"""Defines the systems that are compared: each generates ids for batches of sources.

`Ours` is here. Every other system has a module of its own, which imports its library.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.generation import generator
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.create import create_model

Rows = Sequence[Sequence[int]]  # ids of one batch
Run = Callable[[], list[list[int]]]  # returns the best ids of each source, to EOS

_LENGTH_MULTIPLE = 32  # tokens; few shapes to compile, as in a pipeline


@dataclasses.dataclass(frozen=True)
class Setting:
    """The device and the dtype that all systems compute with.

    Attributes:
      device: "cpu" or "cuda".
      dtype: of weights and states; "float32" or "bfloat16".
      quantizations: of CTranslate2; the first one computes in `dtype`.
    """

    device: str
    dtype: str
    quantizations: tuple[str, ...]

    @classmethod
    def of_this_machine(cls) -> Self:
        """Returns the setting for a GPU if jax has one, else for the CPU."""
        if jax.default_backend() == "gpu":
            return cls("cuda", "bfloat16", ("bfloat16", "int8_bfloat16"))
        return cls("cpu", "float32", ("float32", "int8"))


class System(Protocol):
    """A library that generates.

    Attributes:
      name: in the files of results.
    """

    name: str

    def prepare(self, batches: Sequence[Rows], search: GenerationConfig) -> Run:
        """Returns the function that is timed: it generates targets for all batches.

        Args:
          batches: ids of sources, not padded.
          search: the settings, with all special ids.
        """
        ...


class Ours:
    """Our `Generator`."""

    name = "bertgen_jax"

    def __init__(self, config: EncoderDecoderConfig, params: Any, dtype: str):
        model = create_model(config, dtype=jnp.dtype(dtype))
        params = jax.tree.map(jnp.asarray, params)  # or each call would copy them
        self._generator = generator.Generator(model, params)

    def prepare(self, batches: Sequence[Rows], search: GenerationConfig) -> Run:
        """See `System`."""
        arrays = [padded(rows, _LENGTH_MULTIPLE) for rows in batches]

        def run() -> list[list[int]]:
            targets = []
            for ids, mask in arrays:
                result = self._generator(ids, mask, search)
                sequences = np.asarray(result.sequences)[:, 0].tolist()
                targets += up_to_eos(sequences, search)
            return targets

        return run


def padded(rows: Rows, multiple: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pads rows of ids to i32[B, S], S a multiple; also returns the mask bool[B, S]."""
    longest = -(-max(map(len, rows)) // multiple) * multiple
    ids = np.zeros((len(rows), longest), np.int32)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = tokens
    mask = np.arange(longest)[None] < np.array([[len(tokens)] for tokens in rows])
    return ids, mask


def up_to_eos(rows: Rows, search: GenerationConfig) -> list[list[int]]:
    """Cuts rows of ids after their first EOS."""
    targets = []
    for row in rows:
        ends = [index for index, id_ in enumerate(row) if id_ in search.eos_ids]
        targets.append(list(row[: ends[0] + 1] if ends else row))
    return targets
