"""Learning-rate schedules and optimizers, made from the config's `optim`.

Regular expressions over parameter paths, such as
"decoder/bert/layer_0/intermediate/kernel", choose which parameters decay, freeze or
learn at another rate.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from bertgen_jax import stacked_layers
from bertgen_jax.errors import ConfigError, check_choice, nearest
from bertgen_jax.training.adam import scale_by_adam, unless_bad
from bertgen_jax.trees import PyTree

OPTIMIZERS = ("adam", "adamw", "adafactor")
SCHEDULES = ("paper", "constant", "linear", "cosine")

# completed updates, i32[] -> rate, f32[]
Schedule = Callable[[ArrayLike], jax.Array]


def create_schedule(
    name: str, *, rate: float, warmup_steps: int, total_steps: int, hidden_size: int
) -> Schedule:
    """Creates a schedule; t counts the updates from 1.

        paper     rate * d^-0.5 * min(1, t/w) * max(t, w)^-0.5    section 2
        constant  rate * min(1, t/w)
        linear    rate * min(1, t/w), falling to 0 at the last step
        cosine    rate * min(1, t/w), falling to 0 along half a cosine

    Args:
      name: one of `SCHEDULES`.
      rate: the factor of the paper's schedule, 0.05 in the paper; in the other
        schedules the highest rate.
      warmup_steps: w; 0 for no warm-up.
      total_steps: the step at which linear and cosine reach 0.
      hidden_size: d, the width of the model.

    Raises:
      ConfigError: an unknown name, or a warm-up that does not fit the run.
    """
    check_choice("optim.schedule", name, SCHEDULES)
    if warmup_steps < 0 or (
        name in ("linear", "cosine") and warmup_steps >= total_steps
    ):
        raise ConfigError(
            f"optim.warmup_steps is {warmup_steps} with total_steps {total_steps} and "
            f"a {name!r} schedule; expected 0 <= warmup_steps < total_steps."
        )
    warmup = float(max(warmup_steps, 1))
    decay_steps = float(max(total_steps - warmup_steps, 1))

    def schedule(count: ArrayLike) -> jax.Array:
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


def create_optimizer(
    optim: Mapping[str, Any], schedule: Schedule, params: PyTree
) -> optax.GradientTransformationExtraArgs:
    """Creates the optimizer of a run.

    Gradients are clipped, preconditioned, decayed, multiplied and scaled by the rate,
    in this order. Clipping uses the norm over the trained parameters. Weight decay is
    decoupled (AdamW), so the rate and the multipliers scale it as well. `update` takes
    an argument `good`, a bool[]: if it is false, the optimizer's state does not change.

    Args:
      optim: the config's `optim`, documented in configs/common.py.
      schedule: the learning rate.
      params: the parameters, or a tree of their shapes.

    Raises:
      ConfigError: an unknown name, or a pattern that matches no parameter.
    """
    name = optim["name"]
    check_choice("optim.name", name, OPTIMIZERS)
    if name == "adam" and optim["weight_decay"]:
        raise ConfigError(
            f"optim.weight_decay is {optim['weight_decay']} with optim.name 'adam', "
            "which is plain Adam; expected 0, or 'adamw'."
        )
    paths = parameter_paths(params)
    chain = []
    if optim["clip_norm"]:
        chain.append(optax.clip_by_global_norm(optim["clip_norm"]))
    chain += _precondition(optim)
    if optim["weight_decay"]:
        pattern = optim["decay_pattern"]
        matching(paths, [pattern], "optim.decay_pattern")
        chain.append(
            optax.add_decayed_weights(
                optim["weight_decay"],
                # A function of the tree, because freezing removes leaves from it.
                mask=lambda tree: jax.tree.map(
                    lambda path: re.search(pattern, path) is not None,
                    parameter_paths(tree),
                ),
            )
        )
    multipliers = _multipliers(optim["multipliers"])
    for pattern, _ in multipliers:
        matching(paths, [pattern], "optim.multipliers")
    if multipliers:
        chain.append(_multiply(multipliers))
    chain.append(unless_bad(optax.scale_by_learning_rate(schedule)))
    optimizer = optax.chain(*chain)

    if not optim["freeze"]:
        return optimizer
    frozen = matching(paths, optim["freeze"], "optim.freeze")
    if all(jax.tree.leaves(frozen)):
        raise ConfigError(
            f"optim.freeze {list(optim['freeze'])} matches every parameter; expected "
            "some parameters to train."
        )
    labels = jax.tree.map(
        lambda is_frozen: "frozen" if is_frozen else "trained", frozen
    )
    return optax.multi_transform(
        {"trained": optimizer, "frozen": optax.set_to_zero()}, labels
    )


def parameter_paths(params: PyTree) -> PyTree:
    """Returns a tree like `params` with the path of each parameter, joined by "/".

    A stacked array has the path of the first layer's array.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, _: stacked_layers.layer_path(
            jax.tree_util.keystr(path, simple=True, separator="/"), 0
        ),
        params,
    )


def updates_layers_alike(optim: Mapping[str, Any], params: PyTree) -> bool:
    """Whether stacked layers get the updates that they would get one by one.

    They do not if a pattern matches only some layers, or with Adafactor, which scales
    by the root mean square of each array.

    Args:
      optim: the config's `optim`.
      params: the parameters, not stacked, or a tree of their shapes.

    Raises:
      ConfigError: a pattern that matches no parameter.
    """
    decayed = [optim["decay_pattern"]] if optim["weight_decay"] else []
    fields = {
        "optim.decay_pattern": decayed,
        "optim.freeze": optim["freeze"],
        "optim.multipliers": [name for name, _ in _multipliers(optim["multipliers"])],
    }
    paths = parameter_paths(params)
    for field, patterns in fields.items():
        for pattern in patterns:
            matched: dict[str, bool] = {}
            matches = jax.tree.leaves(matching(paths, [pattern], field))
            for path, match in zip(jax.tree.leaves(paths), matches, strict=True):
                stacked_path = stacked_layers.stacked_path(path)
                if matched.setdefault(stacked_path, match) != match:
                    return False
    return optim["name"] != "adafactor"


def matching(paths: PyTree, patterns: Iterable[str], field: str) -> PyTree:
    """Returns a tree of booleans: whether any pattern matches a part of the path.

    Raises:
      ConfigError: a pattern is not a regular expression, or matches no path.
    """
    patterns = list(patterns)
    names = jax.tree.leaves(paths)
    for pattern in patterns:
        if not any(_search(pattern, path, field) for path in names):
            raise ConfigError(
                f"{field}: {pattern!r} matches no parameter; paths look like "
                f"{names[0]!r}.{nearest(pattern, names)}"
            )
    return jax.tree.map(
        lambda path: any(_search(pattern, path, field) for pattern in patterns), paths
    )


def _search(pattern: str, path: str, field: str) -> bool:
    try:
        return re.search(pattern, path) is not None
    except re.error as error:
        raise ConfigError(
            f"{field}: {pattern!r} is not a regular expression ({error})."
        ) from error


def _precondition(optim: Mapping[str, Any]) -> list[optax.GradientTransformation]:
    if optim["name"] == "adafactor":
        # Shazeer and Stern 2018: factored second moments, updates clipped to RMS 1 and
        # scaled by the parameter's own RMS.
        return [
            unless_bad(optax.scale_by_factored_rms(decay_rate=0.8)),
            optax.clip_by_block_rms(1.0),
            optax.scale_by_param_block_rms(1e-3),
        ]
    return [scale_by_adam(b1=optim["b1"], b2=optim["b2"], eps=optim["eps"])]


def _multipliers(pairs: Iterable[Any]) -> list[tuple[str, float]]:
    for pair in pairs:
        if not (
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and isinstance(pair[0], str)
            and isinstance(pair[1], int | float)
            and not isinstance(pair[1], bool)
            and 0 <= pair[1] < math.inf
        ):
            raise ConfigError(
                f"optim.multipliers is {pairs!r}; expected pairs of a regular "
                "expression and a number from 0 on, such as (('encoder/', 0.5),)."
            )
    return [(pattern, factor) for pattern, factor in pairs]


def _multiply(multipliers: Iterable[tuple[str, float]]) -> optax.GradientTransformation:
    """Scales each update by the product of the factors that match its path."""

    def factor(path: str) -> float:
        return math.prod(
            value for pattern, value in multipliers if re.search(pattern, path)
        )

    return optax.stateless(
        lambda updates, _: jax.tree.map(
            lambda update, path: update * factor(path),
            updates,
            parameter_paths(updates),
        )
    )
