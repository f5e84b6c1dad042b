"""Defines `PrefixLanguageModel`, one decoder that reads source and target as one text.

The source is the prefix that conditions a language model (row `gpt` of the paper's
Table 1). The paper does not say what separates the two, which tokens attend to which,
and what is trained. Here the first token of the target separates them, attention is
causal everywhere, and only the logits of the target are computed and trained.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import Mesh

from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.config import PrefixLanguageModelConfig
from bertgen_jax.models.masks import token_positions
from bertgen_jax.models.outputs import EncoderDecoderOutput, LogitFactors


class PrefixLanguageModel(nn.Module):
    """A decoder that reads the source, then the target, as one text.

    It is called like `EncoderDecoder`. Padding may be anywhere in a source: it is
    masked, and positions are counted without it.

    Attributes:
      config: the decoder and its start token.
      dtype, scan_layers, remat, mesh: as in `BertGenerationEncoder`.
    """

    config: PrefixLanguageModelConfig
    dtype: jnp.dtype = jnp.float32
    scan_layers: bool = False
    remat: str = "none"
    mesh: Mesh | None = None

    def setup(self):
        """Declares the decoder."""
        self.decoder = BertGenerationDecoder(
            self.config.decoder, self.dtype, self.scan_layers, self.remat, self.mesh
        )

    def __call__(
        self,
        input_ids: jax.Array,
        attention_mask: jax.Array | None,
        decoder_input_ids: jax.Array,
        *,
        deterministic: bool = True,
    ) -> EncoderDecoderOutput:
        """Reads source and target in one pass.

        Args:
          input_ids: i32[B, S] source.
          attention_mask: [B, S] keep-mask of the source; None keeps all.
          decoder_input_ids: i32[B, T] target shifted right, the start token first; the
            logits of position t are those of target t.
          deterministic: no dropout.

        Raises:
          ConfigError: source and target are longer than the position table.
        """
        factors = self.logit_factors(
            input_ids, attention_mask, decoder_input_ids, deterministic=deterministic
        )
        return EncoderDecoderOutput(factors.logits())

    def logit_factors(
        self,
        input_ids: jax.Array,
        attention_mask: jax.Array | None,
        decoder_input_ids: jax.Array,
        *,
        deterministic: bool = True,
    ) -> LogitFactors:
        """Runs `__call__` without multiplying the logits, for the loss."""
        (batch, length), steps = input_ids.shape, decoder_input_ids.shape[1]
        self.config.check_lengths(length, steps)
        if attention_mask is None:
            attention_mask = jnp.ones((batch, length), bool)
        target_mask = jnp.ones((batch, steps), bool)
        keep = jnp.concatenate([attention_mask != 0, target_mask], axis=1)
        out = self.decoder.bert(
            jnp.concatenate([input_ids, decoder_input_ids], axis=1),
            keep,
            token_positions(keep),
            deterministic=deterministic,
        )
        return self.decoder.logit_factors(out.last_hidden_state[:, length:])
