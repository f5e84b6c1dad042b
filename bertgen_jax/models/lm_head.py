"""`LanguageModelHead`: hidden states dtype[B, T, D] in, logits f32[B, T, V] out."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from bertgen_jax.models.activations import ACTIVATIONS
from bertgen_jax.models.config import BertGenerationConfig
from bertgen_jax.models.layers import layer_norm


class HeadTransform(nn.Module):
    """LayerNorm(act(h W + b)): what a masked-LM head has before its softmax."""

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        """Declares the kernel f32[D, D], its bias and the LayerNorm."""
        width = self.config.hidden_size
        init = nn.initializers.truncated_normal(self.config.initializer_range)
        self.kernel = self.param("kernel", init, (width, width))
        self.bias = self.param("bias", nn.initializers.zeros_init(), (width,))
        self.LayerNorm = layer_norm(self.config)

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """States dtype[B, T, D] to what the softmax sees, dtype[B, T, D]."""
        kernel, bias = self.kernel.astype(self.dtype), self.bias.astype(self.dtype)
        hidden = hidden @ kernel + bias[None, None, :]
        hidden = ACTIVATIONS[self.config.hidden_act](hidden)
        return self.LayerNorm(hidden).astype(self.dtype)


class LanguageModelHead(nn.Module):
    """Hidden states to logits: h E^T + b, or h W + b where it is not tied."""

    config: BertGenerationConfig
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, hidden: jax.Array, word_table: jax.Array) -> jax.Array:
        """[B, T, D] states and the table f32[V, D] to logits f32[B, T, V]."""
        config = self.config
        if config.lm_head_transform:
            hidden = HeadTransform(config, self.dtype, name="transform")(hidden)
        table, letters = word_table, "BTD,VD->BTV"
        if not config.tie_word_embeddings:
            init = nn.initializers.truncated_normal(config.initializer_range)
            shape = (config.hidden_size, config.vocab_size)
            table, letters = self.param("kernel", init, shape), "BTD,DV->BTV"
        logits = jnp.einsum(
            letters,
            hidden,
            table.astype(self.dtype),
            preferred_element_type=jnp.float32,  # sums of D products, then softmax
        )
        if config.lm_head_bias:
            zeros = nn.initializers.zeros_init()
            bias = self.param("bias", zeros, (config.vocab_size,))
            logits = logits + bias[None, None, :]
        return logits
