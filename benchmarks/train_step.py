"""Measures a training step, beside Hugging Face's `EncoderDecoderModel` on torch.

    python -m benchmarks.train_step [--sizes=small,base] [--batches=16,4]
        [--source=128] [--target=64] [--dropout=0.1] [--compile] [--repeats=7]
        [--systems=all|ours|theirs] [--remat=none] [--output=FILE]

Both train two stacks with one word table, with the same weights, batch and Adam, in
turn in one process; before each step that is timed, one is not, because steps follow
each other in training. Every token of the batch is real. With --dropout=0 their losses
are equal. Ratios are their time over ours: above 1, we are faster. A step is printed
with its floor: the time that the products alone take at the machine's measured rate.
On a GPU both compute in bfloat16; torch keeps f32 weights under autocast, as we do.
Where the memory of a GPU does not hold both, run --systems=ours and --systems=theirs.
"""

import argparse
import functools
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import (
    adam,
    ahead_of_time,
    arguments,
    floor,
    random_models,
    record,
    timing,
)
from benchmarks.system import Setting
from bertgen_jax import sharding, stacked_layers
from bertgen_jax.models.config import EncoderDecoderConfig
from bertgen_jax.models.create import create_model
from bertgen_jax.models.losses import teacher_forced_loss
from bertgen_jax.models.rematerialization import POLICIES
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.training import flops, memory, steps

OURS = "bertgen_jax"
LIBRARIES = ("bertgen_jax", "jax", "jaxlib", "numpy", "torch", "transformers")

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
        print(_described(row, options), flush=True)
    if options.output:
        record.write(
            options.output,
            record.command("train_step"),
            machine,
            {
                "dtype": setting.dtype,
                "load": round(load, 2),
                "rates": {"read": rates.read, "multiply": rates.multiply},
                "source": options.source,
                "target": options.target,
                "dropout": options.dropout,
                "remat": options.remat,
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
    runs: dict[str, Run] = {}
    losses, peaks, row = {}, {}, {"size": size, "batch": batch}
    if options.systems != "theirs":
        started_s = time.monotonic()
        ours, size_bytes = our_step(
            config, params, arrays, setting.dtype, options.remat
        )
        runs[OURS] = ours
        losses[OURS] = round(ours()[0], 4)
        row["first_step_s"] = round(time.monotonic() - started_s, 1)
        row["bytes"] = size_bytes
        stats = jax.local_devices()[0].memory_stats() or {}
        peaks[OURS] = stats.get("peak_bytes_in_use")
    if options.systems != "ours":
        for name, run in _their_runs(config, params, arrays, setting, options).items():
            runs[name] = run
            started_s = time.monotonic()
            losses[name] = round(run()[0], 4)
            row.setdefault("their_first_step_s", {})[name] = round(
                time.monotonic() - started_s, 1
            )
            peaks[name] = _torch_peak()
    if not runs:
        raise SystemExit("--systems=theirs: expected torch and transformers.")
    first = next(iter(runs))
    compared = timing.compared(timing.race(runs, options.repeats, settling=1), first)
    operations = flops.step_flops(
        config, [options.source] * batch, [options.target] * batch
    )
    peak = flops.peak_flops(jax.devices()[0].device_kind)
    for name, each in compared.items():
        each.pop("agreement", None)  # `losses` shows how near they are
        each["flops_per_s"] = round(operations / each["median_s"])
        if peak is not None:
            each["mfu"] = round(operations / each["median_s"] / peak, 3)
        if peaks.get(name):
            each["peak_bytes"] = peaks[name]
    median_s = compared[first]["median_s"]
    tokens = batch * (options.source + options.target)
    return row | {
        "systems": compared,
        "losses": losses,
        "flops": operations,
        "floor_s": round(operations / rates.multiply, 4),
        "floor_share": round(operations / rates.multiply / median_s, 3),
        "tokens_per_s": round(tokens / median_s),
    }


def _their_runs(
    config: EncoderDecoderConfig,
    params: Any,
    arrays: dict[str, np.ndarray],
    setting: Setting,
    options: argparse.Namespace,
) -> dict[str, Run]:
    """Returns the steps of Hugging Face; none if torch cannot make any here."""
    try:
        # Imported here, because ours can be measured on a machine without it.
        from benchmarks import huggingface_training
    except ImportError as error:
        print(f"transformers is left out: {error}")
        return {}
    if not huggingface_training.can_use(setting.device):
        print(f"transformers is left out: torch cannot use {setting.device}")
        return {}
    return huggingface_training.steps(
        config, params, arrays, setting, compiled=options.compile
    )


def _torch_peak() -> int | None:
    """Returns the most bytes that torch has held on a GPU."""
    import torch  # only called after Hugging Face's step

    if not torch.cuda.is_available():
        return None
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return peak


def _described(row: dict[str, Any], options: argparse.Namespace) -> str:
    parts = []
    for name, each in row["systems"].items():
        text = f"{name} {each['median_s']:.3f} s"
        if "ratio" in each:
            text += f" ({each['ratio']:.2f}x)"
        text += f", {each['flops_per_s'] / 1e12:.3g} TFLOP/s"
        if "mfu" in each:
            text += f", MFU {each['mfu']:.0%}"
        if "peak_bytes" in each:
            text += f", peak {each['peak_bytes'] / 1e9:.2f} GB"
        parts.append(text)
    line = (
        f"{row['size']} {row['batch']} x {options.source}/{options.target}: "
        f"{'; '.join(parts)}; floor {row['floor_s']:.2f} s ({row['floor_share']:.0%}), "
        f"{row['tokens_per_s']} tokens/s, losses {row['losses']}"
    )
    if "bytes" in row:
        line += (
            f", first step after {row['first_step_s']:.0f} s, "
            f"{row['bytes'] / 1e9:.2f} GB"
        )
    if "their_first_step_s" in row:
        line += f", their first step {row['their_first_step_s']} s"
    return line


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
    config: EncoderDecoderConfig,
    params: Any,
    arrays: dict[str, np.ndarray],
    dtype: str,
    remat: str,
) -> tuple[Run, int]:
    """Compiles our step; also returns the bytes that its program needs."""
    model = create_model(config, dtype=jnp.dtype(dtype), scan_layers=True, remat=remat)
    optimizer = adam.create()
    mesh = sharding.create_mesh(1, 1, devices=jax.devices()[:1])
    params = stacked_layers.stack_params(params)

    create_state = functools.partial(
        steps.TrainState.create, optimizer=optimizer, ema=False
    )
    shapes = steps.abstract_state(create_state, params, mesh)
    state = jax.jit(create_state, out_shardings=sharding.shardings(shapes))(params)
    batch = jax.device_put(arrays, sharding.batch_sharding(mesh))
    step = steps.jit_train_step(
        functools.partial(teacher_forced_loss, model),
        optimizer,
        steps.StepSettings(seed=0),
        shapes,
        mesh,
    )
    program = step.lower(state, batch).compile()
    held = [state]

    def run() -> list[float]:
        held[0], checks = program(held[0], batch)
        jax.block_until_ready(held[0])
        return [float(checks.loss)]

    return run, memory.program_bytes(program) or 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    sizes = arguments.names(ahead_of_time.SIZES)
    parser.add_argument("--sizes", type=sizes, default=["small", "base"])
    parser.add_argument(
        "--batches", type=arguments.counts, default=[16, 4], help="one a size"
    )
    parser.add_argument("--source", type=arguments.count, default=128, help="tokens")
    parser.add_argument("--target", type=arguments.count, default=64, help="tokens")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--compile", action="store_true", help="torch.compile too")
    parser.add_argument("--systems", choices=["all", "ours", "theirs"], default="all")
    parser.add_argument("--remat", choices=list(POLICIES), default="none")
    parser.add_argument("--repeats", type=arguments.count, default=7)
    parser.add_argument("--output", type=pathlib.Path, help="JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
