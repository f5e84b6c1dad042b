"""Optimizers: gradients in, updates out; an optax chain made from the config's `optim`.

Which parameters decay, freeze or learn faster is said by regular expressions over their
paths, such as "decoder/bert/layer_0/intermediate/kernel".
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import optax

from bertgen_jax.errors import ConfigError, nearest
from bertgen_jax.training import schedules

NAMES = ("adam", "adamw", "adafactor")


def create(
    optim: Mapping[str, Any], schedule: schedules.Schedule, params: Any
) -> optax.GradientTransformation:
    """Makes the optimizer of a run.

    The order is clip, precondition, decay, multiply, rate: the clipped norm is that of
    the trained gradients; decay is decoupled (AdamW) and scaled by rate and multiplier.

    Args:
      optim: the config's `optim`, documented in configs/common.py.
      schedule: the learning rate.
      params: the parameters, or a tree of their shapes.

    Raises:
      ConfigError: an unknown name, or a pattern that matches no parameter.
    """
    name = optim["name"]
    if name not in NAMES:
        raise ConfigError(
            f"optim.name is {name!r}; expected one of {', '.join(NAMES)}."
            f"{nearest(name, NAMES)}"
        )
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
                # A function of the tree it is given, from which freezing cut leaves.
                mask=lambda tree: jax.tree.map(
                    lambda path: re.search(pattern, path) is not None,
                    parameter_paths(tree),
                ),
            )
        )
    multipliers = _multipliers(optim["multipliers"])
    for pattern in multipliers:
        matching(paths, [pattern], "optim.multipliers")
    if multipliers:
        chain.append(_multiply(multipliers))
    chain.append(optax.scale_by_learning_rate(schedule))
    optimizer = optax.chain(*chain)

    if not optim["freeze"]:
        return optimizer
    frozen = matching(paths, optim["freeze"], "optim.freeze")
    if all(jax.tree.leaves(frozen)):
        raise ConfigError(
            f"optim.freeze {list(optim['freeze'])} matches every parameter; expected "
            "some to train."
        )
    labels = jax.tree.map(
        lambda is_frozen: "frozen" if is_frozen else "trained", frozen
    )
    return optax.multi_transform(
        {"trained": optimizer, "frozen": optax.set_to_zero()}, labels
    )


def parameter_paths(params: Any) -> Any:
    """A tree like `params` that holds each parameter's path, joined by "/"."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator="/"), params
    )


def matching(paths: Any, patterns: Iterable[str], field: str) -> Any:
    """A tree of booleans: whether any pattern is found in the path.

    Raises:
      ConfigError: a pattern that is no regular expression or matches nothing.
    """
    patterns = list(patterns)
    found = jax.tree.leaves(paths)
    for pattern in patterns:
        if not any(_search(pattern, path, field) for path in found):
            raise ConfigError(
                f"{field}: {pattern!r} matches no parameter; paths look like "
                f"{found[0]!r}.{nearest(pattern, found)}"
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
            optax.scale_by_factored_rms(decay_rate=0.8),
            optax.clip_by_block_rms(1.0),
            optax.scale_by_param_block_rms(1e-3),
        ]
    return [optax.scale_by_adam(b1=optim["b1"], b2=optim["b2"], eps=optim["eps"])]


def _multipliers(pairs: Iterable[Any]) -> dict[str, float]:
    for pair in pairs:
        if not (
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and isinstance(pair[0], str)
            and isinstance(pair[1], int | float)
        ):
            raise ConfigError(
                f"optim.multipliers is {pairs!r}; expected pairs of a regular "
                "expression and a number, such as (('encoder/', 0.5),)."
            )
    return dict(pairs)


def _multiply(multipliers: Mapping[str, float]) -> optax.GradientTransformation:
    """Scales each update by the product of the factors whose patterns match."""

    def factor(path: str) -> float:
        return math.prod(
            value for pattern, value in multipliers.items() if re.search(pattern, path)
        )

    return optax.stateless(
        lambda updates, _: jax.tree.map(
            lambda update, path: update * factor(path),
            updates,
            parameter_paths(updates),
        )
    )
