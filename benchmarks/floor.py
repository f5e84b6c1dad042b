"""What a machine can do, and the least time that it needs to decode.

A step reads the weights of the decoder once, however many rows there are, and
multiplies every row by them; it cannot be faster than the memory lets it read, nor than
the cores multiply. Keys, values, logits and the choice of tokens come on top of that,
and are not counted among what is read. Weights that fit into the cache may be read
faster than this.
"""

import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import record
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig

_FLOATS = 2**26  # 256 MiB: far more than a processor's cache
_GPU_FLOATS = 2**30
_WIDTH, _GPU_WIDTH = 2048, 8192  # of the matrices that are multiplied
_TRIES = 15


@dataclasses.dataclass(frozen=True)
class Rates:
    """What the machine can do.

    Attributes:
      read: bytes a second from memory.
      multiply: floating point operations a second in a large product of matrices.
      width: bytes of a number of the compute dtype.
    """

    read: int
    multiply: int
    width: int


@dataclasses.dataclass(frozen=True)
class Floor:
    """The least time of one batch.

    Attributes:
      step_bytes, step_flops: of one step, in the mean over all of them.
      step_s: the longer of what these two take.
      encoder_s: what reading the source takes; cross-attention's keys and values too.
      total_s: the encoder's and that of all steps.
    """

    step_bytes: int
    step_flops: int
    step_s: float
    encoder_s: float
    total_s: float


def measure(dtype: Any) -> Rates:
    """Measures, on the accelerator if there is one; best of several tries."""
    on_gpu = jax.default_backend() == "gpu"
    return Rates(
        read=_gpu_read_rate() if on_gpu else _read_rate(),
        multiply=_multiply_rate(_GPU_WIDTH if on_gpu else _WIDTH, dtype),
        width=jnp.dtype(dtype).itemsize,
    )


def of_decoding(
    config: EncoderDecoderConfig,
    rates: Rates,
    *,
    batch: int,
    beams: int,
    source: int,
    steps: int,
) -> Floor:
    """The floor of `steps` steps of `batch` sources of `source` tokens.

    The n-th token attends to n tokens of its own target, and to its source.
    """
    decoder, rows = config.decoder, batch * beams
    parameters = _layer_parameters(decoder, is_decoder=True)
    parameters += decoder.hidden_size * decoder.vocab_size  # the softmax
    keys = (steps + 1) / 2 + source
    attention = 4 * decoder.num_hidden_layers * decoder.hidden_size * keys
    step_bytes = rates.width * parameters
    step_flops = round(rows * (2 * parameters + attention))
    step_s = max(step_bytes / rates.read, step_flops / rates.multiply)
    encoder_s = batch * source * _encoder_flops(config, source) / rates.multiply
    seconds = (step_s, encoder_s, steps * step_s + encoder_s)
    return Floor(step_bytes, step_flops, *(round(x, 6) for x in seconds))


def _layer_parameters(config: BertGenerationConfig, is_decoder: bool) -> int:
    """Parameters of all layers that a token is multiplied by.

    Cross-attention's keys and values are made of the source, once.
    """
    width, inner = config.hidden_size, config.intermediate_size
    squares = 4 + (2 if is_decoder else 0)
    return config.num_hidden_layers * (squares * width**2 + 2 * width * inner)


def _encoder_flops(config: EncoderDecoderConfig, source: int) -> int:
    """Operations for one token of a source."""
    encoder, decoder = config.encoder, config.decoder
    attention = 4 * encoder.num_hidden_layers * encoder.hidden_size * source
    # Where the widths differ, a bridge makes the states as wide as the decoder.
    crossed = 2 * decoder.num_hidden_layers * decoder.hidden_size**2
    return 2 * (_layer_parameters(encoder, is_decoder=False) + crossed) + attention


def _read_rate() -> int:
    """Bytes a second, read by all cores at once."""
    parts = np.split(np.ones(_FLOATS, np.float32), record.cores())
    with ThreadPoolExecutor(len(parts)) as threads:
        # The fastest of numpy's functions that read an array and write nothing.
        seconds = _best_s(lambda: list(threads.map(np.dot, parts, parts)))
    return round(4 * _FLOATS / seconds)


def _gpu_read_rate() -> int:
    numbers, total = jnp.ones(_GPU_FLOATS, jnp.float32), jax.jit(jnp.sum)
    seconds = _best_s(lambda: total(numbers).block_until_ready())
    return round(numbers.nbytes / seconds)


def _multiply_rate(width: int, dtype: Any) -> int:
    matrix, product = jnp.ones((width, width), dtype), jax.jit(jnp.matmul)
    seconds = [_best_s(lambda: product(matrix, matrix).block_until_ready())]
    if jax.default_backend() == "cpu":
        # The library under numpy may be faster than XLA; a floor takes the fastest.
        host = np.asarray(matrix)
        seconds.append(_best_s(lambda: host @ host))
    return round(2 * width**3 / min(seconds))


def _best_s(run: Callable[[], Any]) -> float:
    run()
    found = []
    for _ in range(_TRIES):
        started_s = time.perf_counter()
        run()
        found.append(time.perf_counter() - started_s)
    return min(found)
