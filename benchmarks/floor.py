"""Measures the machine, and computes the least time that it needs for decoding.

A step reads the weights of the decoder once, however many rows there are, and
multiplies every row by them. It cannot be faster than the memory is read, nor than the
cores multiply. Reading keys and values, writing logits and choosing tokens are not
counted. Weights that fit into the processor's cache may be read faster.
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
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.stack_config import BertGenerationConfig

_FLOATS = 2**26  # 256 MiB: far more than a processor's cache
_GPU_FLOATS = 2**30
_WIDTH, _GPU_WIDTH = 2048, 8192  # of the matrices in the measured product
_TRIES = 15


@dataclasses.dataclass(frozen=True)
class Rates:
    """Measured rates of the machine.

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
      step_s: time of a step: the longer of the two times that these need.
      encoder_s: time to encode the source and to project its keys and values.
      total_s: time of the encoder and of all steps.
    """

    step_bytes: int
    step_flops: int
    step_s: float
    encoder_s: float
    total_s: float


def measure(dtype: Any) -> Rates:
    """Measures the rates of the accelerator, or the CPU; the best of several tries."""
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
    """Returns the floor of `steps` steps for `batch` sources of `source` tokens.

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
    """Counts the parameters of all layers that each token is multiplied by.

    The keys and values of cross-attention are computed from the source, once.
    """
    width, inner = config.hidden_size, config.intermediate_size
    squares = 4 + (2 if is_decoder else 0)
    return config.num_hidden_layers * (squares * width**2 + 2 * width * inner)


def _encoder_flops(config: EncoderDecoderConfig, source: int) -> int:
    """Counts the operations for one token of a source."""
    encoder, decoder = config.encoder, config.decoder
    attention = 4 * encoder.num_hidden_layers * encoder.hidden_size * source
    # The states have the decoder's width, after the bridge if the widths differ.
    crossed = 2 * decoder.num_hidden_layers * decoder.hidden_size**2
    return 2 * (_layer_parameters(encoder, is_decoder=False) + crossed) + attention


def _read_rate() -> int:
    """Returns the bytes a second that all cores read together."""
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
        # The library under numpy may be faster than XLA; a floor needs the fastest.
        host = np.asarray(matrix)
        seconds.append(_best_s(lambda: host @ host))
    return round(2 * width**3 / min(seconds))


def _best_s(run: Callable[[], Any]) -> float:
    run()
    seconds = []
    for _ in range(_TRIES):
        started_s = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started_s)
    return min(seconds)
