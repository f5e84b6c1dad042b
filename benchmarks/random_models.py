"""A size in, an encoder-decoder of random weights out, and what makes its texts end."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from bertgen_jax import trees
from bertgen_jax.models import presets
from bertgen_jax.models.config import BertGenerationConfig, EncoderDecoderConfig
from bertgen_jax.pretrained.ctranslate2 import name_map

WORDS = 30_522  # BERT's vocabulary
PAD, EOS, START = 0, 102, 101  # [PAD], [SEP] and [CLS] in it

_LARGEST_BIAS = 16.0  # with it, every text ends at once; with its opposite, none does
_LOOKS = 10
_LEAN = 0.5  # of a position's length; lengths then differ as much as real ones do


def create_config(size: str) -> EncoderDecoderConfig:
    """Two stacks of a size in `presets.SIZES`, with nothing in common."""
    stack = BertGenerationConfig(
        vocab_size=WORDS,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=EOS,
        **presets.SIZES[size],
    )
    return EncoderDecoderConfig.from_stacks(stack, stack, decoder_start_token_id=START)


def draw_params(config: EncoderDecoderConfig, seed: int = 0) -> dict[str, Any]:
    """Normal weights, LayerNorms that do nothing, no biases."""
    rng, params = np.random.default_rng(seed), {}
    for path, shape in name_map.parameter_shapes(config).items():
        if path.endswith(("kernel", "embedding")):
            weights = rng.standard_normal(shape, np.float32)
            params[path] = np.float32(_stddev(path, config)) * weights
        else:
            params[path] = np.full(shape, path.endswith("scale"), np.float32)
    return trees.nested(params)


def _stddev(path: str, config: EncoderDecoderConfig) -> float:
    """How large the weights of a matrix are.

    With one size for all of them every position says the same word. The states become
    alike from layer to layer, and the softmax, which has the embeddings for weights,
    prefers the word that was just read. So positions count more than words do; queries
    and keys make a few tokens of the source stand out; and what all positions have in
    common, which comes from the filter and from attention to each other, counts little
    beside them. Of 64 tokens of a text 60 are then different ones, and each source has
    its own.
    """
    if path.endswith("embedding"):
        return 0.2 if "position_embeddings" in path else 0.05
    width, inner = config.decoder.hidden_size, config.decoder.intermediate_size
    if path.endswith(("query/kernel", "key/kernel")):
        return 2 / width**0.5
    if "crossattention/" in path:
        return 1 / width**0.5
    if "attention/" in path:
        return 0.5 / width**0.5
    return 0.25 / (width if "intermediate/" in path else inner) ** 0.5


def that_end(
    params: dict[str, Any], config: EncoderDecoderConfig, bias: float, longest: int
) -> dict[str, Any]:
    """The same, but for how likely EOS is; all other arrays are shared.

    A bias alone would end a text as likely at its first token as at its last. So the
    decoder's positions lean, more and more, from the opposite of EOS's embedding to it;
    most lengths are then some tokens around a middle, as those of real texts are.

    Args:
      params: of `draw_params`.
      config: theirs.
      bias: of EOS in the softmax.
      longest: position of the last step, for which EOS is likeliest.
    """
    decoder = params["decoder"]
    trunk, words = decoder["bert"], decoder["bert"]["embeddings"]["word_embeddings"]
    eos = words["embedding"][EOS] / np.linalg.norm(words["embedding"][EOS])
    positions = trunk["embeddings"]["position_embeddings"]["embedding"].copy()
    lean = _LEAN * np.linspace(-1, 1, longest, dtype=np.float32)[:, None]
    positions[:longest] += lean * np.linalg.norm(positions[0]) * eos[None]
    head_bias = decoder["lm_head"]["bias"].copy()
    head_bias[EOS] = bias
    embeddings = trunk["embeddings"] | {"position_embeddings": {"embedding": positions}}
    decoder = decoder | {
        "bert": trunk | {"embeddings": embeddings},
        "lm_head": {"bias": head_bias},
    }
    return params | {"decoder": decoder}


def find_eos_bias(lengths_with: Callable[[float], list[int]], wanted: float) -> float:
    """The bias of EOS with which texts are as long as `wanted` in the median.

    Args:
      lengths_with: the lengths of some texts with a bias: never longer with a larger
        one, for up to its end a text of greedy search does not depend on it.
      wanted: tokens, EOS included.
    """
    low, high = -_LARGEST_BIAS, _LARGEST_BIAS
    for _ in range(_LOOKS):
        bias = (low + high) / 2
        found = statistics.median(lengths_with(bias))
        if found > wanted:
            low = bias
        elif found < wanted:
            high = bias
        else:
            break
    return bias
