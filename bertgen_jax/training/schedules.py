"""Learning-rate schedules: the number of a step in, its rate out."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from bertgen_jax.errors import ConfigError, nearest

Schedule = Callable[[jax.Array], jax.Array]  # completed updates i32[] -> rate f32[]

NAMES = ("paper", "constant", "linear", "cosine")


def create(
    name: str, *, rate: float, warmup_steps: int, total_steps: int, hidden_size: int
) -> Schedule:
    """Makes a schedule; the first update has t = 1.

        paper     rate * d^-0.5 * min(1, t/w) * max(t, w)^-0.5    section 2: d the width
        constant  rate * min(1, t/w)
        linear    rate * min(1, t/w), falling to 0 at the last step
        cosine    the same along half a cosine

    Args:
      name: one of `NAMES`.
      rate: 0.05 in the paper; in the others the highest rate.
      warmup_steps: w; 0 for none.
      total_steps: where linear and cosine end.
      hidden_size: d.

    Raises:
      ConfigError: an unknown name or impossible numbers of steps.
    """
    if name not in NAMES:
        raise ConfigError(
            f"optim.schedule is {name!r}; expected one of {', '.join(NAMES)}."
            f"{nearest(name, NAMES)}"
        )
    if warmup_steps < 0 or (
        name in ("linear", "cosine") and warmup_steps >= total_steps
    ):
        raise ConfigError(
            f"optim.warmup_steps is {warmup_steps} with total_steps {total_steps} and "
            f"a {name!r} schedule; expected 0 <= warmup_steps < total_steps."
        )
    warmup = float(max(warmup_steps, 1))
    decay_steps = float(max(total_steps - warmup_steps, 1))

    def schedule(count: jax.Array) -> jax.Array:
        t = jnp.asarray(count, jnp.float32) + 1.0
        rising = rate * jnp.minimum(1.0, t / warmup)
        if name == "paper":
            return rising * hidden_size**-0.5 * jnp.maximum(t, warmup) ** -0.5
        if name == "constant":
            return rising
        progress = jnp.clip((t - warmup) / decay_steps, min=0.0, max=1.0)
        if name == "linear":
            return rising * (1.0 - progress)
        return rising * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))

    return schedule
