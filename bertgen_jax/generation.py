"""A model and source ids in, generated ids out: where a linen module meets a search."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from bertgen_jax.decoding.config import GenerationConfig
from bertgen_jax.decoding.contract import SearchResult
from bertgen_jax.decoding.search import search
from bertgen_jax.errors import ConfigError
from bertgen_jax.models.bert_generation import BertGenerationDecoder
from bertgen_jax.models.config import PrefixLanguageModelConfig
from bertgen_jax.models.encoder_decoder import EncoderDecoder
from bertgen_jax.models.prefix_lm import PrefixLanguageModel

# What a search asks of a model: `start` reads sources, `step` is a `contract.StepFn`.
Seq2Seq = EncoderDecoder | PrefixLanguageModel


def generate(
    model: Seq2Seq | BertGenerationDecoder,
    params: Any,
    input_ids: jax.Array,
    attention_mask: jax.Array,
    config: GenerationConfig,
) -> SearchResult:
    """Generates targets for a batch of sources.

    Compiled once for each model, configuration and shape.

    Args:
      model: an encoder-decoder or a prefix language model. A decoder alone continues
        its input; where the config has a `decoder_start_token_id`, from there.
      params: its parameters.
      input_ids: i32[B, S].
      attention_mask: bool[B, S]; a row without any True only fills the batch.
      config: how to search. Special ids that it leaves out are the model's.

    Returns:
      sequences i32[B, N, T] of new tokens, padded after EOS, scores f32[B, N], best
      first, and lengths i32[B, N].

    Raises:
      ConfigError: more tokens than the decoder has positions, no start token, or a
        model that has no targets.
    """
    if isinstance(model, BertGenerationDecoder):
        whole = PrefixLanguageModelConfig(model.config, config.decoder_start_token_id)
        model = PrefixLanguageModel(whole, dtype=model.dtype)
        params = {"decoder": params}
    elif isinstance(model, Seq2Seq):
        if config.decoder_start_token_id is None:
            start = model.config.start_token_id
            config = dataclasses.replace(config, decoder_start_token_id=start)
    else:
        raise ConfigError(
            f"the model is a {type(model).__name__}; expected an EncoderDecoder, a "
            "PrefixLanguageModel or a BertGenerationDecoder."
        )
    for name in ("eos_token_id", "pad_token_id"):
        if getattr(config, name) is None:
            config = dataclasses.replace(config, **{name: getattr(model.config, name)})
    return _generate(model, params, input_ids, attention_mask, config)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _generate(
    model: Seq2Seq,
    params: Any,
    input_ids: jax.Array,
    attention_mask: jax.Array,
    config: GenerationConfig,
) -> SearchResult:
    run = functools.partial(model.apply, {"params": params})
    is_real = jnp.any(attention_mask, axis=1)
    if config.decoder_start_token_id is None:
        start_ids, attention_mask = _last_tokens(input_ids, attention_mask)
    else:
        start_ids = jnp.full(len(input_ids), config.decoder_start_token_id, jnp.int32)
    state = run(
        input_ids,
        attention_mask,
        config.num_beams,
        config.num_new_tokens,
        method="start",
    )
    step = functools.partial(run, method="step")
    return search(step, state, start_ids, config, is_real)


def _last_tokens(
    input_ids: jax.Array, attention_mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The last token of each row, i32[B], and a mask of those before it, bool[B, S].

    ```
    ids  5 6 7 0    mask 1 1 1 0    7    1 1 0 0
         0 0 8 9         0 0 1 1    9    0 0 1 0
    ```
    """
    before = jnp.cumsum(attention_mask, axis=1)
    is_last = attention_mask & (before == before[:, -1:])
    last = jnp.argmax(is_last, axis=1, keepdims=True)
    return jnp.take_along_axis(input_ids, last, axis=1)[:, 0], attention_mask & ~is_last
