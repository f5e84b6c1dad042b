"""Measures a training step, beside Hugging Face's `EncoderDecoderModel` on torch.

    python -m benchmarks.train_step [--sizes=small,base] [--batches=16,4]
        [--source=128] [--target=64] [--dropout=0.1] [--compile] [--repeats=7]
        [--output=FILE]

Both train two stacks with one word table, with the same weights, batch and Adam, in
turn in one process; every token of the batch is real. With --dropout=0 their losses are
equal. Ratios are their time over ours: above 1, we are faster. A step is printed with
its floor: the time that the products alone take at the machine's measured rate. On a
GPU both compute in bfloat16; torch keeps f32 weights under autocast, as we do.
"""

import argparse
import functools
import os
import pathlib
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import ahead_of_time, floor, random_models, record, timing
from benchmarks.system import Setting
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.losses import teacher_forced_loss
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.training import flops, memory, steps

OURS = "bertgen_jax"
LIBRARIES = ("bertgen_jax", "jax", "jaxlib", "numpy", "torch", "transformers")
RATE = 1e-4  # of Adam
_EPSILON = 1e-6

Run = Callable[[], list[float]]  # makes a step; returns its loss


def main() -> int:
    """Prints the results, and writes them on request."""
    options, setting = _options(), Setting.of_this_machine()
    kind = jax.devices()[0].device_kind if setting.device == "cuda" else None
    machine = record.machine(*LIBRARIES, device=kind)
    load = os.getloadavg()[0]  # before we add to it; it should be near 0
    rates = floor.measure(setting.dtype)
    print(
        f"{machine['class']}: {rates.multiply / 1e9:.0f} GFLOP/s in a product; "
        f"{setting.dtype}; load {load:.1f}",
        flush=True,
    )
    rows = []
    for size, batch in zip(options.sizes, options.batches, strict=True):
        row = measure(size, batch, setting, rates, options)
        rows.append(row)
        times = ", ".join(
            f"{name} {each['median_s']:.3f} s"
            + (f" ({each['ratio']:.2f}x)" if "ratio" in each else "")
            for name, each in row["systems"].items()
        )
        print(
            f"{size} {batch} x {options.source}/{options.target}: {times}; "
            f"{row['floor_share']:.0%} of the floor, {row['tokens_per_s']} tokens/s, "
            f"losses {row['losses']}, first step after {row['first_step_s']:.0f} s, "
            f"{row['bytes'] / 1e9:.2f} GB",
            flush=True,
        )
    if options.output:
        record.write(
            options.output,
            f"python -m benchmarks.train_step {shlex.join(sys.argv[1:])}",
            machine,
            {
                "dtype": setting.dtype,
                "load": round(load, 2),
                "rates": {"read": rates.read, "multiply": rates.multiply},
                "source": options.source,
                "target": options.target,
                "dropout": options.dropout,
                "repeats": options.repeats,
                "rows": rows,
            },
        )
    return 0


def measure(
    size: str,
    batch: int,
    setting: Setting,
    rates: floor.Rates,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Times the steps of all systems for one size and batch."""
    config = create_config(size, options.dropout)
    params = random_models.draw_params(config)
    arrays = random_batch(batch, options.source, options.target)
    started_s = time.monotonic()
    ours, size_bytes = our_step(config, params, arrays, setting.dtype)
    first = ours()
    first_step_s = time.monotonic() - started_s
    runs: dict[str, Run] = {OURS: ours}
    try:
        # Imported here, because ours can be measured on a machine without it.
        from benchmarks import huggingface_training
    except ImportError as error:
        print(f"transformers is left out: {error}")
    else:
        if huggingface_training.can_use(setting.device):
            runs |= huggingface_training.steps(
                config, params, arrays, setting, compiled=options.compile
            )
    losses = {OURS: round(first[0], 4)}
    losses |= {name: round(run()[0], 4) for name, run in runs.items() if name != OURS}
    compared = timing.compared(timing.race(runs, options.repeats), OURS)
    for row in compared.values():
        row.pop("agreement", None)  # losses are compared above
    median_s = compared[OURS]["median_s"]
    tokens = batch * (options.source + options.target)
    operations = flops.step_flops(
        config, [options.source] * batch, [options.target] * batch
    )
    return {
        "size": size,
        "batch": batch,
        "systems": compared,
        "losses": losses,
        "flops": operations,
        "floor_s": round(operations / rates.multiply, 4),
        "floor_share": round(operations / rates.multiply / median_s, 3),
        "tokens_per_s": round(tokens / median_s),
        "first_step_s": round(first_step_s, 1),
        "bytes": size_bytes,
    }


def create_config(size: str, dropout: float) -> EncoderDecoderConfig:
    """Returns two stacks that share the word table, with the paper's vocabulary."""
    stack = BertGenerationConfig(
        vocab_size=ahead_of_time.WORDS,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        lm_head_bias=True,
        **ahead_of_time.SIZES[size],
    )
    return EncoderDecoderConfig.from_stacks(
        stack, stack, share_embeddings=True, decoder_start_token_id=2
    )


def random_batch(rows: int, source: int, target: int) -> dict[str, np.ndarray]:
    """Draws a batch whose positions all hold tokens."""
    rng = np.random.default_rng(0)

    def ids(length: int) -> np.ndarray:
        return rng.integers(5, ahead_of_time.WORDS, (rows, length)).astype(np.int32)

    labels = ids(target)
    start = np.full((rows, 1), 2, np.int32)
    return {
        "input_ids": ids(source),
        "attention_mask": np.ones((rows, source), bool),
        "decoder_input_ids": np.hstack([start, labels[:, :-1]]),
        "labels": labels,
        "label_weights": np.ones((rows, target), np.float32),
    }


def our_step(
    config: EncoderDecoderConfig, params: Any, arrays: dict[str, np.ndarray], dtype: str
) -> tuple[Run, int]:
    """Compiles our step; also returns the bytes that its program needs."""
    model = create_model(config, dtype=jnp.dtype(dtype), scan_layers=True)
    optimizer = optax.adam(RATE, eps=_EPSILON)
    state = jax.jit(
        lambda params: steps.TrainState.create(params, optimizer, ema=False)
    )(params)
    batch = jax.device_put(arrays)
    step = jax.jit(
        functools.partial(
            steps.train_step,
            loss=functools.partial(teacher_forced_loss, model),
            optimizer=optimizer,
            settings=steps.StepSettings(seed=0),
        ),
        donate_argnums=0,
    )
    program = step.lower(state, batch).compile()
    held = [state]

    def run() -> list[float]:
        held[0], checks = program(held[0], batch)
        jax.block_until_ready(held[0])
        return [float(checks.loss)]

    return run, memory.program_bytes(program) or 0


def _options() -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=names, default=["small", "base"])
    parser.add_argument("--batches", type=numbers, default=[16, 4], help="one a size")
    parser.add_argument("--source", type=int, default=128, help="tokens")
    parser.add_argument("--target", type=int, default=64, help="tokens")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=pathlib.Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
