"""What is compared: batches of sources and a search in, the ids that it finds out.

`Ours` is here; each peer has a module of its own, which imports its library.
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
Run = Callable[[], list[list[int]]]  # the best ids of each source, up to EOS

_LENGTH_MULTIPLE = 32  # tokens: few shapes to compile, as in `pipeline`


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all compute on, and in.

    Attributes:
      device: "cpu" or "cuda".
      dtype: of weights and states; "float32" or "bfloat16".
      quantizations: of CTranslate2, the first of them as `dtype`.
    """

    device: str
    dtype: str
    quantizations: tuple[str, ...]

    @classmethod
    def of_this_machine(cls) -> Self:
        """A GPU if jax has one."""
        if jax.default_backend() == "gpu":
            return cls("cuda", "bfloat16", ("bfloat16", "int8_bfloat16"))
        return cls("cpu", "float32", ("float32", "int8"))


class System(Protocol):
    """Something that generates.

    Attributes:
      name: what results call it.
    """

    name: str

    def prepare(self, batches: Sequence[Rows], search: GenerationConfig) -> Run:
        """What is timed: a call that searches for the targets of all batches.

        Args:
          batches: ids of sources, not padded.
          search: with all its special ids.
        """
        ...


class Ours:
    """`generator.Generator`."""

    name = "bertgen_jax"

    def __init__(self, config: EncoderDecoderConfig, params: Any, dtype: str):
        model = create_model(config, dtype=jnp.dtype(dtype))
        params = jax.tree.map(jnp.asarray, params)  # or each call would send them
        self._generator = generator.Generator(model, params)

    def prepare(self, batches: Sequence[Rows], search: GenerationConfig) -> Run:
        """See `System`."""
        arrays = [padded(rows, _LENGTH_MULTIPLE) for rows in batches]

        def run() -> list[list[int]]:
            found = []
            for ids, mask in arrays:
                result = self._generator(ids, mask, search)
                sequences = np.asarray(result.sequences)[:, 0].tolist()
                found += through_eos(sequences, search)
            return found

        return run


def padded(rows: Rows, multiple: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids to i32[B, S] and their mask bool[B, S], S a multiple."""
    longest = -(-max(map(len, rows)) // multiple) * multiple
    ids = np.zeros((len(rows), longest), np.int32)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = tokens
    mask = np.arange(longest)[None] < np.array([[len(tokens)] for tokens in rows])
    return ids, mask


def through_eos(rows: Rows, search: GenerationConfig) -> list[list[int]]:
    """Rows of ids without what follows the first EOS."""
    found = []
    for row in rows:
        ends = [place for place, id_ in enumerate(row) if id_ in search.eos_ids]
        found.append(list(row[: ends[0] + 1] if ends else row))
    return found
