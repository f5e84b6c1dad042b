"""Totals and a clock in, the values and the line that are logged out."""

from collections.abc import Mapping

import jax

from bertgen_jax.training.clock import Clock, duration
from bertgen_jax.training.state import Totals


def train_values(totals: Totals, learning_rate: jax.Array) -> dict[str, float]:
    """Means of the steps since the last log line, and what they are means of."""
    totals = jax.device_get(totals)
    tokens = max(float(totals.sums.tokens), 1.0)
    return {
        "loss": float(totals.sums.loss) / tokens,
        "nll": float(totals.sums.nll) / tokens,
        "accuracy": 100 * float(totals.sums.correct) / tokens,
        "grad_norm": float(totals.grad_norm) / max(int(totals.steps), 1),
        "learning_rate": float(learning_rate),
        "examples": int(totals.examples),
        "source_tokens": float(totals.source_tokens),
        "target_tokens": float(totals.sums.tokens),
    }


# What depends on the machine and the hour, unlike all other values of metrics.jsonl.
TIMINGS = ("examples_per_s", "tokens_per_s", "eta_s", "trained_s")


def rates(clock: Clock, step: int, last: int, totals: Totals) -> dict[str, float]:
    """Speed since the last log line: examples and tokens of both sides a second."""
    lap_s, step_s = clock.lap(step)
    totals = jax.device_get(totals)
    tokens = float(totals.sums.tokens) + float(totals.source_tokens)
    lap_s = max(lap_s, 1e-9)
    return {
        "examples_per_s": int(totals.examples) / lap_s,
        "tokens_per_s": tokens / lap_s,
        "eta_s": (last - step) * step_s,
        "trained_s": clock.trained_s,
    }


def line(
    step: int, last: int, values: Mapping[str, float], rates: Mapping[str, float]
) -> str:
    """One line for the log."""
    return (
        f"step {step:,}/{last:,}  loss {values['loss']:.3f}  "
        f"lr {values['learning_rate']:.2e}  "
        f"{rates['examples_per_s']:,.0f} examples/s  "
        f"{rates['tokens_per_s']:,.0f} tokens/s  "
        f"ETA {duration(rates['eta_s'])}"
    )
