"""Predicts the memory of a training step, and checks it in the compiled program.

The prediction chooses what the backward pass recomputes (`model.remat="auto"`) before
anything is compiled, so that the usual case compiles once. Its coefficients count the
arrays of `models.layers`; XLA's own figures for GPUs and TPUs are within a quarter of
it.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from bertgen_jax.data.batching import Bucket
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.config import EncoderDecoderConfig, Seq2SeqConfig
from bertgen_jax.models.rematerialization import POLICIES
from bertgen_jax.models.stack_config import BertGenerationConfig

AUTO = "auto"
HOPELESS = 2.0  # times what is available: beyond the error of a prediction
_F32 = 4  # bytes

# Arrays [B, T, width] and [B, T, filter] that a layer keeps for the backward pass: in
# the compute dtype, and in f32 (LayerNorm). Cross-attention adds the second pair.
_KEPT_WIDTHS = {"none": (7, 7), "dots": (7, 0), "full": (1, 0)}
_KEPT_FILTERS = {"none": 4, "dots": 1, "full": 0}
_KEPT_BY_CROSS = {"none": (3, 3), "dots": (3, 0), "full": (0, 0)}
# Arrays f32[B, H, T, C] of one attention block that exist at the same time.
_SCORES = 2.5


@dataclasses.dataclass(frozen=True)
class Shapes:
    """The sizes that decide the memory of a step on one device.

    Attributes:
      rows: rows of a micro-batch on the device.
      source, target: tokens of a row, padding included.
      itemsize: bytes of a value of the compute dtype.
      slots: arrays f32 that the state has for each parameter, itself included: 3 with
        Adam, 4 with a moving average too.
      split: devices over which the state is split.
      accumulates: whether gradients of micro-batches are added up.
    """

    rows: int
    source: int
    target: int
    itemsize: int
    slots: int = 3
    split: int = 1
    accumulates: bool = False

    @classmethod
    def of_step(
        cls,
        bucket: Bucket,
        mesh: Mesh,
        *,
        batch_size: int,
        micro_batches: int,
        dtype: str,
        ema: bool = False,
    ) -> Self:
        """Returns the sizes of a step.

        Args:
          bucket: the shape of a row.
          mesh: the devices.
          batch_size: rows of a batch, on all devices.
          micro_batches: parts of a batch that run one after the other.
          dtype: the name of the compute dtype.
          ema: whether the state has a moving average of the parameters.
        """
        return cls(
            rows=batch_size // micro_batches // mesh.size,
            source=bucket.source,
            target=bucket.target,
            itemsize=jnp.dtype(dtype).itemsize,
            slots=4 if ema else 3,
            split=mesh.shape["fsdp"],
            accumulates=micro_batches > 1,
        )


def predicted_bytes(
    config: Seq2SeqConfig, parameters: int, shapes: Shapes, policy: str
) -> int:
    """Predicts the bytes that a step needs on a device, its state included.

    Args:
      config: the architecture.
      parameters: their number.
      shapes: the batch and the state.
      policy: a name in `rematerialization.POLICIES`.
    """
    decoder = config.decoder
    if isinstance(config, EncoderDecoderConfig):
        calls = [
            (config.encoder, shapes.source, 0),
            (decoder, shapes.target, shapes.source),
        ]
    else:  # source and target are one sequence
        calls = [(decoder, shapes.source + shapes.target, 0)]
    kept = sum(
        _kept_bytes(stack, tokens, crossed, shapes, policy)
        for stack, tokens, crossed in calls
    )
    scores = max(
        stack.num_attention_heads * tokens * max(tokens, crossed)
        for stack, tokens, crossed in calls
    )
    work = int(_SCORES * shapes.rows * scores * _F32)
    gradients = (2 if shapes.accumulates else 1) * parameters * _F32
    # Weights and their gradients in the compute dtype.
    cast = 2 * parameters * shapes.itemsize
    table = 2 * decoder.vocab_size * decoder.hidden_size * _F32
    state = parameters * shapes.slots * _F32
    return (state + gradients + cast) // shapes.split + table + kept + work


def _kept_bytes(
    stack: BertGenerationConfig, tokens: int, crossed: int, shapes: Shapes, policy: str
) -> int:
    """Returns the bytes that the layers of a stack keep for the backward pass."""
    narrow, wide = _KEPT_WIDTHS[policy]
    if crossed:
        narrow += _KEPT_BY_CROSS[policy][0]
        wide += _KEPT_BY_CROSS[policy][1]
    token = (
        stack.hidden_size * (narrow * shapes.itemsize + wide * _F32)
        + stack.intermediate_size * _KEPT_FILTERS[policy] * shapes.itemsize
    )
    row = tokens * token
    if crossed and policy == "none":  # keys and values of the source
        row += 2 * crossed * stack.hidden_size * shapes.itemsize
    return stack.num_hidden_layers * shapes.rows * row


def available_bytes() -> int:
    """Returns the bytes that a program may use on one device.

    Of a GPU or TPU, what JAX may allocate; of a CPU, the memory of the machine, divided
    by the number of devices that it simulates.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return pages // jax.local_device_count()
    stats = device.memory_stats() or {}
    return int(stats.get("bytes_limit", 0)) or 2**63 - 1


def policies(
    requested: str, predicted: Callable[[str], int], available: int
) -> Iterator[str]:
    """Yields the policies to compile with, the first that should fit first.

    Args:
      requested: `model.remat`: a policy, which is the only one then, or "auto".
      predicted: returns the bytes that a step needs with a policy.
      available: bytes of a device.
    """
    if requested != AUTO:
        yield requested
        return
    names = list(POLICIES)
    while len(names) > 1 and predicted(names[0]) > available:
        del names[0]
    yield from names


def compile_or_none(lowered: jax.stages.Lowered) -> jax.stages.Compiled | None:
    """Compiles a program; None if the compiler of a TPU finds that it does not fit."""
    try:
        return lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None


def program_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Returns the bytes that a compiled program needs on a device; None if unknown."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    return (
        analysis.temp_size_in_bytes
        + analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes
    )


def remedies(
    predicted: Callable[..., int],
    shapes: Shapes,
    *,
    policy: str,
    needed: int | None,
    available: int,
    micro_batches: int,
    devices: int,
    is_unrolled: bool,
) -> dict[str, int]:
    """Returns settings that need less memory, with the bytes that each would need.

    The formula may be too low for a model. What the compiler needed for one program
    then scales the predictions for the others.

    Args:
      predicted: a policy, and changes of `shapes` -> the predicted bytes.
      shapes: the sizes of the step that does not fit.
      policy: the last policy that was tried.
      needed: bytes that the program needs with it; None if there is none.
      available: bytes of a device.
      micro_batches: their number.
      devices: the number of devices.
      is_unrolled: whether the layers are compiled one by one for a CPU, whose compiler
        does not recompute anything then.
    """

    def about(**changes: Any) -> int:
        scale = max(1.0, (needed or 0) / predicted(policy))
        return int(scale * predicted("full", **changes))

    settings = {}
    if is_unrolled:
        settings["--config.model.scan_layers=True"] = predicted("full")
    elif policy != "full":
        settings["--config.model.remat=full"] = about()
    rows, parts = shapes.rows, micro_batches
    while rows % 2 == 0:  # until it fits
        rows, parts = rows // 2, 2 * parts
        size = about(rows=rows, accumulates=True)
        if size <= available or rows % 2:
            settings[f"--config.micro_batches={parts}"] = size
            break
    if devices > shapes.split:
        settings[f"--config.mesh.fsdp={devices}"] = about(split=devices)
    return settings


def does_not_fit(
    needed: int | None, available: int, remedies: dict[str, int]
) -> ConfigError:
    """Returns the error for a step that needs more memory than a device has.

    Args:
      needed: bytes; None if the compiler did not say.
      available: bytes.
      remedies: settings that need less, with the bytes that each would need.
    """
    listed = "".join(
        f"\n  {setting}: about {shown(size)}"
        + ("" if size > available else ", which fits")
        for setting, size in remedies.items()
    )
    amount = (
        "more memory than there is" if needed is None else f"{shown(needed)} of memory"
    )
    return ConfigError(
        f"a training step needs {amount} on each device; "
        f"{shown(available)} are available. These settings need less:{listed}"
    )


def shown(size: int) -> str:
    """Formats a number of bytes."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
