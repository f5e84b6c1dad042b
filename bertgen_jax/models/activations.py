"""Lists the feed-forward non-linearities by Hugging Face's names."""

import functools

import jax
import jax.numpy as jnp

ACTIVATIONS = {
    # BERT since its release, RoBERTa, BertGeneration: x * Phi(x).
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    # GPT-2 and Google's BERT code since February 2019: the tanh approximation.
    "gelu_new": functools.partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}
