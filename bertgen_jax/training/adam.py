"""Adam that leaves its moments alone in a bad step, and reads and writes them once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike


def scale_by_adam(
    b1: float, b2: float, eps: float
) -> optax.GradientTransformationExtraArgs:
    """Returns `optax.scale_by_adam` (Kingma and Ba 2015) that a bad step leaves alone.

    `update` takes one more argument, `good`, a bool[]: if it is false, the state stays
    as it is. The condition is applied here, and not in the step, so that the updates
    are computed from the moments that are stored. Otherwise XLA computes the moments
    twice on a CPU, and copies the old ones first.

    Args:
      b1: decay of the mean of gradients.
      b2: decay of the mean of squared gradients.
      eps: added to the root of the mean square.
    """

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None,
        good: ArrayLike,
    ) -> tuple[optax.Updates, optax.OptState]:
        del params
        assert isinstance(state, optax.ScaleByAdamState)
        count = state.count + 1
        mean_bias, square_bias = 1 - b1**count, 1 - b2**count

        def moments(grad: jax.Array, mean: jax.Array, square: jax.Array) -> Any:
            new_mean = (1 - b1) * grad + b1 * mean
            new_square = (1 - b2) * grad**2 + b2 * square
            stored = (
                jnp.where(good, new_mean, mean),
                jnp.where(good, new_square, square),
            )
            return jax.lax.platform_dependent(
                stored, cpu=jax.lax.optimization_barrier, default=lambda values: values
            )

        def scaled(mean: jax.Array, square: jax.Array) -> jax.Array:
            return (mean / mean_bias) / (jnp.sqrt(square / square_bias) + eps)

        grads, tree = jax.tree.flatten(updates)
        means, squares = (tree.flatten_up_to(each) for each in (state.mu, state.nu))
        stored = [*map(moments, grads, means, squares)]
        new_state = optax.ScaleByAdamState(
            count=jnp.where(good, count, state.count),
            mu=tree.unflatten([mean for mean, _ in stored]),
            nu=tree.unflatten([square for _, square in stored]),
        )
        return tree.unflatten([scaled(*each) for each in stored]), new_state

    return _with_good(optax.scale_by_adam(b1, b2, eps).init, update)


def unless_bad(
    transformation: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Gives a transformation the argument `good` of `scale_by_adam`."""

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None,
        good: ArrayLike,
    ) -> tuple[optax.Updates, optax.OptState]:
        updates, new = transformation.update(updates, state, params)
        return updates, jax.tree.map(
            lambda new, old: jnp.where(good, new, old), new, state
        )

    return _with_good(transformation.init, update)


def _with_good(
    init: optax.TransformInitFn, update: Callable[..., tuple[Any, Any]]
) -> optax.GradientTransformationExtraArgs:
    """Makes `update(updates, state, params, good)` a transformation of Optax."""

    def with_good(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        good: ArrayLike = True,
        **extra: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        del extra  # of other transformations
        return update(updates, state, params, good)

    return optax.GradientTransformationExtraArgs(init, with_good)
