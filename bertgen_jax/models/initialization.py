"""Draws the parameters of a new model without compiling the model.

`model.init` under `jax.jit` compiles one program that grows with the number of
parameters: 5 to 17 seconds on two cores (docs/performance.md). Here a model with one
layer a stack is traced to learn the shapes, and one small program is compiled for each
number of values in an array, whatever the depth. The values are those of `model.init`
on a CPU, bit for bit.
"""

import collections
import contextlib
import dataclasses
import functools
import logging
import re
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import flax.core
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from bertgen_jax import trees
from bertgen_jax.models.create import Seq2SeqModel
from bertgen_jax.models.stack_config import BertGenerationConfig
from bertgen_jax.trees import Params, PyTree

_FIRST_LAYER = re.compile(r"\blayer_0\b")

_log = logging.getLogger(__name__)


def param_shapes(model: Seq2SeqModel) -> PyTree:
    """Returns the parameters of a model as `jax.ShapeDtypeStruct`."""
    config = model.config
    shallow = {
        side: dataclasses.replace(stack, num_hidden_layers=1)
        for side, stack in _stacks(model).items()
    }
    small = model.clone(config=dataclasses.replace(config, **shallow))
    ids = np.zeros((1, 2), np.int32)
    traced = jax.eval_shape(
        lambda: small.init(jax.random.key(0), ids, None, ids)["params"]
    )
    shapes = {}
    for path, shape in trees.named(traced).items():
        is_layer = _FIRST_LAYER.search(path)
        layers = _stack_of(path, model).num_hidden_layers if is_layer else 1
        for number in range(layers):
            shapes[_FIRST_LAYER.sub(f"layer_{number}", path)] = shape
    return trees.nested(shapes)


def draw_params(model: Seq2SeqModel, key: jax.Array) -> Params:
    """Draws the parameters of a new model.

    Kernels and embeddings are f32 from a truncated normal distribution; biases are
    zeros and scales ones. They are drawn by the CPU of this host, so that neither the
    accelerator nor the mesh has an influence.

    Args:
      model: the module.
      key: a typed JAX key. Each array has a key of its own, derived from its path.

    Returns:
      The params, as arrays of numpy.
    """
    params: dict[str, np.ndarray] = {}
    drawn = collections.defaultdict(list)  # the paths by the arguments of `_draw`
    shapes = trees.named(param_shapes(model))
    for path, leaf in shapes.items():
        if path.endswith("/bias"):
            params[path] = np.zeros(leaf.shape, leaf.dtype)
        elif path.endswith("/scale"):
            params[path] = np.ones(leaf.shape, leaf.dtype)
        else:
            stddev = _stack_of(path, model).initializer_range
            drawn[leaf.size, stddev, leaf.dtype].append(path)

    def draw(arguments: tuple[int, float, Any]) -> list[tuple[str, np.ndarray]]:
        with _host():
            return [
                (path, np.asarray(_draw(_param_key(key, path), *arguments)))
                for path in drawn[arguments]
            ]

    # Compiling takes most of the time, and different programs compile side by side.
    with futures.ThreadPoolExecutor() as pool:
        for group in pool.map(draw, sorted(drawn, reverse=True, key=lambda a: a[0])):
            params |= {path: flat.reshape(shapes[path].shape) for path, flat in group}
    return trees.nested(params)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _draw(key: jax.Array, size: int, stddev: float, dtype: jnp.dtype) -> jax.Array:
    """Draws `size` values; those of an array do not depend on its shape."""
    return nn.initializers.truncated_normal(stddev)(key, (size,), dtype)


def _param_key(key: jax.Array, path: str) -> jax.Array:
    """Returns the key that Flax derives for the first parameter of a module.

    All parameters that are drawn are the first ones of their modules.
    """
    scope = flax.core.Scope({}, {"params": key})
    *modules, _ = path.split("/")
    for name in modules:
        scope = scope.push(name)
    return scope.make_rng("params")


def _stacks(model: Seq2SeqModel) -> dict[str, BertGenerationConfig]:
    """Returns the configs of the stacks by side; a language model has no encoder."""
    names = (field.name for field in dataclasses.fields(model.config))
    sides = [name for name in names if name in ("encoder", "decoder")]
    return {side: getattr(model.config, side) for side in sides}


def _stack_of(path: str, model: Seq2SeqModel) -> BertGenerationConfig:
    """Returns the config of the stack that a parameter belongs to."""
    return _stacks(model)["encoder" if path.startswith("encoder/") else "decoder"]


@contextlib.contextmanager
def _host() -> Iterator[None]:
    """Computes on the CPU in this thread."""
    try:
        device = jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        _log.warning(
            "Random parameters are drawn on %s, because there is no CPU backend (%s); "
            "last bits may differ from those of another device.",
            jax.default_backend(),
            error,
        )
        device = None
    with jax.default_device(device):
        yield
