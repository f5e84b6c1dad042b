"""Defines the key/value cache of a decoder.

Slots are written in order, for plain left-to-right use and for prefill;
a search has a cache of its own, `generation.decoder_step.KVCache`.
"""

import jax
from flax import struct
from jax import core

from bertgen_jax.errors import ConfigError


@struct.dataclass
class LayerCache:
    """Keys and values of one layer.

    Attributes:
      key, value: dtype[B, H, C, K] of the decoder's own tokens.
      cross_key, cross_value: dtype[B, H, S, K] of the source, computed once; None in a
        decoder without cross-attention.
    """

    key: jax.Array
    value: jax.Array
    cross_key: jax.Array | None = None
    cross_value: jax.Array | None = None

    @property
    def cross_keys_values(self) -> tuple[jax.Array, jax.Array] | None:
        """Keys and values of the source; None if the cache has none."""
        if self.cross_key is None or self.cross_value is None:
            return None
        return self.cross_key, self.cross_value


@struct.dataclass
class Cache:
    """The cache of a whole stack.

    Attributes:
      layers: one `LayerCache` a layer.
      index: i32[], the number of written slots, and so the slot of the next token.
    """

    layers: tuple[LayerCache, ...]
    index: jax.Array

    @property
    def capacity(self) -> int:
        """The number of slots, C."""
        return self.layers[0].key.shape[2]

    @property
    def source_length(self) -> int | None:
        """The length S of the source whose keys and values the cache holds, or None."""
        cross_key = self.layers[0].cross_key
        return None if cross_key is None else cross_key.shape[2]

    @property
    def known_index(self) -> int:
        """The value of `index`, or 0 under `jit`, where it is not known yet."""
        return 0 if isinstance(self.index, core.Tracer) else int(self.index)

    def check_free(self, tokens: int) -> None:
        """Checks that there are free slots for more tokens.

        Raises:
          ConfigError: there are too few, so earlier tokens would be overwritten. Under
            `jit` only the whole capacity can be compared.
        """
        if self.known_index + tokens > self.capacity:
            raise ConfigError(
                f"the cache has {self.capacity} slots, {self.known_index} of them "
                f"written; {tokens} more do not fit. Make it with a larger capacity."
            )
