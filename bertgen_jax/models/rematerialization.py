"""Chooses which values of a layer the backward pass keeps, and which it recomputes."""

import jax
from jax.ad_checkpoint import checkpoint_name

_KEPT = "kept"


def kept(values: jax.Array) -> jax.Array:
    """Marks values that are expensive to compute and small to keep."""
    return checkpoint_name(values, _KEPT)


# From the fastest to the one that needs the least memory:
# - "none" keeps everything that the backward pass reads;
# - "dots" keeps the results of products with weights and of attention, and recomputes
#   activations, LayerNorm, dropout, and the keys and values of cross-attention;
# - "full" keeps only the input of each layer.
POLICIES = {
    "none": None,
    "dots": jax.checkpoint_policies.save_only_these_names(_KEPT),
    "full": jax.checkpoint_policies.nothing_saveable,
}
